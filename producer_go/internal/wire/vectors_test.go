package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The vectors are those of contracts/vectors, whose README says what is in them.

type vector struct {
	Name      string
	Hex       json.RawMessage
	Expect    string
	Value     json.RawMessage
	Canonical bool
}

func vectors(t *testing.T, file string) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "contracts", "vectors", file))
	if err != nil {
		t.Fatal(err)
	}
	var content struct{ Vectors []vector }
	if err := json.Unmarshal(text, &content); err != nil || len(content.Vectors) == 0 {
		t.Fatalf("%s: %d vectors, %v", file, len(content.Vectors), err)
	}
	return content.Vectors
}

// eachVector calls test for each vector of the files, with its bytes.
func eachVector(t *testing.T, test func(t *testing.T, v vector, body []byte), files ...string) {
	t.Helper()
	for _, file := range files {
		for _, v := range vectors(t, file) {
			t.Run(file+"/"+v.Name, func(t *testing.T) {
				t.Parallel()
				test(t, v, unhex(t, v.Hex))
			})
		}
	}
}

func TestValuesOfTheProfileAreReadAndWritten(t *testing.T) {
	t.Parallel()
	eachVector(t, func(t *testing.T, v vector, body []byte) {
		want := untag(t, v.Value)
		var got any
		if err := Unmarshal(body, MaxBodyBytes, &got); err != nil {
			t.Fatal(err)
		}
		if !same(got, want) {
			t.Fatalf("read %s\nwant %s", brief(got), brief(want))
		}
		written, err := Marshal(want, MaxBodyBytes)
		if err != nil || v.Canonical != bytes.Equal(written, body) {
			t.Fatalf("canonical is %v, but wrote %.80x, %v", v.Canonical, written, err)
		}
	}, "profile/valid.json")
}

func TestBytesThatBreakTheProfileAreRefused(t *testing.T) {
	t.Parallel()
	eachVector(t, func(t *testing.T, v vector, body []byte) {
		var out any
		mustHaveCode(t, Unmarshal(body, MaxBodyBytes, &out), v.Expect)
	}, "profile/invalid.json")
}

func TestEnvelopesThatBreakTheRulesAreRefused(t *testing.T) {
	t.Parallel()
	eachVector(t, func(t *testing.T, v vector, body []byte) {
		_, err := DecodeJob(body, MaxBodyBytes)
		mustHaveCode(t, err, v.Expect)
	}, "envelope/job_invalid.json", "future/job_invalid.json")
	eachVector(t, func(t *testing.T, v vector, body []byte) {
		_, err := DecodeResult(body, MaxBodyBytes)
		mustHaveCode(t, err, v.Expect)
	}, "envelope/result_invalid.json", "future/result_invalid.json")
}

func TestEnvelopesAreReadAndWritten(t *testing.T) {
	t.Parallel()
	eachVector(t, func(t *testing.T, v vector, body []byte) {
		job, err := DecodeJob(body, MaxBodyBytes)
		if err != nil {
			t.Fatal(err)
		}
		job.Args = anyOf(t, job.Args)
		written, err := EncodeJob(job, MaxBodyBytes)
		compareEnvelope(t, v, body, written, err)
	}, "envelope/job_valid.json", "future/job_valid.json")
	eachVector(t, func(t *testing.T, v vector, body []byte) {
		result, err := DecodeResult(body, MaxBodyBytes)
		if err != nil {
			t.Fatal(err)
		}
		if result.Failure == nil {
			result.Value = anyOf(t, result.Value)
		}
		written, err := EncodeResult(result, MaxBodyBytes)
		compareEnvelope(t, v, body, written, err)
	}, "envelope/result_valid.json", "future/result_valid.json")
}

// compareEnvelope compares what was read, by way of what it is written as.
func compareEnvelope(t *testing.T, v vector, body, written []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := Unmarshal(written, MaxBodyBytes, &got); err != nil {
		t.Fatal(err)
	}
	if want := untag(t, v.Value); !same(got, want) {
		t.Fatalf("read %s\nwant %s", brief(got), brief(want))
	}
	if v.Canonical != bytes.Equal(written, body) {
		t.Fatalf("canonical is %v, but wrote %.200x\nfor %.200x", v.Canonical, written, body)
	}
}

