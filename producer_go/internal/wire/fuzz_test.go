package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// seed adds the bytes of all short vectors.
func seed(f *testing.F) {
	f.Helper()
	files, _ := filepath.Glob("../../../contracts/vectors/*/*.json")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var content struct {
			Vectors []struct{ Hex json.RawMessage }
		}
		if err := json.Unmarshal(text, &content); err != nil {
			f.Fatal(err)
		}
		for _, v := range content.Vectors {
			var t testing.T
			if len(v.Hex) > 0 && v.Hex[0] == '"' && len(v.Hex) < 2000 {
				f.Add(unhex(&t, v.Hex))
			}
		}
	}
}

// What Check accepts is read, and written in a form that is accepted and read as the same again.
func FuzzCheck(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if Check(body, MaxBodyBytes) != nil {
			return
		}
		var value, again any
		if err := Raw(body).Decode(&value); err != nil {
			t.Fatal(err)
		}
		written, err := Marshal(value, MaxBodyBytes*2) // a float 32 is written as a float 64
		if err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal(written, MaxBodyBytes*2, &again); err != nil || !same(value, again) {
			t.Fatalf("%x became %x: %v", body, written, err)
		}
		twice, err := Marshal(again, MaxBodyBytes*2)
		if err != nil || !bytes.Equal(written, twice) {
			t.Fatalf("%x and %x: %v", written, twice, err)
		}
	})
}

// Reading into types never panics, whatever the types are.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if Check(body, MaxBodyBytes) != nil {
			return
		}
		for _, out := range []any{
			new(sample), new([]sample), new(map[word][]float64), new([]*inner), new([3]uint8), new(*string), new([]any), new(Raw),
		} {
			_ = Raw(body).Decode(out)
		}
	})
}

// A job or result that is read is written and read as the same again.
func FuzzEnvelope(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if job, err := DecodeJob(body, MaxBodyBytes); err == nil {
			written, err := EncodeJob(job, MaxBodyBytes)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeJob(written, MaxBodyBytes); err != nil {
				t.Fatal(err)
			}
		}
		if result, err := DecodeResult(body, MaxBodyBytes); err == nil {
			written, err := EncodeResult(result, MaxBodyBytes)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeResult(written, MaxBodyBytes); err != nil {
				t.Fatal(err)
			}
		}
	})
}
