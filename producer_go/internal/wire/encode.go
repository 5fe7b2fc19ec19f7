package wire

import (
	"math"
	"reflect"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Marshal returns the canonical encoding of v, at most maxBytes long. Errors are of type [*Error].
//
//   - bool, every int and uint, float32 and float64, string, []byte and [N]byte, time.Time
//   - nil, nil pointers and nil interfaces: nil; other pointers and interfaces: what they hold
//   - slices and arrays; a nil slice is an empty array, a nil []byte an empty bin
//   - maps with string keys, which are sorted; a nil map is an empty map
//   - structs, as a map with the exported fields in their order; see [Field names]
//
// Refused by name, because they would arrive as something else than was meant: error, json.Number,
// json.RawMessage, the numbers of math/big, time.Duration, complex numbers, channels, functions, other map
// keys, embedded structs without a tag, structs whose fields are all unexported. Also refused: integers
// above 2^63-1, strings that are not valid UTF-8, and what is nested deeper than MaxDepth or refers to itself.
//
// # Field names
//
// The tag `msgpack:"name"` names a field, `msgpack:"name,omitempty"` leaves it out while it is false, 0, "",
// nil, of length 0 or the zero time, `msgpack:"-"` always. A field without a tag is called by its Go name in
// snake_case: UserID is user_id.
func Marshal(v any, maxBytes int) ([]byte, error) {
	return encodeWith(maxBytes, func(e *encoder) *Error {
		if err := e.value(v); err != nil {
			return err.inside("value")
		}
		return nil
	})
}

// encodeWith runs write on a pooled encoder and returns what it wrote.
func encodeWith(maxBytes int, write func(*encoder) *Error) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	*e = encoder{buf: e.buf[:0], keys: e.keys[:0], limit: maxBytes}
	err := write(e)
	if err == nil && len(e.buf) > maxBytes {
		err = tooLarge(len(e.buf), maxBytes)
	}
	body := e.take()
	if err != nil {
		return nil, err
	}
	return body, nil
}

// take returns what was written: a copy of its exact size while it is small, else the buffer itself. It lets
// go of what a pooled encoder should not keep alive.
func (e *encoder) take() []byte {
	body := e.buf
	if cap(body) > 16<<10 {
		e.buf = nil
	} else {
		body = append(make([]byte, 0, len(body)), body...)
	}
	if cap(e.keys) > 64 {
		e.keys = nil
	}
	clear(e.keys[:cap(e.keys)])
	return body
}

var encoders = sync.Pool{New: func() any { return &encoder{buf: make([]byte, 0, 1024)} }}

// encoder appends values to buf and keeps the limits of the profile while it does.
type encoder struct {
	buf      []byte
	limit    int      // longest buf
	nodes    int      // values written
	depth    int      // containers open
	pointers int      // pointers followed and not yet left
	keys     []string // sorted keys of the open maps, the inner ones above the outer ones
}

// node counts a value and stops the writer when there are too many, or too many bytes.
func (e *encoder) node(bytes int) *Error {
	if e.nodes++; e.nodes > MaxNodes {
		return refuse("more than %d values", MaxNodes)
	}
	if len(e.buf)+bytes > e.limit {
		return tooLarge(len(e.buf)+bytes, e.limit)
	}
	return nil
}

func (e *encoder) enter() *Error {
	if e.depth++; e.depth > MaxDepth {
		return refuse("nested deeper than %d levels, or refers to itself", MaxDepth)
	}
	return nil
}

func (e *encoder) leave() { e.depth-- }

// value writes the common types without reflection, and hands the others on.
func (e *encoder) value(v any) *Error {
	switch v := v.(type) {
	case nil:
		return e.nil()
	case bool:
		return e.bool(v)
	case int:
		return e.int(int64(v))
	case int64:
		return e.int(v)
	case float64:
		return e.float(v)
	case string:
		return e.str(v)
	case []byte:
		return e.bin(v)
	case time.Time:
		return e.time(v)
	case Raw:
		return e.raw(v)
	case Appender:
		return e.appender(v)
	case []any:
		return encodeSlice(e, v, e.value)
	case []float64:
		return e.floats(v)
	case []string:
		return encodeSlice(e, v, e.str)
	case []int:
		return encodeSlice(e, v, func(n int) *Error { return e.int(int64(n)) })
	case map[string]any:
		return encodeMap(e, v, e.value)
	case map[string]string:
		return encodeMap(e, v, e.str)
	}
	return e.reflected(reflect.ValueOf(v))
}

