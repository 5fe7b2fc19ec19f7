package wire

import (
	"fmt"
	"math"
	"reflect"
)

// Unmarshal checks body and decodes it into the value that out points to; a nil out is filled with nothing.
//
// No kind turns into another: an int fits an integer type that can hold it, and a float type while its
// magnitude is at most 2^53; a float fits floats, str strings, bin []byte and [N]byte, a timestamp
// time.Time, nil pointers and interfaces. Fields of a struct are found by the names that [Marshal] writes;
// unknown ones are ignored, missing ones become zero. An any gets nil, bool, int64, float64, string, []byte,
// time.Time, []any or map[string]any.
//
// A body that breaks the profile is an [*Error], one that does not fit out a [*MismatchError]. What out
// points to may have been written in part then.
func Unmarshal(body []byte, maxBytes int, out any) error {
	if err := Check(body, maxBytes); err != nil {
		return err
	}
	return Raw(body).Decode(out)
}

// MismatchError says that a value does not fit the Go type that it was to be decoded into.
type MismatchError struct {
	Path    string // where it stands, as in value.points[3].x
	Message string
}

func (e *MismatchError) Error() string {
	return e.Path + ": " + e.Message
}

func mismatch(format string, args ...any) *MismatchError {
	return &MismatchError{Message: fmt.Sprintf(format, args...)}
}

func (e *MismatchError) inside(step string) *MismatchError {
	e.Path = step + e.Path
	return e
}

// Decode is [Unmarshal] for bytes that have passed [Check] before.
func (r Raw) Decode(out any) error {
	if out == nil {
		return nil
	}
	target := reflect.ValueOf(out)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return &MismatchError{"value", fmt.Sprintf("%T is no pointer that can be written to", out)}
	}
	if into, ok := out.(Decodable); ok {
		reader := NewReader(r, false)
		into.DecodeFrom(reader)
		if m := reader.Misfit(); m != nil {
			return &MismatchError{m.Path, m.Message}
		}
		return nil
	}
	d := decoder{b: r}
	if into, ok := out.(*any); ok {
		*into = d.any()
		return nil
	}
	if err := d.value(target.Elem()); err != nil {
		return err.inside("value")
	}
	return nil
}

// decoder reads checked bytes.
type decoder struct {
	b   []byte
	pos int
}

// next reads the header of the next value and, unless it is a container, steps over its payload.
func (d *decoder) next() (k kind, start, at, size int) {
	start = d.pos
	k, at, size = header(d.b, start)
	d.pos = at
	if k != kindArray && k != kindMap {
		d.pos += size
	}
	return k, start, at, size
}

// any decodes into what an interface holds; it recurses at most MaxDepth times.
func (d *decoder) any() any {
	k, start, at, size := d.next()
	payload := d.b[at:d.pos]
	switch k {
	case kindBool:
		return d.b[start] == 0xc3
	case kindInt:
		return integer(d.b, start, d.pos)
	case kindFloat:
		return float(payload)
	case kindStr:
		return string(payload)
	case kindBin:
		return append([]byte{}, payload...)
	case kindExt:
		return decodeTime(payload)
	case kindArray:
		list := make([]any, size)
		for i := range list {
			list[i] = d.any()
		}
		return list
	case kindMap:
		dict := make(map[string]any, size)
		for range size {
			key := d.key()
			dict[key] = d.any()
		}
		return dict
	}
	return nil
}

func (d *decoder) key() string {
	_, _, at, size := d.next()
	return string(d.b[at : at+size])
}

// value decodes into v, which can be set.
func (d *decoder) value(v reflect.Value) *MismatchError {
	t := v.Type()
	l := layoutOf(t)
	if l.refusal != "" {
		return mismatch("%s", l.refusal)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return d.pointer(v)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return mismatch("the interface %s has methods; nothing is known to fit it", t)
		}
		if value := d.any(); value != nil {
			v.Set(reflect.ValueOf(value))
		} else {
			v.SetZero()
		}
		return nil
	case reflect.Struct:
		if t != timeType {
			return d.structure(v, l)
		}
	case reflect.Map:
		return d.mapping(v)
	case reflect.Slice, reflect.Array:
		if t == rawType {
			start := d.pos
			d.pos = skip(d.b, start)
			v.SetBytes(append([]byte{}, d.b[start:d.pos]...))
			return nil
		}
		if t.Elem().Kind() != reflect.Uint8 {
			return d.list(v)
		}
	}
	return d.scalar(v)
}

