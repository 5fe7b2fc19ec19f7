package wire

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

type (
	word   string
	octets []byte
	inner  struct {
		A int `msgpack:"a"`
	}
	sample struct {
		Zeta    int      `msgpack:"z"`
		Alpha   string   `msgpack:"a,omitempty"`
		UserID  []int    `msgpack:",omitempty"`
		Skipped chan int `msgpack:"-"`
		hidden  int
		Inner   *inner            `msgpack:"inner"`
		Labels  map[string]string `msgpack:"labels,omitempty"`
		When    time.Time         `msgpack:"when,omitempty"`
	}
)

func TestGoValuesHaveTheseBytes(t *testing.T) {
	t.Parallel()
	one := 1
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "c0"}, {(*int)(nil), "c0"}, {&one, "01"}, {[]any{(*int)(nil), &one}, "92c001"},
		{[]int(nil), "90"}, {[]byte(nil), "c400"}, {map[string]int(nil), "80"}, {[]any(nil), "90"}, {map[string]any(nil), "80"},
		{uint8(200), "ccc8"}, {int8(-33), "d0df"}, {uint64(math.MaxInt64), "cf7fffffffffffffff"}, {int64(math.MinInt64), "d38000000000000000"},
		{float32(1.5), "cb3ff8000000000000"}, {math.Copysign(0, -1), "cb8000000000000000"}, {math.Float64frombits(0xfff8000000000123), "cb7ff8000000000000"},
		{word("a"), "a161"}, {octets{1}, "c40101"}, {[2]byte{1, 2}, "c4020102"}, {[2]int{1, 2}, "920102"}, {[]int32{-1}, "91ff"},
		{map[word]float64{"b": 1, "a": 2}, "82a161cb4000000000000000a162cb3ff0000000000000"},
		{map[string][]int{"b": {1}, "a": nil}, "82a16190a1629101"},
		{struct{}{}, "80"}, {inner{7}, "81a16107"}, {&inner{7}, "81a16107"},
		{time.Unix(1, 0), "d6ff00000001"}, {time.Unix(1, 5), "d7ff0000001400000001"}, {time.Unix(-1, 0), "c70cff00000000ffffffffffffffff"},
		{sample{Zeta: 1, hidden: 2}, "82a17a01a5696e6e6572c0"},
		{
			sample{Zeta: 1, Alpha: "x", UserID: []int{2}, Inner: &inner{3}, Labels: map[string]string{"k": "v"}, When: time.Unix(1, 0)},
			"86a17a01a161a178a7757365725f69649102a5696e6e657281a16103a66c6162656c7381a16ba176a47768656ed6ff00000001",
		},
		{Raw{0x91, 0x01}, "9101"}, {[]any{Raw{0xc0}}, "91c0"}, {map[string]any{"error": error(nil)}, "81a56572726f72c0"},
	} {
		got, err := Marshal(c.value, MaxBodyBytes)
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%#v: got %x, %v, want %s", c.value, got, err, c.want)
		}
	}
}

type pointerError struct{ Text string }

func (*pointerError) Error() string { return "" }

