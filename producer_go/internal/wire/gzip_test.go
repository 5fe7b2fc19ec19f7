package wire

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"runtime"
	"testing"
)

var long = bytes.Repeat([]byte("long "), 20_000)

func TestALongBodyComesBackAsItWas(t *testing.T) {
	t.Parallel()
	short := Compress(long)
	if !IsCompressed(short) || len(short) > len(long)/50 {
		t.Fatalf("%d bytes became %d", len(long), len(short))
	}
	if back, err := Inflate(short, len(long)); err != nil || !bytes.Equal(back, long) {
		t.Fatalf("%d bytes came back, %v", len(back), err)
	}
}

func TestWhatIsShortOrDoesNotBecomeShorterIsLeftAlone(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 2*CompressFromBytes)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, body := range [][]byte{nil, make([]byte, CompressFromBytes-1), noise} {
		if IsCompressed(Compress(body)) {
			t.Errorf("%d bytes were compressed", len(body))
		}
	}
	for _, body := range [][]byte{nil, {0x1f}, {0x80}} {
		if back, err := Inflate(body, 10); err != nil || !bytes.Equal(back, body) {
			t.Errorf("%x became %x, %v", body, back, err)
		}
	}
}

func TestInflationStopsAtTheLimit(t *testing.T) { // not parallel: what other tests allocate would count
	_, err := Inflate(Compress(long), len(long)-1)
	mustHaveCode(t, err, CodeTooLarge)

	bomb := Compress(make([]byte, 500_000_000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = Inflate(bomb, MaxBodyBytes)
	runtime.ReadMemStats(&after)
	mustHaveCode(t, err, CodeTooLarge)
	if used := after.TotalAlloc - before.TotalAlloc; used > 8*MaxBodyBytes {
		t.Fatalf("a bomb took %d bytes", used)
	}
}

func TestABodyThatIsNotOneWholeMemberIsRefused(t *testing.T) {
	t.Parallel()
	short := Compress(long)
	refuse := func(what string, body []byte) {
		_, err := Inflate(body, len(long))
		if err == nil {
			t.Errorf("%s is taken", what)
			return
		}
		mustHaveCode(t, err, CodeBadEnvelope)
	}
	for _, end := range []int{2, 10, 20, len(short) - 8, len(short) - 1} {
		refuse("a part", short[:end])
	}
	refuse("more than a member", append(bytes.Clone(short), 0))
	refuse("two members", append(bytes.Clone(short), short...))
	for _, place := range []int{3, 12, len(short) - 6, len(short) - 2} {
		broken := bytes.Clone(short)
		broken[place] ^= 0xff
		refuse("a damaged one", broken)
	}
	var named bytes.Buffer
	w := gzip.NewWriter(&named)
	w.Name = "name"
	w.Write(long)
	w.Close()
	refuse("one with a name", named.Bytes())
}
