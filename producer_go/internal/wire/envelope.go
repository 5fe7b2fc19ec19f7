package wire

import (
	"math"
	"slices"
)

// version is the only envelope version there is.
const version = 1

// envelope is a body's outer map: the encoded values of its known fields, nil where one is missing.
type envelope struct {
	kind   string
	fields []string
	values []Raw
}

// open inflates the body, and checks the profile and the fields v and kind, in the order of PROFILE.md section 2.
func open(body []byte, maxBytes int, kind string, fields []string) (*envelope, error) {
	body, err := Inflate(body, maxBytes)
	if err != nil {
		return nil, err
	}
	if err := Check(body, maxBytes); err != nil {
		return nil, err
	}
	if k, _, _ := header(body, 0); k != kindMap {
		return nil, bad("the body is %s, not a map", withArticle(k))
	}
	e := split(Raw(body), kind, fields)
	v := e.get("v")
	switch {
	case v == nil || v.kind() != kindInt:
		return nil, bad("the field v is missing or no integer")
	case v.int() != version:
		return nil, &Error{CodeUnsupportedEnvelope, "this is an envelope of a version that this program does not know; only v = 1 is known"}
	}
	if found := e.get("kind"); found == nil || found.kind() != kindStr || found.str() != kind {
		return nil, bad("the field kind is not %q", kind)
	}
	return e, nil
}

// split finds the fields of a map; unknown ones are passed over.
func split(b Raw, kind string, fields []string) *envelope {
	e := &envelope{kind: kind, fields: fields, values: make([]Raw, len(fields))}
	_, pos, pairs := header(b, 0)
	for range pairs {
		_, at, size := header(b, pos)
		start := at + size
		pos = skip(b, start)
		if i := slices.Index(fields, string(b[at:start])); i >= 0 {
			e.values[i] = b[start:pos:pos]
		}
	}
	return e
}

func (e *envelope) get(field string) Raw { return e.values[slices.Index(e.fields, field)] }

// require returns an error naming the first of the fields that is missing.
func (e *envelope) require(fields ...string) error {
	for _, field := range fields {
		if e.get(field) == nil {
			return bad("the %s has no field %s", e.kind, field)
		}
	}
	return nil
}

// fits returns an error when a field is there but ok refuses it. A field's type comes first in want.
func (e *envelope) fits(field, want string, k kind, ok func(Raw) bool) error {
	if v := e.get(field); v != nil && (v.kind() != k || ok != nil && !ok(v)) {
		return bad("the field %s of the %s is not %s", field, e.kind, want)
	}
	return nil
}

// first returns the first error there is.
func first(errors ...error) error {
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	return nil
}

// Rules for fields, beside their type.

func isJobID(v Raw) bool { return ValidJobID(v.str()) }
func isTask(v Raw) bool  { return ValidTask(v.str()) }

func isPositive(v Raw) bool { return v.int() >= 1 && v.int() <= math.MaxInt32 }
func isCount(v Raw) bool    { return v.int() >= 0 && v.int() <= math.MaxInt32 }
func isTime(v Raw) bool     { return v.int() >= 0 }

// Readers of single values; each expects its kind, but for a nil Raw, which gives zero.

func (r Raw) kind() kind {
	k, _, _ := header(r, 0)
	return k
}

func (r Raw) int() int64 {
	if r == nil {
		return 0
	}
	return integer(r, 0, len(r))
}

func (r Raw) optionalInt() *int64 {
	if r == nil {
		return nil
	}
	n := r.int()
	return &n
}

func (r Raw) str() string {
	if r == nil {
		return ""
	}
	_, at, _ := header(r, 0)
	return string(r[at:])
}

func (r Raw) bool() bool { return r != nil && r[0] == 0xc3 }

// each calls visit for every pair of a map until it returns false, and tells whether it never did.
func (r Raw) each(visit func(key string, value Raw) bool) bool {
	_, pos, pairs := header(r, 0)
	for range pairs {
		_, at, size := header(r, pos)
		start := at + size
		pos = skip(r, start)
		if !visit(string(r[at:start]), r[start:pos:pos]) {
			return false
		}
	}
	return true
}