func anyOf(t *testing.T, raw any) (value any) {
	t.Helper()
	if err := raw.(Raw).Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func mustHaveCode(t *testing.T, err error, code string) {
	t.Helper()
	var problem *Error
	if !errors.As(err, &problem) || problem.Code != code || problem.Message == "" {
		t.Fatalf("got %v, not %s", err, code)
	}
}

// same is DeepEqual in which equal bits make equal floats.
func same(a, b any) bool { return reflect.DeepEqual(bitwise(a), bitwise(b)) }

func bitwise(v any) any {
	switch v := v.(type) {
	case float64:
		if v != v {
			return "NaN"
		}
		return fmt.Sprintf("%x", math.Float64bits(v))
	case []any:
		made := make([]any, len(v))
		for i := range v {
			made[i] = bitwise(v[i])
		}
		return made
	case map[string]any:
		made := make(map[string]any)
		for key := range v {
			made[key] = bitwise(v[key])
		}
		return made
	}
	return v
}

func brief(v any) string { return fmt.Sprintf("%.300s", fmt.Sprintf("%#v", v)) }

// unhex joins the parts of a vector's bytes.
func unhex(t *testing.T, text json.RawMessage) []byte {
	t.Helper()
	var whole string
	if json.Unmarshal(text, &whole) == nil {
		return dehex(t, whole)
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	var made []byte
	for _, part := range parts {
		made = append(made, unhexPart(t, part)...)
	}
	return made
}

func unhexPart(t *testing.T, text json.RawMessage) []byte {
	t.Helper()
	var part struct{ Repeat, Keys []json.RawMessage }
	if json.Unmarshal(text, &part) != nil {
		return unhex(t, text)
	}
	if part.Repeat != nil {
		return bytes.Repeat(unhex(t, part.Repeat[0]), count(t, part.Repeat[1]))
	}
	var made []byte
	value := unhex(t, part.Keys[1])
	for i := range count(t, part.Keys[0]) {
		made = append(append(made, 0xa5), fmt.Sprintf("%05x", i)...)
		made = append(made, value...)
	}
	return made
}

func dehex(t *testing.T, digits string) []byte {
	t.Helper()
	made, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func count(t *testing.T, text json.RawMessage) int {
	t.Helper()
	n, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// untag makes the value that tagged JSON stands for.
func untag(t *testing.T, text json.RawMessage) any {
	t.Helper()
	switch text = bytes.TrimSpace(text); text[0] {
	case '{':
		var object map[string]json.RawMessage
		mustParse(t, text, &object)
		for key, value := range object {
			if len(object) == 1 && strings.HasPrefix(key, "$") {
				return tagged(t, key, value)
			}
		}
		made := make(map[string]any)
		for key, value := range object {
			made[key] = untag(t, value)
		}
		return made
	case '[':
		var list []json.RawMessage
		mustParse(t, text, &list)
		made := make([]any, len(list))
		for i := range list {
			made[i] = untag(t, list[i])
		}
		return made
	case '"', 't', 'f', 'n':
		var value any
		mustParse(t, text, &value)
		return value
	}
	return integerOf(t, string(text))
}

func tagged(t *testing.T, tag string, value json.RawMessage) any {
	t.Helper()
	var list []json.RawMessage
	var digits string
	if value[0] == '[' {
		mustParse(t, value, &list)
	} else if tag == "$int" || tag == "$f64" {
		mustParse(t, value, &digits)
	}
	switch tag {
	case "$int":
		return integerOf(t, digits)
	case "$f64":
		bits, err := strconv.ParseUint(digits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return math.Float64frombits(bits)
	case "$bin":
		return append([]byte{}, unhex(t, value)...)
	case "$str":
		return string(unhex(t, value))
	case "$ts":
		return time.Unix(integerOf(t, string(list[0])), integerOf(t, string(list[1]))).UTC()
	case "$repeat":
		made := make([]any, count(t, list[1]))
		for i := range made {
			made[i] = untag(t, list[0])
		}
		return made
	case "$keys":
		made := make(map[string]any)
		for i := range count(t, list[0]) {
			made[fmt.Sprintf("%05x", i)] = untag(t, list[1])
		}
		return made
	}
	t.Fatalf("the tag %s is not known", tag)
	return nil
}

func integerOf(t *testing.T, digits string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustParse(t *testing.T, text json.RawMessage, out any) {
	t.Helper()
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
