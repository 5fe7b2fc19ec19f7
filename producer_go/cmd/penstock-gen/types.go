package main

import (
	"fmt"
	"strings"

	"github.com/penstock-mq/penstock/producer_go/internal/contract"
)

// goType is a type declaration, as the template sees it. Which fields count depends on Kind.
type goType struct {
	Kind contract.Kind
	Name string
	Doc  string

	Fields        []field // Object, Tuple
	Base          string  // Enum: string or int64
	Values        []value // Enum
	Variants      []variant
	Discriminator string
	Required      []field // Object: those that have to be there
	Optional      []field
	Needed        int // Object: properties that are always written
}

type field struct {
	Name     string // of the Go field; "" for a constant
	Property string
	Index    int
	Type     string
	Doc      string
	Required bool
	Present  string // the condition under which an optional one is written
	Const    string
	Encode   string
	Decode   string
	Validate string
}

type value struct{ Name, Literal string }

type variant struct{ Tag, Type string }

// typer makes Go types of the types of one contract.
type typer struct {
	pkg      *pkg
	contract *contract.Contract
	depth    int // of loops, for the names of their variables
}

// about is the first line of a named type's documentation.
func (g *typer) about(name string) string {
	c := g.contract
	switch name {
	case c.Args:
		return fmt.Sprintf("are the arguments of the task %s, version %d.", c.Task, c.Version)
	case c.Result:
		return fmt.Sprintf("is the result of the task %s, version %d.", c.Task, c.Version)
	case c.Items:
		return fmt.Sprintf("is an item of the task %s, version %d.", c.Task, c.Version)
	}
	return fmt.Sprintf("is a type of the task %s.", c.Task)
}

// named adds the declaration of a type that has a name of its own.
func (g *typer) named(name string, t *contract.Type, about string) {
	if g.pkg.done[name] {
		return
	}
	g.pkg.done[name] = true
	made := &goType{Kind: t.Kind, Name: name, Doc: name + " " + about}
	if t.Description != "" {
		made.Doc += "\n\n" + t.Description
	}
	g.pkg.Types = append(g.pkg.Types, made) // before those that it is made of
	switch t.Kind {
	case contract.Object:
		g.fields(made, t)
	case contract.Tuple:
		for i, of := range t.Elements {
			owner := fmt.Sprintf("%sItem%d", name, i)
			f := field{Name: fmt.Sprintf("Item%d", i), Index: i, Type: g.typeOf(of, owner)}
			f.Encode, f.Decode = g.encode(of, "v."+f.Name), g.decode(of, "v."+f.Name, owner)
			f.Validate = g.validate(of, "v."+f.Name, []string{fmt.Sprintf(".At(%d)", i)}, owner)
			made.Fields = append(made.Fields, f)
		}
	case contract.Enum:
		g.values(made, t)
	case contract.Union:
		g.pkg.names.taken[lowerFirst(name)] = true // its decode function is none of a value
		made.Discriminator = t.Discriminator
		for _, ref := range t.Refs {
			made.Variants = append(made.Variants, variant{g.contract.Tag(ref, t.Discriminator), g.pkg.types[g.contract][ref]})
		}
	}
}

func (g *typer) fields(made *goType, t *contract.Type) {
	taken := map[string]bool{}
	for i, p := range t.Properties {
		f := field{Property: p.Name, Index: i, Required: p.Required}
		if p.Type.Kind == contract.Const {
			f.Const = p.Type.Strings[0]
			f.Encode, f.Decode = fmt.Sprintf("e.Str(%q)", f.Const), fmt.Sprintf("d.Const(%q)", f.Const)
		} else {
			f.Name = fieldName(p.Name)
			for taken[f.Name] {
				f.Name += "Value"
			}
			taken[f.Name] = true
			g.field(&f, p, made.Name+goName(p.Name))
		}
		made.Fields = append(made.Fields, f)
		if p.Required {
			made.Required = append(made.Required, f)
			made.Needed++
		} else {
			made.Optional = append(made.Optional, f)
		}
	}
}

func (g *typer) field(f *field, p *contract.Property, owner string) {
	t, expr := p.Type, "v."+f.Name
	f.Type = g.typeOf(t, owner)
	f.Doc = fieldDoc(g.contract, p)
	path := []string{fmt.Sprintf(".In(%q)", p.Name)}
	if p.Required {
		f.Encode, f.Decode = g.encode(t, expr), g.decode(t, expr, owner)
		f.Validate = g.validate(t, expr, path, owner)
		return
	}
	f.Present = expr + " != nil"
	f.Encode, f.Decode = g.encode(t, expr), g.decode(t, expr, owner)
	checked := g.validate(t, expr, path, owner)
	if !g.hasNil(t) {
		f.Type = "*" + f.Type
		inner := "(*" + expr + ")"
		f.Encode = g.encode(t, inner)
		f.Decode = fmt.Sprintf("%s = new(%s)\n%s", expr, strings.TrimPrefix(f.Type, "*"), g.decode(t, inner, owner))
		checked = g.validate(t, inner, path, owner)
	}
	if checked != "" {
		f.Validate = fmt.Sprintf("if %s {\n%s\n}", f.Present, checked)
	}
}

