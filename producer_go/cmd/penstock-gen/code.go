package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-mq/penstock/producer_go/internal/contract"
)

// variable names the variable of a loop or block; each level has its own.
func (g *typer) variable(letter string) string { return fmt.Sprintf("%s%d", letter, g.depth) }

// bare is an expression without the parentheses that only a selector or an index needs.
func bare(expr string) string {
	if inner, ok := strings.CutPrefix(expr, "(*"); ok && strings.HasSuffix(inner, ")") && !strings.ContainsAny(inner[:len(inner)-1], "()") {
		return "*" + inner[:len(inner)-1]
	}
	return expr
}

// encode is the code that writes expr.
func (g *typer) encode(t *contract.Type, expr string) string {
	t = g.contract.Resolve(t)
	if isScalar(t) {
		expr = bare(expr)
	}
	switch t.Kind {
	case contract.Bool:
		return fmt.Sprintf("e.Bool(%s)", expr)
	case contract.Int:
		return fmt.Sprintf("e.Int(%s)", expr)
	case contract.Float:
		return fmt.Sprintf("e.Float(%s)", expr)
	case contract.Str, contract.Formatted:
		return fmt.Sprintf("e.Str(%s)", expr)
	case contract.Bin:
		return fmt.Sprintf("e.Bin(%s)", expr)
	case contract.Timestamp:
		return fmt.Sprintf("e.Time(%s)", expr)
	case contract.Enum:
		if len(t.Ints) > 0 {
			return fmt.Sprintf("e.Int(int64(%s))", expr)
		}
		return fmt.Sprintf("e.Str(string(%s))", expr)
	case contract.NDArray:
		return fmt.Sprintf("%s.Encode(e)", expr)
	case contract.List:
		if t.Of().Kind == contract.Float {
			return fmt.Sprintf("e.Floats(%s)", expr)
		}
		g.depth++
		defer func() { g.depth-- }()
		i := g.variable("i")
		return fmt.Sprintf("e.Array(len(%s))\nfor %s := range %[1]s {\n%[3]s\n}\ne.Close()", expr, i, g.encode(t.Of(), fmt.Sprintf("%s[%s]", expr, i)))
	case contract.Map:
		g.depth++
		defer func() { g.depth-- }()
		key, x := g.variable("key"), g.variable("x")
		return fmt.Sprintf("e.Map(len(%s))\nfor _, %s := range typed.Keys(%[1]s) {\ne.Key(%[2]s)\n%[3]s := %[1]s[%[2]s]\n%[4]s\n}\ne.Close()",
			expr, key, x, g.encode(t.Of(), x))
	case contract.Nullable:
		inner := expr
		if !g.hasNil(t.Of()) {
			inner = "(*" + expr + ")"
		}
		return fmt.Sprintf("if %s == nil {\ne.Nil()\n} else {\n%s\n}", expr, g.encode(t.Of(), inner))
	}
	return fmt.Sprintf("%s.encode(e)", expr)
}

