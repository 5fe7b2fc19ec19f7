package wire

import (
	"slices"
	"time"
)

// Writer is the encoder for code that knows its types: each call writes one value, or opens a container. The
// first error stays, and everything after it does nothing.
type Writer struct {
	e   *encoder
	err *Error
}

// Appender is a value that writes itself, without reflection.
type Appender interface{ AppendTo(w *Writer) }

func (e *encoder) appender(v Appender) *Error {
	w := Writer{e: e}
	v.AppendTo(&w)
	return w.err
}

// MarshalAppender returns what v writes, at most maxBytes of it.
func MarshalAppender(v Appender, maxBytes int) ([]byte, error) {
	return encodeWith(maxBytes, func(e *encoder) *Error { return e.appender(v) })
}

func (w *Writer) keep(err *Error) {
	if w.err == nil {
		w.err = err
	}
}

// Nil writes nil.
func (w *Writer) Nil() { w.keep(w.e.nil()) }

// Bool writes a bool.
func (w *Writer) Bool(v bool) { w.keep(w.e.bool(v)) }

// Int writes an int.
func (w *Writer) Int(v int64) { w.keep(w.e.int(v)) }

// Float writes a float.
func (w *Writer) Float(v float64) { w.keep(w.e.float(v)) }

// Str writes a str, which has to be UTF-8.
func (w *Writer) Str(v string) { w.keep(w.e.str(v)) }

// Bin writes bytes.
func (w *Writer) Bin(v []byte) { w.keep(w.e.bin(v)) }

// Time writes a timestamp.
func (w *Writer) Time(v time.Time) { w.keep(w.e.time(v)) }

// Floats writes an array of floats.
func (w *Writer) Floats(v []float64) {
	if w.err == nil {
		w.keep(w.e.floats(v))
	}
}

// Array opens an array of n elements, which follow; Close ends it.
func (w *Writer) Array(n int) {
	w.keep(w.e.enter())
	w.keep(w.e.array(n))
}

// Map opens a map of n pairs, which follow as Key and value; Close ends it.
func (w *Writer) Map(n int) {
	w.keep(w.e.enter())
	w.keep(w.e.dict(n))
}

// Key writes the key of a map.
func (w *Writer) Key(name string) { w.keep(w.e.str(name)) }

// Close ends the array or map that was opened last.
func (w *Writer) Close() { w.e.leave() }

// Keys returns the keys of a map in the order in which they are written.
func Keys[T any](m map[string]T) []string { return sortedKeys(m) }

// Room returns n bytes at the end of what is written, as the data of a bin, to be filled by the caller.
func (w *Writer) Room(n int) []byte {
	if w.err != nil {
		return nil
	}
	if err := w.e.node(n); err != nil {
		w.keep(err)
		return nil
	}
	b := slices.Grow(appendHeader(w.e.buf, n, 0xc4), n)
	w.e.buf = b[:len(b)+n]
	return w.e.buf[len(b):]
}
