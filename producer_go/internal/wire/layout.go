package wire

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode"
)

// layout is what is known about a type: why it may not travel, and the fields of a struct.
type layout struct {
	refusal string // "" when the type may travel
	fields  []field
	byName  map[string]int // index into fields
}

// field is a struct's field on the wire.
type field struct {
	name      string
	key       []byte // the encoded name
	index     int
	omitEmpty bool
}

// layouts caches the layout of every type met; it grows with the program's types, not with its data.
var layouts sync.Map // reflect.Type -> *layout

func layoutOf(t reflect.Type) *layout {
	if known, ok := layouts.Load(t); ok {
		return known.(*layout)
	}
	made := &layout{refusal: refusal(t)}
	if made.refusal == "" && t.Kind() == reflect.Struct && t != timeType {
		made.addFields(t)
	}
	known, _ := layouts.LoadOrStore(t, made)
	return known.(*layout)
}

var (
	timeType  = reflect.TypeFor[time.Time]()
	rawType   = reflect.TypeFor[Raw]()
	errorType = reflect.TypeFor[error]()
)

// refused are types whose natural encoding would not mean what the caller means.
var refused = map[reflect.Type]string{
	reflect.TypeFor[json.Number]():     "send an int64, a float64 or a string",
	reflect.TypeFor[json.RawMessage](): "decode a json.RawMessage first, or send it as a string",
	reflect.TypeFor[time.Duration]():   "send an integer and name its unit, as in timeout_ms",
	reflect.TypeFor[big.Int]():         "send a decimal string",
	reflect.TypeFor[big.Float]():       "send a decimal string",
	reflect.TypeFor[big.Rat]():         "send a decimal string",
}

func refusal(t reflect.Type) string {
	if remedy, found := refused[t]; found {
		return fmt.Sprintf("the type %s cannot travel; %s", t, remedy)
	}
	if t.Kind() != reflect.Interface && (t.Implements(errorType) || reflect.PointerTo(t).Implements(errorType)) {
		return fmt.Sprintf("the type %s is an error and cannot travel; send its text", t)
	}
	switch t.Kind() {
	case reflect.Complex64, reflect.Complex128, reflect.Chan, reflect.Func, reflect.Uintptr, reflect.UnsafePointer:
		return fmt.Sprintf("the type %s cannot travel", t)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return fmt.Sprintf("the type %s cannot travel; only strings are keys", t)
		}
	}
	return ""
}

func (l *layout) addFields(t reflect.Type) {
	l.byName = make(map[string]int)
	for i := range t.NumField() {
		f, problem := fieldOf(t.Field(i), i)
		if problem != "" {
			l.refusal = fmt.Sprintf("the field %s of %s %s", t.Field(i).Name, t, problem)
			return
		}
		if f == nil {
			continue
		}
		if _, double := l.byName[f.name]; double {
			l.refusal = fmt.Sprintf("the type %s has two fields named %q", t, f.name)
			return
		}
		l.byName[f.name] = len(l.fields)
		l.fields = append(l.fields, *f)
	}
	if len(l.fields) == 0 && t.NumField() > 0 {
		l.refusal = fmt.Sprintf("the type %s has no exported fields, it would arrive empty", t)
	}
}

// fieldOf returns nil for a field that does not travel.
func fieldOf(sf reflect.StructField, i int) (*field, string) {
	tag, tagged := sf.Tag.Lookup("msgpack")
	if tag == "-" || (!sf.IsExported() && !tagged && !sf.Anonymous) {
		return nil, ""
	}
	name, option, _ := strings.Cut(tag, ",")
	switch {
	case sf.Anonymous && name == "":
		return nil, "is embedded; give it a name, or leave it out with `msgpack:\"-\"`"
	case !sf.IsExported():
		return nil, "has a msgpack tag but is not exported"
	case option != "" && option != "omitempty":
		return nil, fmt.Sprintf("has the unknown tag option %q", option)
	case name == "":
		name = snakeCase(sf.Name)
	}
	key := append(appendStrHeader(nil, len(name)), name...)
	return &field{name: name, key: key, index: i, omitEmpty: option == "omitempty"}, ""
}

// snakeCase turns UserID into user_id and HTTPServer2 into http_server2.
func snakeCase(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, c := range letters {
		afterLower := i > 0 && !unicode.IsUpper(letters[i-1])
		beforeLower := i > 0 && i+1 < len(letters) && unicode.IsLower(letters[i+1])
		if unicode.IsUpper(c) && (afterLower || beforeLower) && letters[i-1] != '_' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
