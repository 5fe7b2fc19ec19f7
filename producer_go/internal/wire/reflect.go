package wire

import (
	"reflect"
	"time"
)

// reflected writes a value of any type.
func (e *encoder) reflected(v reflect.Value) *Error {
	if !v.IsValid() {
		return e.nil()
	}
	t := v.Type()
	l := layoutOf(t)
	if l.refusal != "" {
		return refuse("%s", l.refusal)
	}
	switch t {
	case timeType:
		return e.time(v.Interface().(time.Time))
	case rawType:
		return e.raw(v.Bytes())
	}
	switch v.Kind() {
	case reflect.Bool:
		return e.bool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return e.int(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return e.uint(v.Uint())
	case reflect.Float32, reflect.Float64:
		return e.float(v.Float())
	case reflect.String:
		return e.str(v.String())
	case reflect.Pointer, reflect.Interface:
		return e.pointed(v)
	case reflect.Slice, reflect.Array:
		return e.list(v)
	case reflect.Map:
		return e.mapping(v)
	}
	return e.structure(v, l) // the only kind left that is not refused
}

// pointed counts as a level, so that a chain of pointers cannot be endless.
func (e *encoder) pointed(v reflect.Value) *Error {
	if v.IsNil() {
		return e.nil()
	}
	if v.Kind() == reflect.Interface {
		return e.value(v.Elem().Interface())
	}
	e.pointers++
	if e.pointers > MaxDepth {
		return refuse("nested deeper than %d levels, or refers to itself", MaxDepth)
	}
	err := e.reflected(v.Elem())
	e.pointers--
	return err
}

func (e *encoder) list(v reflect.Value) *Error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return e.bytes(v)
	}
	if err := e.enter(); err != nil {
		return err
	}
	if err := e.array(v.Len()); err != nil {
		return err
	}
	for i := range v.Len() {
		if err := e.reflected(v.Index(i)); err != nil {
			return err.inside(index(i))
		}
	}
	e.leave()
	return nil
}

func (e *encoder) bytes(v reflect.Value) *Error {
	if v.Kind() == reflect.Slice || v.CanAddr() {
		return e.bin(v.Bytes())
	}
	copied := reflect.New(v.Type()).Elem()
	copied.Set(v)
	return e.bin(copied.Bytes())
}

func (e *encoder) mapping(v reflect.Value) *Error {
	values := make(map[string]reflect.Value, v.Len())
	for entry := v.MapRange(); entry.Next(); {
		values[entry.Key().String()] = entry.Value()
	}
	return encodeMap(e, values, e.reflected)
}

func (e *encoder) structure(v reflect.Value, l *layout) *Error {
	if err := e.enter(); err != nil {
		return err
	}
	present := 0
	for i := range l.fields {
		if !l.fields[i].absent(v) {
			present++
		}
	}
	if err := e.dict(present); err != nil {
		return err
	}
	for i := range l.fields {
		f := &l.fields[i]
		if f.absent(v) {
			continue
		}
		e.buf = append(e.buf, f.key...)
		if err := e.node(0); err != nil {
			return err
		}
		if err := e.reflected(v.Field(f.index)); err != nil {
			return err.inside(name(f.name))
		}
	}
	e.leave()
	return nil
}

func (f *field) absent(v reflect.Value) bool {
	if !f.omitEmpty {
		return false
	}
	v = v.Field(f.index)
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		t, isTime := v.Interface().(time.Time)
		return isTime && t.IsZero()
	}
	return v.IsZero()
}