// decode is the code that reads into target.
func (g *typer) decode(t *contract.Type, target, owner string) string {
	name := g.typeOf(t, owner)
	t = g.contract.Resolve(t)
	indexed := target
	if t.Kind != contract.Object && t.Kind != contract.Tuple && t.Kind != contract.Enum {
		target = bare(target)
	}
	set := func(format string, args ...any) string { return target + " = " + fmt.Sprintf(format, args...) }
	switch t.Kind {
	case contract.Bool:
		return set("d.Bool()")
	case contract.Int:
		return set("d.Int()")
	case contract.Float:
		return set("d.Float()")
	case contract.Str, contract.Formatted:
		return set("d.Str()")
	case contract.Bin:
		return set("d.Bin()")
	case contract.Timestamp:
		return set("d.Time()")
	case contract.Enum:
		read, kind := "d.Str()", "str"
		if len(t.Ints) > 0 {
			read, kind = "d.Int()", "int"
		}
		code := set("%s(%s)", name, read)
		if t.Open { // an open enum is one in results only
			code += fmt.Sprintf("\nif d.Strict() && !%s.Known() {\nd.Fail(\"enum\", %q, \"is none of the values\")\n}", target, kind)
		}
		return code
	case contract.NDArray:
		return set("typed.DecodeArray[%s](d)", t.Dtype)
	case contract.Union:
		return set("decode%s(d)", name)
	case contract.List:
		if t.Of().Kind == contract.Float {
			return set("d.Floats()")
		}
		g.depth++
		defer func() { g.depth-- }()
		n, i, x := g.variable("n"), g.variable("i"), g.variable("x")
		element := strings.TrimPrefix(name, "[]")
		return fmt.Sprintf("if %s := d.Array(); %[1]s >= 0 {\n%[2]s = make(%[3]s, 0, min(%[1]s, 4096))\nfor %[4]s := range %[1]s {\nd.Index(%[4]s)\nvar %[5]s %[6]s\n%[7]s\nd.Leave()\nif d.Misfit() != nil {\nbreak\n}\n%[2]s = append(%[2]s, %[5]s)\n}\n}",
			n, target, name, i, x, element, g.decode(t.Of(), x, owner))
	case contract.Map:
		g.depth++
		defer func() { g.depth-- }()
		n, key, x := g.variable("n"), g.variable("key"), g.variable("x")
		element := strings.TrimPrefix(name, "map[string]")
		return fmt.Sprintf("if %s := d.Map(); %[1]s >= 0 {\n%[2]s = make(%[3]s, min(%[1]s, 4096))\nfor range %[1]s {\n%[4]s := d.Key()\nd.Property(%[4]s)\nvar %[5]s %[6]s\n%[7]s\nd.Leave()\nif d.Misfit() != nil {\nbreak\n}\n%[8]s[%[4]s] = %[5]s\n}\n}",
			n, target, name, key, x, element, g.decode(t.Of(), x, owner), indexed)
	case contract.Nullable:
		inner := g.decode(t.Of(), target, owner)
		if !g.hasNil(t.Of()) {
			inner = fmt.Sprintf("%s = new(%s)\n%s", target, strings.TrimPrefix(name, "*"), g.decode(t.Of(), "(*"+target+")", owner))
		}
		return fmt.Sprintf("if d.Null() {\n%s = nil\n} else {\n%s\n}", target, inner)
	}
	return fmt.Sprintf("%s.decode(d)", target)
}