// What has no plain meaning is refused, and the message says where it stands.
func TestTheseValuesAreRefusedByName(t *testing.T) {
	t.Parallel()
	self := map[string]any{}
	self["self"] = self
	type loop *loop
	var circle loop
	circle = &circle
	list := []any{nil}
	list[0] = list
	for _, c := range []struct {
		value any
		says  string
	}{
		{errors.New("x"), "is an error"}, {pointerError{"x"}, "is an error"}, {[]error{errors.New("x")}, "[0]: the type *errors.errorString is an error"},
		{json.Number("1"), "json.Number"}, {json.RawMessage("{}"), "json.RawMessage"}, {time.Second, "time.Duration"},
		{big.NewInt(1), "big.Int"}, {*big.NewFloat(1), "big.Float"}, {big.NewRat(1, 2), "big.Rat"},
		{complex(1, 1), "complex128"}, {make(chan int), "chan int"}, {func() {}, "func()"}, {uintptr(1), "uintptr"},
		{map[int]string{1: "a"}, "only strings are keys"}, {map[any]any{}, "only strings are keys"},
		{uint64(math.MaxInt64 + 1), "above 2^63-1"}, {"\xff", "not valid UTF-8"}, {map[string]any{"\xff": 1}, "not valid UTF-8"},
		{self, "refers to itself"}, {circle, "refers to itself"}, {list, "refers to itself"},
		{struct{ inner }{}, "is embedded"}, {struct{ a int }{1}, "no exported fields"}, {&sync.Mutex{}, "no exported fields"},
		{struct {
			A int `msgpack:"x"`
			B int `msgpack:"x"`
		}{}, `two fields named "x"`},
		{struct {
			A int `msgpack:"a,omitzero"`
		}{}, `unknown tag option "omitzero"`},
		{struct {
			a int `msgpack:"a"`
		}{}, "not exported"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "outside the years"},
		{map[string]any{"x": []any{1, map[string]any{"a b": time.Second}}}, `value.x[1]["a b"]: the type time.Duration`},
		{sample{Inner: nil, Labels: map[string]string{"k": "\xff"}}, "value.labels.k: a string is not"},
		{Raw{0xc1}, "c1 is no format"}, {Raw{}, "the body ends"}, {Raw{0x01, 0x01}, "after the value"},
		{make([]any, MaxNodes), "more than 200000 values"},
	} {
		_, err := Marshal(c.value, HardMaxBodyBytes)
		var problem *Error
		if !errors.As(err, &problem) || problem.Code != CodeInvalidArgs || !strings.Contains(problem.Message, c.says) {
			t.Errorf("%T: got %v, which does not say %q", c.value, err, c.says)
		}
	}
}

func TestWhatIsTooLargeStopsTheWriterEarly(t *testing.T) {
	shared := []any{make([]byte, 1000)}
	for range 20 { // a tree of 2^20 leaves in 20 slices
		shared = []any{shared, shared}
	}
	for name, value := range map[string]any{"bytes": make([]byte, 1<<21), "a string": strings.Repeat("a", 1<<21), "a shared tree": shared} {
		_, err := Marshal(value, MaxBodyBytes)
		mustHaveCode(t, err, CodeTooLarge)
		if testing.AllocsPerRun(1, func() { Marshal(value, MaxBodyBytes) }) > 200 {
			t.Errorf("%s takes too many allocations", name)
		}
	}
	exact, err := Marshal(make([]byte, MaxBodyBytes-5), MaxBodyBytes)
	if err != nil || len(exact) != MaxBodyBytes {
		t.Errorf("a body of the limit: %d bytes, %v", len(exact), err)
	}
	_, err = Marshal([]any{make([]byte, MaxBodyBytes-6), 1.5}, MaxBodyBytes)
	mustHaveCode(t, err, CodeTooLarge)
}

func TestArgumentsAreAMap(t *testing.T) {
	t.Parallel()
	job := Job{ID: NewID(), Task: "q.f", Version: 1, Args: []int{1}}
	_, err := EncodeJob(&job, MaxBodyBytes)
	mustHaveCode(t, err, CodeInvalidArgs)
	job.Args = struct{ X chan int }{}
	if _, err = EncodeJob(&job, MaxBodyBytes); err == nil || !strings.Contains(err.Error(), "args.x: the type chan int") {
		t.Errorf("got %v", err)
	}
	deep := any(1)
	for range MaxDepth - 1 {
		deep = map[string]any{"d": deep}
	}
	job.Args = deep
	body, err := EncodeJob(&job, MaxBodyBytes)
	if err != nil || Check(body, MaxBodyBytes) != nil {
		t.Errorf("the deepest arguments: %v", err)
	}
	job.Args = map[string]any{"d": deep}
	_, err = EncodeJob(&job, MaxBodyBytes)
	mustHaveCode(t, err, CodeInvalidArgs)
}

func TestSmallJobsTakeFewAllocations(t *testing.T) {
	job := Job{ID: NewID(), Task: "stats.norm", Version: 1, Args: map[string]any{"x": []float64{1, 2, 3}, "name": "n", "n": 3}}
	EncodeJob(&job, MaxBodyBytes) // fills the pool
	if n := testing.AllocsPerRun(100, func() { EncodeJob(&job, MaxBodyBytes) }); n > 8 {
		t.Errorf("%v allocations", n)
	}
}

func TestNamesInSnakeCase(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"X": "x", "UserID": "user_id", "HTTPServer2": "http_server2", "ID": "id", "Already_Snake": "already_snake", "XAxis": "x_axis",
	} {
		if got := snakeCase(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
