package wire

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func into[T any](value any) (T, error) {
	var out T
	body, err := Marshal(value, MaxBodyBytes)
	if err != nil {
		return out, err
	}
	return out, Unmarshal(body, MaxBodyBytes, &out)
}

func fits[T any](t *testing.T, value any, want T) {
	t.Helper()
	got, err := into[T](value)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v: got %#v, %v, want %#v", value, got, err, want)
	}
}

func refuses[T any](t *testing.T, value any, says string) {
	t.Helper()
	got, err := into[T](value)
	var problem *MismatchError
	if !errors.As(err, &problem) || !strings.Contains(err.Error(), says) {
		t.Errorf("%#v into %T: got %#v, %v, which does not say %q", value, got, got, err, says)
	}
}

func TestValuesFitTheirTypes(t *testing.T) {
	t.Parallel()
	fits(t, 255, uint8(255))
	fits(t, -128, int8(-128))
	fits(t, uint64(math.MaxInt64), uint64(math.MaxInt64))
	fits(t, 1<<53, float64(1<<53))
	fits(t, 3, float32(3))
	fits(t, 1.5, 1.5)
	fits(t, math.Inf(1), float32(math.Inf(1)))
	fits(t, "a", word("a"))
	fits(t, []byte{1}, octets{1})
	fits(t, []byte{1, 2}, [2]byte{1, 2})
	fits(t, []int{1, 2}, [2]float64{1, 2})
	fits(t, []any{1, 2.5}, []float64{1, 2.5})
	fits(t, map[string]int{"a": 1}, map[word]int{"a": 1})
	fits(t, time.Unix(1, 2), time.Unix(1, 2).UTC())
	fits(t, nil, (*int)(nil))
	fits[any](t, nil, nil)
	fits(t, []any{nil, map[string]any{"a": 1}}, []*inner{nil, {1}})
	fits(t, map[string]any{"a": 1, "unknown": []any{map[string]any{}}}, inner{1})
	fits(t, map[string]any{"x": []any{1}}, map[string]Raw{"x": {0x91, 1}})
}

func TestNoKindTurnsIntoAnother(t *testing.T) {
	t.Parallel()
	refuses[int8](t, 300, "the int 300 does not fit int8")
	refuses[uint64](t, -1, "the int -1 does not fit uint64")
	refuses[float64](t, 1<<53+1, "does not fit float64")
	refuses[int](t, 1.0, "a float does not fit int")
	refuses[float32](t, 1e300, "does not fit float32")
	refuses[string](t, []byte("a"), "a bin does not fit string")
	refuses[[]byte](t, "a", "a str does not fit []uint8")
	refuses[[]byte](t, []int{1}, "an array does not fit []uint8")
	refuses[string](t, nil, "nil does not fit string")
	refuses[[]int](t, nil, "nil does not fit []int")
	refuses[map[string]int](t, nil, "nil does not fit map[string]int")
	refuses[inner](t, nil, "nil does not fit wire.inner")
	refuses[time.Time](t, 1, "the int 1 does not fit time.Time")
	refuses[int](t, time.Unix(1, 0), "a timestamp does not fit int")
	refuses[bool](t, 1, "the int 1 does not fit bool")
	refuses[[2]int](t, []int{1}, "an array of 1 elements does not fit [2]int")
	refuses[[2]byte](t, []byte{1}, "a bin of 1 bytes does not fit [2]uint8")
	refuses[time.Duration](t, 1, "time.Duration")
	refuses[error](t, "a", "has methods")
	refuses[**int](t, 1, "points to a pointer")
	refuses[map[string][]inner](t, map[string]any{"k": []any{map[string]any{"a": "x"}}}, "value.k[0].a: a str does not fit int")
	refuses[[]float64](t, []any{1.5, "x"}, "value[1]: a str does not fit float64")
}

func TestOutMustBeAPointer(t *testing.T) {
	t.Parallel()
	for _, out := range []any{1, "a", (*int)(nil), struct{}{}} {
		if err := (Raw{1}).Decode(out); err == nil {
			t.Errorf("%T was taken", out)
		}
	}
	if err := (Raw{1}).Decode(nil); err != nil {
		t.Errorf("nil drops the value: %v", err)
	}
}

// A value that was there before must not shine through.
func TestMissingFieldsBecomeZero(t *testing.T) {
	t.Parallel()
	out := struct {
		A, B int
		P    *inner
	}{1, 2, &inner{3}}
	before := out.P
	body, _ := Marshal(map[string]any{"b": 5, "p": map[string]any{"a": 6}}, MaxBodyBytes)
	if err := Unmarshal(body, MaxBodyBytes, &out); err != nil || out.A != 0 || out.B != 5 || out.P.A != 6 || before.A != 3 {
		t.Errorf("got %+v %+v, and before %+v, %v", out, out.P, before, err)
	}
}

func TestWhatIsReadDoesNotKeepTheBody(t *testing.T) {
	t.Parallel()
	body, _ := Marshal([]any{"str", []byte("bin"), Raw{1}}, MaxBodyBytes)
	var out any
	if err := Unmarshal(body, MaxBodyBytes, &out); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if list := out.([]any); list[0] != "str" || string(list[1].([]byte)) != "bin" {
		t.Errorf("got %v", list)
	}
}