// validate is the code that returns the rule that expr breaks; "" when there is nothing to check. path are
// the calls that put the way to expr in front of the error's, outermost first.
func (g *typer) validate(t *contract.Type, expr string, path []string, owner string) string {
	name := g.typeOf(t, owner)
	t = g.contract.Resolve(t)
	if isScalar(t) && t.Kind != contract.Enum {
		expr = bare(expr)
	}
	way := ""
	for _, step := range slices.Backward(path) {
		way += step
	}
	var lines []string
	fail := func(condition, rule, kind, message string) {
		lines = append(lines, fmt.Sprintf("if %s {\nreturn typed.Fail(%q, %q, %q)%s\n}", condition, rule, kind, message, way))
	}
	bound := func(p *string, operator, rule, kind, words string) {
		if p != nil {
			fail(fmt.Sprintf("%s %s %s", expr, operator, *p), rule, kind, fmt.Sprintf("must be %s %s", words, *p))
		}
	}
	counts := func(length, rules, kind, unit string) {
		if t.Low != nil && *t.Low > 0 {
			fail(fmt.Sprintf("%s < %d", length, *t.Low), "min"+rules, kind, fmt.Sprintf("must have at least %d %s", *t.Low, unit))
		}
		if t.High != nil {
			fail(fmt.Sprintf("%s > %d", length, *t.High), "max"+rules, kind, fmt.Sprintf("must have at most %d %s", *t.High, unit))
		}
	}
	sub := func(call string) {
		lines = append(lines, fmt.Sprintf("if err := %s; err != nil {\nreturn err%s\n}", call, way))
	}
	switch t.Kind {
	case contract.Int, contract.Float:
		kind := "int"
		if t.Kind == contract.Float {
			kind = "float"
			if !t.NonFinite {
				fail(fmt.Sprintf("!typed.Finite(%s)", expr), "finite", kind, "must be finite")
			}
		}
		bound(t.Min, "<", "minimum", kind, "at least")
		bound(t.Max, ">", "maximum", kind, "at most")
		bound(t.ExclusiveMin, "<=", "exclusiveMinimum", kind, "above")
		bound(t.ExclusiveMax, ">=", "exclusiveMaximum", kind, "below")
	case contract.Str:
		counts(fmt.Sprintf("typed.Runes(%s)", expr), "Length", "str", "characters")
	case contract.Bin:
		counts(fmt.Sprintf("len(%s)", expr), "Length", "bin", "bytes")
	case contract.Timestamp:
		fail(fmt.Sprintf("!typed.IsTime(%s)", expr), "type", "timestamp", "must lie in the years 1 to 9999")
	case contract.Formatted:
		check := map[string]string{"decimal": "IsDecimal", "uuid": "IsUUID", "date": "IsDate"}[t.Format]
		words := map[string]string{"decimal": "a decimal number such as -12.50", "uuid": "a UUID in lower case", "date": "a date, YYYY-MM-DD"}[t.Format]
		fail(fmt.Sprintf("!typed.%s(%s)", check, expr), "format", "str", "must be "+words)
	case contract.Enum:
		if !t.Open {
			kind := "str"
			if len(t.Ints) > 0 {
				kind = "int"
			}
			fail(fmt.Sprintf("!%s.Known()", expr), "enum", kind, "is none of the values of "+name)
		}
	case contract.NDArray:
		sub(fmt.Sprintf("%s.Check(typed.ArrayBounds{NDim: %s, MinItems: %s, MaxItems: %s, NonFinite: %v})",
			expr, orMinus(t.NDim), orZero(t.Low), orMinus(t.High), t.NonFinite))
	case contract.Union:
		fail(expr+" == nil", "missing", "absent", "is missing")
		sub(expr + ".validate()")
	case contract.Object, contract.Tuple:
		sub(expr + ".validate()")
	case contract.List:
		counts(fmt.Sprintf("len(%s)", expr), "Items", "array", "elements")
		g.depth++
		defer func() { g.depth-- }()
		i := g.variable("i")
		if inner := g.validate(t.Of(), fmt.Sprintf("%s[%s]", expr, i), append(slices.Clone(path), fmt.Sprintf(".At(%s)", i)), owner); inner != "" {
			lines = append(lines, fmt.Sprintf("for %s := range %s {\n%s\n}", i, expr, inner))
		}
	case contract.Map:
		counts(fmt.Sprintf("len(%s)", expr), "Properties", "map", "keys")
		g.depth++
		defer func() { g.depth-- }()
		key, x := g.variable("key"), g.variable("x")
		if inner := g.validate(t.Of(), x, append(slices.Clone(path), fmt.Sprintf(".In(%s)", key)), owner); inner != "" {
			lines = append(lines, fmt.Sprintf("for %s, %s := range %s {\n%s\n}", key, x, expr, inner))
		}
	case contract.Nullable:
		inner := expr
		if !g.hasNil(t.Of()) {
			inner = "(*" + expr + ")"
		}
		if code := g.validate(t.Of(), inner, path, owner); code != "" {
			lines = append(lines, fmt.Sprintf("if %s != nil {\n%s\n}", expr, code))
		}
	}
	return strings.Join(lines, "\n")
}

// isScalar tells whether code for the type has the expression as an operand only.
func isScalar(t *contract.Type) bool {
	switch t.Kind {
	case contract.Bool, contract.Int, contract.Float, contract.Str, contract.Formatted, contract.Bin, contract.Timestamp, contract.Enum:
		return true
	}
	return false
}

func orMinus(p *int) string {
	if p == nil {
		return "-1"
	}
	return fmt.Sprint(*p)
}

func orZero(p *int) string {
	if p == nil {
		return "0"
	}
	return fmt.Sprint(*p)
}
