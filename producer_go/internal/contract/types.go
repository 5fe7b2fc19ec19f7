package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// definition reads an entry of $defs, where alone objects and null stand.
func (r *reader) definition(v any, at string) *Type {
	if o, ok := v.(*object); ok {
		switch {
		case o.values["type"] == "object" && o.has("properties"):
			return r.form(o, at, r.object, "type", "properties", "required", "additionalProperties")
		case o.values["type"] == "null":
			return r.form(o, at, simple(Null), "type")
		}
	}
	return r.read(v, at)
}

// read reads any other schema; nil: there was a problem.
func (r *reader) read(v any, at string) *Type {
	o, ok := v.(*object)
	if !ok {
		return r.bad(at, "it is not an object")
	}
	switch {
	case o.has("$ref"):
		return r.ref(o, at)
	case o.has("oneOf") && o.has("x-discriminator"):
		return r.form(o, at, r.union, "oneOf", "x-discriminator")
	case o.has("oneOf"):
		return r.form(o, at, r.nullable, "oneOf")
	}
	with := func(read func(*object, string) *Type, keywords ...[]string) *Type {
		return r.form(o, at, read, append(slices.Concat(keywords...), "type")...)
	}
	switch formOf(o) {
	case "boolean":
		return with(simple(Bool))
	case "integer":
		return with(r.integer, ranges)
	case "number":
		return with(r.float, floatRanges)
	case "string":
		return with(r.counted(Str, lengths), lengths)
	case "bin":
		return with(r.counted(Bin, lengths), lengths, []string{"x-wire"})
	case "timestamp":
		return with(simple(Timestamp), []string{"x-wire"})
	case "ndarray":
		return with(r.ndarray, items, []string{"x-wire", "x-dtype", "x-ndim", "x-allow-nonfinite"})
	case "enum":
		return with(r.enum, []string{"enum", "x-enum-names", "x-open-enum"})
	case "formatted":
		return with(r.formatted, []string{"format"})
	case "array":
		return with(r.list, items, []string{"items"})
	case "tuple":
		return with(r.tuple, []string{"prefixItems", "items", "minItems"})
	case "map":
		return with(r.mapping, sizes, []string{"additionalProperties"})
	}
	return r.bad(at, "it is none of the dialect's types")
}

// formOf tells which form a schema wants to be.
func formOf(o *object) string {
	kind, _ := o.values["type"].(string)
	if o.has("x-wire") {
		switch pair := [2]any{kind, o.values["x-wire"]}; pair {
		case [2]any{"string", "bin"}, [2]any{"string", "timestamp"}, [2]any{"object", "ndarray"}:
			return pair[1].(string)
		}
		return ""
	}
	switch {
	case (kind == "string" || kind == "integer") && o.has("enum"):
		return "enum"
	case kind == "string" && o.has("format"):
		return "formatted"
	case kind == "array" && o.has("prefixItems"):
		return "tuple"
	case kind == "object" && o.has("additionalProperties") && !o.has("properties"):
		return "map"
	case kind == "array" && !o.has("items"), kind == "object":
		return ""
	}
	return kind
}

// form checks the keywords, reads the type and gives it its description.
func (r *reader) form(o *object, at string, read func(*object, string) *Type, keywords ...string) *Type {
	for _, key := range o.keys {
		if key != "description" && !slices.Contains(keywords, key) {
			r.bad(at, "%s has no meaning here", key)
		}
	}
	description := r.str(o, "description", at)
	t := read(o, at)
	if t != nil {
		t.Description = description
	}
	return t
}

func simple(kind Kind) func(*object, string) *Type {
	return func(*object, string) *Type { return &Type{Kind: kind} }
}

func (r *reader) ref(o *object, at string) *Type {
	target, _ := o.values["$ref"].(string)
	name, ok := strings.CutPrefix(target, refPrefix)
	switch {
	case len(o.keys) > 1:
		return r.bad(at, "$ref stands alone")
	case !ok || !slices.Contains(r.names, name):
		return r.bad(at, "$ref %q names nothing in $defs", target)
	}
	return &Type{Kind: Ref, Name: name}
}

func (r *reader) union(o *object, at string) *Type {
	discriminator, _ := o.values["x-discriminator"].(string)
	if !identifier.MatchString(discriminator) {
		return r.bad(at, "x-discriminator is not the name of a property")
	}
	list, ok := o.values["oneOf"].([]any)
	if !ok || len(list) < 2 {
		return r.bad(at, "oneOf is not a list of two or more objects")
	}
	t := &Type{Kind: Union, Discriminator: discriminator}
	for i, each := range list {
		of := r.read(each, fmt.Sprintf("%s.oneOf[%d]", at, i))
		if of == nil || of.Kind != Ref {
			return r.bad(at, "oneOf holds something other than references")
		}
		t.Refs = append(t.Refs, of.Name)
	}
	if repeated(t.Refs) {
		return r.bad(at, "oneOf names an object twice")
	}
	return t
}

