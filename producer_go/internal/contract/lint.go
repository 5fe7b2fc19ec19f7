package contract

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/penstock-mq/penstock/producer_go/typed"
)

// lint checks the rules that need more than one type.
func (r *reader) lint() {
	c := r.contract
	for _, name := range c.Positional {
		if !slices.ContainsFunc(c.Defs[c.Args].Properties, func(p *Property) bool { return p.Name == name }) {
			r.bad("x-task.positional", "%q is no argument", name)
		}
	}
	if c.Items != "" && r.target(&Type{Kind: Ref, Name: c.Items}).Kind == Null {
		r.bad("x-task.items", "an item is never null")
	}
	tags := map[string][]string{}
	for _, name := range c.Names {
		t, at := c.Defs[name], "$defs."+name
		r.walk(t, at, tags)
		if t.Kind == Null && name != c.Result {
			r.bad(at, "null is a result only")
		}
		if !r.ends(&Type{Kind: Ref, Name: name}, nil) {
			r.bad(at, "it holds itself without end; make a property optional, nullable or an array")
		}
	}
	for _, name := range c.Names {
		for _, p := range c.Defs[name].Properties {
			if p.Type.Kind == Const && !slices.Contains(tags[name], p.Name) {
				r.bad("$defs."+name+"."+p.Name, "const tells the objects of a union; there is no union here")
			}
		}
	}
	used := map[string]bool{}
	r.use(c.Args, used)
	r.use(c.Result, used)
	if c.Items != "" {
		r.use(c.Items, used)
	}
	for _, name := range c.Names {
		if !used[name] {
			r.bad("$defs."+name, "nothing refers to it")
		}
	}
}

func (r *reader) walk(t *Type, at string, tags map[string][]string) {
	switch t.Kind {
	case Ref:
		if r.contract.Defs[t.Name].Kind == Null {
			r.bad(at, "%s is null, which only a result is", t.Name)
		}
	case Nullable:
		if r.target(t.Of()).Kind == Nullable {
			r.bad(at, "a nullable type cannot be nullable again")
		}
	case Union:
		r.checkUnion(t, at, tags)
	}
	for _, p := range t.Properties {
		r.checkProperty(p, at+"."+p.Name)
		r.walk(p.Type, at+"."+p.Name, tags)
	}
	for _, of := range t.Elements {
		r.walk(of, at, tags)
	}
}

// target is the type behind references; one that goes in a circle stays a reference.
func (r *reader) target(t *Type) *Type {
	for seen := map[string]bool{}; t.Kind == Ref && !seen[t.Name]; t = r.contract.Defs[t.Name] {
		seen[t.Name] = true
	}
	return t
}

func (r *reader) checkUnion(t *Type, at string, tags map[string][]string) {
	var values []string
	for _, name := range t.Refs {
		i := slices.IndexFunc(r.contract.Defs[name].Properties, func(p *Property) bool { return p.Name == t.Discriminator })
		if i < 0 || !r.contract.Defs[name].Properties[i].Required || r.contract.Defs[name].Properties[i].Type.Kind != Const {
			r.bad(at, "%s has no required property %q with a const", name, t.Discriminator)
			continue
		}
		tags[name] = append(tags[name], t.Discriminator)
		values = append(values, r.contract.Defs[name].Properties[i].Type.Strings[0])
	}
	if repeated(values) {
		r.bad(at, "two of its objects have the same %q", t.Discriminator)
	}
}

func (r *reader) checkProperty(p *Property, at string) {
	t := r.target(p.Type)
	switch {
	case !p.Required && t.Kind == Nullable:
		r.bad(at, "it is optional and nullable; make it required, or never null")
	case p.Default == "":
	case p.Required:
		r.bad(at, "it is required and has a default")
	case !isDefault(t, p.Default):
		r.bad(at, "the default %s does not fit its type, or its type takes none", p.Default)
	}
}

// isDefault tells whether a JSON text may be the default of a type.
func isDefault(t *Type, text string) bool {
	var value any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return false
	}
	str, isStr := value.(string)
	n, isWhole := whole(value)
	_, isNumber := value.(json.Number)
	switch t.Kind {
	case Bool:
		_, ok := value.(bool)
		return ok
	case Int:
		return isWhole && (t.Min == nil || float64(n) >= number(*t.Min)) && (t.Max == nil || float64(n) <= number(*t.Max))
	case Float:
		return isNumber && inRange(t, number(text))
	case Str:
		size := utf8.RuneCountInString(str)
		return isStr && (t.Low == nil || size >= *t.Low) && (t.High == nil || size <= *t.High)
	case Formatted:
		return isStr && map[string]func(string) bool{"decimal": typed.IsDecimal, "uuid": typed.IsUUID, "date": typed.IsDate}[t.Format](str)
	case Enum:
		return isStr && slices.Contains(t.Strings, str) || isWhole && slices.Contains(t.Ints, n)
	}
	return false
}

func inRange(t *Type, f float64) bool {
	return (t.Min == nil || f >= number(*t.Min)) && (t.Max == nil || f <= number(*t.Max)) &&
		(t.ExclusiveMin == nil || f > number(*t.ExclusiveMin)) && (t.ExclusiveMax == nil || f < number(*t.ExclusiveMax))
}

// ends tells whether there is a value of the type that is not infinite; inside are the names being looked at.
func (r *reader) ends(t *Type, inside []string) bool {
	each := func(of *Type) bool { return r.ends(of, inside) }
	switch t.Kind {
	case Ref:
		return !slices.Contains(inside, t.Name) && r.ends(r.contract.Defs[t.Name], append(slices.Clone(inside), t.Name))
	case Nullable:
		return true
	case List, Map:
		return t.Low == nil || *t.Low == 0 || each(t.Of())
	case Tuple:
		return !slices.ContainsFunc(t.Elements, func(of *Type) bool { return !each(of) })
	case Union:
		return slices.ContainsFunc(t.Refs, func(name string) bool { return each(&Type{Kind: Ref, Name: name}) })
	case Object:
		return !slices.ContainsFunc(t.Properties, func(p *Property) bool { return p.Required && !each(p.Type) })
	}
	return true
}

func (r *reader) use(name string, used map[string]bool) {
	if used[name] {
		return
	}
	used[name] = true
	var see func(t *Type)
	see = func(t *Type) {
		if t.Kind == Ref {
			r.use(t.Name, used)
		}
		for _, ref := range t.Refs {
			r.use(ref, used)
		}
		for _, of := range t.Elements {
			see(of)
		}
		for _, p := range t.Properties {
			see(p.Type)
		}
	}
	see(r.contract.Defs[name])
}

// ── values of JSON ──────────────────────────────────────────────────────────────────────────────────────

// whole returns the integer that a JSON number is, if it is written as one.
func whole(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	return i, err == nil
}

func number(text string) float64 {
	f, _ := strconv.ParseFloat(text, 64) // it has been read as a number before
	return f
}

func texts(v any) ([]string, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	made := make([]string, len(list))
	for i, each := range list {
		if made[i], ok = each.(string); !ok {
			return nil, false
		}
	}
	return made, true
}

func repeated(names []string) bool {
	sorted := slices.Sorted(slices.Values(names))
	return len(slices.Compact(sorted)) < len(names)
}

// camel is a name in CamelCase, by which two properties must differ.
func camel(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words {
		if word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}
