package wire

import (
	"maps"
	"slices"
	"time"
)

// Misfit says where and how a value does not fit what a contract says of it. Path, Rule and Kind are those of
// contracts/DIALECT.md.
type Misfit struct {
	Path    string
	Rule    string
	Kind    string
	Message string
}

// Decodable is a value that reads itself, without reflection.
type Decodable interface{ DecodeFrom(r *Reader) }

// Reader is the decoder for code that knows its types. It reads bytes that have passed [Check]. The first
// misfit stays; from then on every call gives the zero value.
type Reader struct {
	d      decoder
	steps  []step
	misfit *Misfit
	strict bool
}

// step is a property, or with an index from 0 an element.
type step struct {
	name  string
	index int
}

// NewReader returns a reader of one value. A strict one holds unknown properties against the value, as is
// right for arguments; any other skips them.
func NewReader(checked Raw, strict bool) *Reader {
	return &Reader{d: decoder{b: checked}, strict: strict}
}

// Strict tells whether the value is read as arguments are.
func (r *Reader) Strict() bool { return r.strict }

// Misfit returns the first misfit, or nil.
func (r *Reader) Misfit() *Misfit { return r.misfit }

// Fail keeps a misfit at the present place, if there is none yet.
func (r *Reader) Fail(rule, kind, message string) {
	if r.misfit == nil {
		r.misfit = &Misfit{Path: r.path(), Rule: rule, Kind: kind, Message: message}
	}
}

// FailAt is Fail for a place below the present one.
func (r *Reader) FailAt(path, rule, kind, message string) {
	if r.misfit != nil {
		return
	}
	here := r.path()
	if here != "" && path != "" && path[0] != '[' {
		here += "."
	}
	r.misfit = &Misfit{Path: here + path, Rule: rule, Kind: kind, Message: message}
}

func (r *Reader) path() string {
	path := ""
	for i, s := range r.steps {
		switch {
		case s.index >= 0:
			path += index(s.index)
		case i == 0 && plain(s.name):
			path = s.name
		default:
			path += name(s.name)
		}
	}
	return path
}

// Property enters the property or key of that name; Leave leaves it.
func (r *Reader) Property(name string) { r.steps = append(r.steps, step{name: name, index: -1}) }

// Index enters an element.
func (r *Reader) Index(i int) { r.steps = append(r.steps, step{index: i}) }

// Leave leaves what was entered last.
func (r *Reader) Leave() { r.steps = r.steps[:len(r.steps)-1] }

// want reads the next value if it is of that kind; ok is false when there is a misfit.
func (r *Reader) want(k kind, what string) (start, at int, ok bool) {
	if r.misfit != nil {
		return 0, 0, false
	}
	got, start, at, _ := r.d.next()
	if got != k {
		r.Fail("type", got.String(), "must be "+what)
		return 0, 0, false
	}
	return start, at, true
}

// Null tells whether the next value is nil, and steps over it if so.
func (r *Reader) Null() bool {
	if r.misfit != nil || r.d.b[r.d.pos] != 0xc0 {
		return false
	}
	r.d.pos++
	return true
}

// Nil reads nil.
func (r *Reader) Nil() { r.want(kindNil, "nil") }

// Bool reads a bool.
func (r *Reader) Bool() bool {
	start, _, ok := r.want(kindBool, "a bool")
	return ok && r.d.b[start] == 0xc3
}

// Int reads an int.
func (r *Reader) Int() int64 {
	start, _, ok := r.want(kindInt, "an int")
	if !ok {
		return 0
	}
	return integer(r.d.b, start, r.d.pos)
}

// Float reads a float, or an int that is one without loss.
func (r *Reader) Float() float64 {
	if r.misfit != nil {
		return 0
	}
	k, start, at, _ := r.d.next()
	switch k {
	case kindFloat:
		return float(r.d.b[at:r.d.pos])
	case kindInt:
		if n := integer(r.d.b, start, r.d.pos); n >= -MaxSafeIntInFloat && n <= MaxSafeIntInFloat {
			return float64(n)
		}
		r.Fail("type", "int", "must be a float; this int is too large to be one")
		return 0
	}
	r.Fail("type", k.String(), "must be a float")
	return 0
}