func (g *typer) values(made *goType, t *contract.Type) {
	made.Base = "string"
	taken := map[string]bool{}
	add := func(i int, word, literal string) {
		name := made.Name + goName(word)
		if len(t.Names) > 0 {
			name = made.Name + goName(upperWords(t.Names[i]))
		}
		if taken[name] || goName(word) == "X" && len(t.Names) == 0 {
			name = fmt.Sprintf("%sValue%d", made.Name, i+1)
		}
		taken[name] = true
		made.Values = append(made.Values, value{g.pkg.names.free(name, "Value"), literal})
	}
	for i, text := range t.Strings {
		add(i, text, fmt.Sprintf("%q", text))
	}
	for i, n := range t.Ints {
		made.Base = "int64"
		add(i, strings.Replace(fmt.Sprintf("value_%d", n), "-", "minus_", 1), fmt.Sprint(n))
	}
}

// typeOf is the Go type of a type; owner is what it is called if it has to have a name.
func (g *typer) typeOf(t *contract.Type, owner string) string {
	switch t.Kind {
	case contract.Bool:
		return "bool"
	case contract.Int:
		return "int64"
	case contract.Float:
		return "float64"
	case contract.Str, contract.Formatted:
		return "string"
	case contract.Bin:
		return "[]byte"
	case contract.Timestamp:
		return "time.Time"
	case contract.List:
		return "[]" + g.typeOf(t.Of(), owner)
	case contract.Map:
		return "map[string]" + g.typeOf(t.Of(), owner)
	case contract.NDArray:
		return "typed.Array[" + t.Dtype + "]"
	case contract.Nullable:
		if g.hasNil(t.Of()) {
			return g.typeOf(t.Of(), owner)
		}
		return "*" + g.typeOf(t.Of(), owner)
	case contract.Ref:
		if name := g.pkg.types[g.contract][t.Name]; name != "" {
			return name
		}
		return g.typeOf(g.contract.Defs[t.Name], t.Name)
	}
	g.named(owner, t, fmt.Sprintf("is a type of the task %s.", g.contract.Task))
	return owner
}

// hasNil tells whether the Go type has a nil, which then stands for what is absent or nil.
func (g *typer) hasNil(t *contract.Type) bool {
	t = g.contract.Resolve(t)
	return t.Kind == contract.List || t.Kind == contract.Map || t.Kind == contract.Bin || t.Kind == contract.Union
}

// fieldDoc is a property's description and what else a caller has to know.
func fieldDoc(c *contract.Contract, p *contract.Property) string {
	t := c.Resolve(p.Type)
	notes := []string{}
	if p.Type.Description != "" {
		notes = append(notes, strings.TrimRight(p.Type.Description, ".")+".")
	}
	if bounds := boundsDoc(t); bounds != "" {
		notes = append(notes, bounds)
	}
	switch {
	case p.Default != "":
		notes = append(notes, fmt.Sprintf("Nil means %s.", p.Default))
	case !p.Required:
		notes = append(notes, "Nil means none.")
	case t.Kind == contract.Nullable:
		notes = append(notes, "It may be nil.")
	}
	return strings.Join(notes, " ")
}

func boundsDoc(t *contract.Type) string {
	unit := map[contract.Kind]string{
		contract.Str: "characters", contract.Bin: "bytes", contract.List: "elements", contract.Map: "keys", contract.NDArray: "elements",
	}[t.Kind]
	var words []string
	add := func(format string, p *string) {
		if p != nil {
			words = append(words, fmt.Sprintf(format, *p))
		}
	}
	add("at least %s", t.Min)
	add("above %s", t.ExclusiveMin)
	add("at most %s", t.Max)
	add("below %s", t.ExclusiveMax)
	if t.Low != nil && *t.Low > 0 {
		words = append(words, fmt.Sprintf("at least %d %s", *t.Low, unit))
	}
	if t.High != nil {
		words = append(words, fmt.Sprintf("at most %d %s", *t.High, unit))
	}
	if t.NDim != nil {
		words = append(words, fmt.Sprintf("%d dimensions", *t.NDim))
	}
	if t.Kind == contract.Formatted {
		words = append(words, map[string]string{"decimal": "a decimal number", "uuid": "a UUID in lower case", "date": "a date, YYYY-MM-DD"}[t.Format])
	}
	if len(words) == 0 {
		return ""
	}
	return upperFirst(strings.Join(words, ", ")) + "."
}