func (r *reader) nullable(o *object, at string) *Type {
	list, ok := o.values["oneOf"].([]any)
	if !ok || len(list) != 2 || !isNull(list[1]) || isNull(list[0]) {
		return r.bad(at, `oneOf without x-discriminator is [S, {"type": "null"}]`)
	}
	of := r.read(list[0], at+".oneOf[0]")
	if of == nil {
		return nil
	}
	if of.Kind == Nullable {
		return r.bad(at, "a nullable type cannot be nullable again")
	}
	return &Type{Kind: Nullable, Elements: []*Type{of}}
}

func isNull(v any) bool {
	o, ok := v.(*object)
	return ok && len(o.keys) == 1 && o.values["type"] == "null"
}

func (r *reader) object(o *object, at string) *Type {
	if o.values["additionalProperties"] != false {
		r.bad(at, "additionalProperties is not false")
	}
	properties, ok := o.values["properties"].(*object)
	if !ok {
		return r.bad(at, "properties is not an object")
	}
	required, ok := texts(o.values["required"])
	if !ok {
		return r.bad(at, "required is not a list of names")
	}
	if repeated(required) {
		r.bad(at, "required names a property twice")
	}
	for _, name := range required {
		if !properties.has(name) {
			r.bad(at, "required names %q, which is no property", name)
		}
	}
	t := &Type{Kind: Object}
	seen := map[string]string{}
	for _, name := range properties.keys {
		switch other, taken := seen[camel(name)]; {
		case !identifier.MatchString(name):
			r.bad(at, "%q is not an identifier", name)
		case taken:
			r.bad(at, "%q and %q are the same in CamelCase; rename one", other, name)
		}
		seen[camel(name)] = name
		if p := r.property(name, slices.Contains(required, name), properties.values[name], at+"."+name); p != nil {
			t.Properties = append(t.Properties, p)
		}
	}
	return t
}

func (r *reader) property(name string, required bool, v any, at string) *Property {
	p := &Property{Name: name, Required: required}
	o, ok := v.(*object)
	switch {
	case ok && o.values["type"] == "string" && o.has("const"):
		p.Type = r.form(o, at, r.constant, "type", "const")
	case ok && o.has("default"):
		text, _ := json.Marshal(o.values["default"])
		p.Default = string(text)
		without := &object{values: o.values}
		for _, key := range o.keys {
			if key != "default" {
				without.keys = append(without.keys, key)
			}
		}
		p.Type = r.read(without, at)
	default:
		p.Type = r.read(v, at)
	}
	if p.Type == nil {
		return nil
	}
	return p
}

func (r *reader) constant(o *object, at string) *Type {
	value, ok := o.values["const"].(string)
	if !ok {
		return r.bad(at, "const is not a string")
	}
	return &Type{Kind: Const, Strings: []string{value}}
}

func (r *reader) enum(o *object, at string) *Type {
	t := &Type{Kind: Enum}
	list, _ := o.values["enum"].([]any)
	values := make([]string, 0, len(list))
	for _, each := range list {
		text, isText := each.(string)
		n, isInt := whole(each)
		switch {
		case o.values["type"] == "string" && isText && text != "":
			t.Strings = append(t.Strings, text)
		case o.values["type"] == "integer" && isInt:
			t.Ints = append(t.Ints, n)
			text = fmt.Sprint(n)
		default:
			return r.bad(at, "enum is not a list of one or more values of its type")
		}
		values = append(values, text)
	}
	if len(values) == 0 || repeated(values) {
		return r.bad(at, "enum is not a list of one or more different values")
	}
	if o.has("x-enum-names") {
		names, ok := texts(o.values["x-enum-names"])
		if !ok || len(names) != len(values) || repeated(names) || slices.ContainsFunc(names, func(n string) bool { return !codeName.MatchString(n) }) {
			return r.bad(at, "x-enum-names does not have a different UPPER_SNAKE name for each value")
		}
		t.Names = names
	}
	t.Open = r.flag(o, "x-open-enum", at)
	return t
}

func (r *reader) formatted(o *object, at string) *Type {
	format, _ := o.values["format"].(string)
	if !slices.Contains(formats, format) {
		return r.bad(at, "format is none of %s", strings.Join(formats, ", "))
	}
	return &Type{Kind: Formatted, Format: format}
}

func (r *reader) list(o *object, at string) *Type {
	t := r.counted(List, items)(o, at)
	of := r.read(o.values["items"], at+"[]")
	if of == nil {
		return nil
	}
	t.Elements = []*Type{of}
	return t
}