func (e *encoder) nil() *Error {
	e.buf = append(e.buf, 0xc0)
	return e.node(0)
}

func (e *encoder) bool(v bool) *Error {
	if v {
		e.buf = append(e.buf, 0xc3)
	} else {
		e.buf = append(e.buf, 0xc2)
	}
	return e.node(0)
}

func (e *encoder) int(n int64) *Error {
	e.buf = appendInt(e.buf, n)
	return e.node(0)
}

func (e *encoder) uint(n uint64) *Error {
	if n > math.MaxInt64 {
		return refuse("the integer %d is above 2^63-1; send it as a decimal string", n)
	}
	return e.int(int64(n))
}

func (e *encoder) float(f float64) *Error {
	e.buf = appendFloat(e.buf, f)
	return e.node(0)
}

func (e *encoder) str(s string) *Error {
	if err := e.node(len(s)); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return refuse("a string is not valid UTF-8; send bytes as []byte")
	}
	e.buf = append(appendStrHeader(e.buf, len(s)), s...)
	return nil
}

func (e *encoder) bin(b []byte) *Error {
	if err := e.node(len(b)); err != nil {
		return err
	}
	e.buf = append(appendHeader(e.buf, len(b), 0xc4), b...)
	return nil
}

func (e *encoder) time(t time.Time) *Error {
	var ok bool
	if e.buf, ok = appendTime(e.buf, t); !ok {
		return refuse("the time %s lies outside the years 1 to 9999", t)
	}
	return e.node(0)
}

func (e *encoder) raw(r Raw) *Error {
	if err := e.node(len(r)); err != nil {
		return err
	}
	nodes, err := scan(r, MaxDepth-e.depth, MaxNodes-e.nodes+1)
	if err != nil {
		return refuse("%s", err.Message)
	}
	e.nodes += nodes - 1
	e.buf = append(e.buf, r...)
	return nil
}

// array and dict write the header of a container.
func (e *encoder) array(n int) *Error {
	e.buf = appendArrayHeader(e.buf, n)
	return e.node(n)
}

func (e *encoder) dict(n int) *Error {
	e.buf = appendMapHeader(e.buf, n)
	return e.node(2 * n)
}

// floats is encodeSlice for the type that carries the most elements.
func (e *encoder) floats(values []float64) *Error {
	if e.nodes+1+len(values) > MaxNodes || len(e.buf)+9*len(values) > e.limit {
		return encodeSlice(e, values, e.float) // which says what is wrong
	}
	if err := e.enter(); err != nil {
		return err
	}
	b := slices.Grow(appendArrayHeader(e.buf, len(values)), 9*len(values))
	for _, f := range values {
		b = appendFloat(b, f)
	}
	e.buf = b
	e.nodes += 1 + len(values)
	e.leave()
	return nil
}

func encodeSlice[T any](e *encoder, values []T, write func(T) *Error) *Error {
	if err := e.enter(); err != nil {
		return err
	}
	if err := e.array(len(values)); err != nil {
		return err
	}
	for i, v := range values {
		if err := write(v); err != nil {
			return err.inside(index(i))
		}
	}
	e.leave()
	return nil
}

func encodeMap[T any](e *encoder, values map[string]T, write func(T) *Error) *Error {
	if err := e.enter(); err != nil {
		return err
	}
	if err := e.dict(len(values)); err != nil {
		return err
	}
	base := len(e.keys)
	for key := range values {
		e.keys = append(e.keys, key)
	}
	slices.Sort(e.keys[base:])
	for i := base; i < base+len(values); i++ {
		key := e.keys[i]
		if err := e.str(key); err != nil {
			return err.inside(name(key))
		}
		if err := write(values[key]); err != nil {
			return err.inside(name(key))
		}
	}
	e.keys = e.keys[:base]
	e.leave()
	return nil
}