// Floats reads an array of floats.
func (r *Reader) Floats() []float64 {
	n := r.Array()
	if n < 0 {
		return nil
	}
	list := make([]float64, n)
	for i := range list {
		if r.misfit == nil && r.d.b[r.d.pos] == 0xcb {
			list[i] = float(r.d.b[r.d.pos+1 : r.d.pos+9])
			r.d.pos += 9
			continue
		}
		r.Index(i)
		list[i] = r.Float()
		r.Leave()
	}
	return list
}

// Str reads a str.
func (r *Reader) Str() string {
	_, at, ok := r.want(kindStr, "a str")
	if !ok {
		return ""
	}
	return string(r.d.b[at:r.d.pos])
}

// Bin reads bytes, which are copied.
func (r *Reader) Bin() []byte { return append([]byte{}, r.Bytes()...) }

// Bytes reads bytes, which belong to the body.
func (r *Reader) Bytes() []byte {
	_, at, ok := r.want(kindBin, "bytes")
	if !ok {
		return nil
	}
	return r.d.b[at:r.d.pos]
}

// Time reads a timestamp.
func (r *Reader) Time() time.Time {
	_, at, ok := r.want(kindExt, "a timestamp")
	if !ok {
		return time.Time{}
	}
	return decodeTime(r.d.b[at:r.d.pos])
}

// Array reads the header of an array and returns how many elements follow; -1 when there is a misfit.
func (r *Reader) Array() int { return r.container(kindArray, "an array") }

// Map reads the header of a map and returns how many pairs follow; -1 when there is a misfit.
func (r *Reader) Map() int { return r.container(kindMap, "a map") }

func (r *Reader) container(k kind, what string) int {
	if r.misfit != nil {
		return -1
	}
	got, _, _, size := r.d.next()
	if got != k {
		r.Fail("type", got.String(), "must be "+what)
		return -1
	}
	return size
}

// Key reads the key of a pair.
func (r *Reader) Key() string {
	if r.misfit != nil {
		return ""
	}
	return r.d.key()
}

// Unknown deals with the value of a property that the contract does not have.
func (r *Reader) Unknown(name string) {
	if r.misfit != nil {
		return
	}
	if !r.strict {
		r.d.pos = skip(r.d.b, r.d.pos)
		return
	}
	r.Property(name)
	r.Fail("unknown", r.Kind(), "is not known")
	r.Leave()
}

// Missing keeps the misfit of a required property that is not there.
func (r *Reader) Missing(name string) {
	r.Property(name)
	r.Fail("missing", "absent", "is missing")
	r.Leave()
}

// Kind returns the kind of the value that comes next.
func (r *Reader) Kind() string {
	if r.misfit != nil {
		return ""
	}
	k, _, _ := header(r.d.b, r.d.pos)
	return k.String()
}

// Tag returns the str at that key of the map that comes next, without reading it. The others are the
// values that it may have.
func (r *Reader) Tag(key string, values ...string) string {
	if r.misfit != nil {
		return ""
	}
	ahead := decoder{b: r.d.b, pos: r.d.pos}
	k, _, _, size := ahead.next()
	if k != kindMap {
		r.Fail("type", k.String(), "must be a map")
		return ""
	}
	for range size {
		if ahead.key() != key {
			ahead.pos = skip(ahead.b, ahead.pos)
			continue
		}
		k, _, at, _ := ahead.next()
		if tag := string(ahead.b[at:ahead.pos]); k == kindStr && slices.Contains(values, tag) {
			return tag
		}
		r.Property(key)
		r.Fail("discriminator", k.String(), "is none of the objects of the union")
		r.Leave()
		return ""
	}
	r.Missing(key)
	return ""
}

// Const reads the str that tells an object of a union.
func (r *Reader) Const(value string) {
	if r.misfit != nil {
		return
	}
	k, _, at, _ := r.d.next()
	if k != kindStr || string(r.d.b[at:r.d.pos]) != value {
		r.Fail("const", k.String(), "must be "+value)
	}
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