func (r *reader) tuple(o *object, at string) *Type {
	list, ok := o.values["prefixItems"].([]any)
	if !ok || len(list) == 0 {
		return r.bad(at, "prefixItems is not a list of one or more types")
	}
	if n, ok := whole(o.values["minItems"]); !ok || n != int64(len(list)) || o.values["items"] != false {
		r.bad(at, "beside prefixItems stand items: false and minItems: %d", len(list))
	}
	t := &Type{Kind: Tuple}
	for i, each := range list {
		of := r.read(each, fmt.Sprintf("%s[%d]", at, i))
		if of == nil {
			return nil
		}
		t.Elements = append(t.Elements, of)
	}
	return t
}

func (r *reader) mapping(o *object, at string) *Type {
	t := r.counted(Map, sizes)(o, at)
	of := r.read(o.values["additionalProperties"], at+"{}")
	if of == nil {
		return nil
	}
	t.Elements = []*Type{of}
	return t
}

func (r *reader) ndarray(o *object, at string) *Type {
	t := r.counted(NDArray, items)(o, at)
	t.Dtype, _ = o.values["x-dtype"].(string)
	if !slices.Contains(dtypes, t.Dtype) {
		return r.bad(at, "x-dtype is none of %s", strings.Join(dtypes, ", "))
	}
	if o.has("x-ndim") {
		n, ok := whole(o.values["x-ndim"])
		if !ok || n < 0 || n > maxNDim {
			return r.bad(at, "x-ndim is not in 0 to %d", maxNDim)
		}
		ndim := int(n)
		t.NDim = &ndim
	}
	if t.NonFinite = r.flag(o, "x-allow-nonfinite", at); t.NonFinite && !strings.HasPrefix(t.Dtype, "float") {
		r.bad(at, "x-allow-nonfinite has no meaning with %s", t.Dtype)
	}
	return t
}

func (r *reader) integer(o *object, at string) *Type {
	t := &Type{Kind: Int}
	t.Min, t.Max = r.bound(o, "minimum", at, true), r.bound(o, "maximum", at, true)
	r.room(t.Min, t.Max, false, at)
	return t
}

func (r *reader) float(o *object, at string) *Type {
	t := &Type{Kind: Float, NonFinite: r.flag(o, "x-allow-nonfinite", at)}
	t.Min, t.Max = r.bound(o, "minimum", at, false), r.bound(o, "maximum", at, false)
	t.ExclusiveMin, t.ExclusiveMax = r.bound(o, "exclusiveMinimum", at, false), r.bound(o, "exclusiveMaximum", at, false)
	if t.Min != nil && t.ExclusiveMin != nil || t.Max != nil && t.ExclusiveMax != nil {
		r.bad(at, "a bound is both inclusive and exclusive")
		return t
	}
	low, high := t.Min, t.Max
	if low == nil {
		low = t.ExclusiveMin
	}
	if high == nil {
		high = t.ExclusiveMax
	}
	r.room(low, high, t.ExclusiveMin != nil || t.ExclusiveMax != nil, at)
	return t
}

// bound returns a bound as it is written.
func (r *reader) bound(o *object, key, at string, integer bool) *string {
	if !o.has(key) {
		return nil
	}
	n, ok := o.values[key].(json.Number)
	if _, isWhole := whole(o.values[key]); !ok || integer && !isWhole {
		r.bad(at, "%s is not a number of its type", key)
		return nil
	}
	text := n.String()
	return &text
}

func (r *reader) room(low, high *string, open bool, at string) {
	if low == nil || high == nil {
		return
	}
	if a, b := number(*low), number(*high); a > b || a == b && open {
		r.bad(at, "the bounds leave no value")
	}
}

// counted reads a type with bounds of a length or a count.
func (r *reader) counted(kind Kind, keys []string) func(*object, string) *Type {
	return func(o *object, at string) *Type {
		t := &Type{Kind: kind}
		for i, into := range []**int{&t.Low, &t.High} {
			if !o.has(keys[i]) {
				continue
			}
			n, ok := whole(o.values[keys[i]])
			if !ok || n < 0 {
				r.bad(at, "%s is not a whole number from 0", keys[i])
				continue
			}
			count := int(n)
			*into = &count
		}
		if t.Low != nil && t.High != nil && *t.Low > *t.High {
			r.bad(at, "the bounds leave no value")
		}
		return t
	}
}

func (r *reader) flag(o *object, key, at string) bool {
	value, ok := o.values[key].(bool)
	if !ok && o.has(key) {
		r.bad(at, "%s is not a boolean", key)
	}
	return value
}