func (d *decoder) pointer(v reflect.Value) *MismatchError {
	if d.b[d.pos] == 0xc0 {
		d.pos++
		v.SetZero()
		return nil
	}
	if v.Type().Elem().Kind() == reflect.Pointer {
		return mismatch("%s points to a pointer; use one level", v.Type())
	}
	v.Set(reflect.New(v.Type().Elem()))
	return d.value(v.Elem())
}

func (d *decoder) scalar(v reflect.Value) *MismatchError {
	k, start, at, _ := d.next()
	payload := d.b[at:d.pos]
	switch kind, t := v.Kind(), v.Type(); {
	case k == kindBool && kind == reflect.Bool:
		v.SetBool(d.b[start] == 0xc3)
	case k == kindStr && kind == reflect.String:
		v.SetString(string(payload))
	case k == kindInt:
		return setInt(v, integer(d.b, start, d.pos))
	case k == kindFloat && v.CanFloat():
		return setFloat(v, float(payload))
	case k == kindExt && t == timeType:
		v.Set(reflect.ValueOf(decodeTime(payload)))
	case k == kindBin && kind == reflect.Slice:
		v.SetBytes(append([]byte{}, payload...))
	case k == kindBin && kind == reflect.Array:
		if len(payload) != v.Len() {
			return mismatch("a bin of %d bytes does not fit %s", len(payload), t)
		}
		for i, b := range payload {
			v.Index(i).SetUint(uint64(b))
		}
	default:
		return mismatch("%s does not fit %s", withArticle(k), t)
	}
	return nil
}

func setInt(v reflect.Value, n int64) *MismatchError {
	fits := false
	switch {
	case v.CanInt():
		if fits = !v.OverflowInt(n); fits {
			v.SetInt(n)
		}
	case v.CanUint():
		if fits = n >= 0 && !v.OverflowUint(uint64(n)); fits {
			v.SetUint(uint64(n))
		}
	case v.CanFloat():
		if fits = n >= -MaxSafeIntInFloat && n <= MaxSafeIntInFloat; fits {
			v.SetFloat(float64(n))
		}
	}
	if !fits {
		return mismatch("the int %d does not fit %s", n, v.Type())
	}
	return nil
}

func setFloat(v reflect.Value, f float64) *MismatchError {
	if v.OverflowFloat(f) && !math.IsInf(f, 0) {
		return mismatch("the float %g does not fit %s", f, v.Type())
	}
	v.SetFloat(f)
	return nil
}

func (d *decoder) list(v reflect.Value) *MismatchError {
	k, _, _, size := d.next()
	t := v.Type()
	switch {
	case k != kindArray:
		return mismatch("%s does not fit %s", withArticle(k), t)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(t, size, size))
	case size != v.Len():
		return mismatch("an array of %d elements does not fit %s", size, t)
	}
	if t == reflect.TypeFor[[]float64]() {
		return d.floats(v.Interface().([]float64))
	}
	for i := range size {
		if err := d.value(v.Index(i)); err != nil {
			return err.inside(index(i))
		}
	}
	return nil
}

// floats is the loop of list for the type that carries the most elements.
func (d *decoder) floats(list []float64) *MismatchError {
	for i := range list {
		if d.b[d.pos] == 0xcb {
			list[i] = float(d.b[d.pos+1 : d.pos+9])
			d.pos += 9
		} else if err := d.value(reflect.ValueOf(&list[i]).Elem()); err != nil {
			return err.inside(index(i))
		}
	}
	return nil
}

func (d *decoder) mapping(v reflect.Value) *MismatchError {
	k, _, _, size := d.next()
	t := v.Type()
	if k != kindMap {
		return mismatch("%s does not fit %s", withArticle(k), t)
	}
	made := reflect.MakeMapWithSize(t, size)
	element := reflect.New(t.Elem()).Elem()
	for range size {
		key := d.key()
		element.SetZero()
		if err := d.value(element); err != nil {
			return err.inside(name(key))
		}
		made.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), element)
	}
	v.Set(made)
	return nil
}

func (d *decoder) structure(v reflect.Value, l *layout) *MismatchError {
	k, _, _, size := d.next()
	if k != kindMap {
		return mismatch("%s does not fit %s", withArticle(k), v.Type())
	}
	for i := range l.fields {
		v.Field(l.fields[i].index).SetZero()
	}
	for range size {
		_, _, at, n := d.next()
		i, known := l.byName[string(d.b[at:at+n])]
		if !known {
			d.pos = skip(d.b, d.pos)
			continue
		}
		if err := d.value(v.Field(l.fields[i].index)); err != nil {
			return err.inside(name(l.fields[i].name))
		}
	}
	return nil
}

func withArticle(k kind) string {
	switch k {
	case kindNil:
		return "nil"
	case kindInt, kindArray:
		return "an " + k.String()
	}
	return "a " + k.String()
}
