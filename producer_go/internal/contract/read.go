package contract

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

const (
	schemaURI = "https://json-schema.org/draft/2020-12/schema"
	refPrefix = "#/$defs/"
	maxNDim   = 32
)

var (
	defName     = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	codeName    = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	identifier  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	callable    = regexp.MustCompile(`^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$`)
	formats     = []string{"decimal", "uuid", "date"}
	dtypes      = []string{"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}
	lengths     = []string{"minLength", "maxLength"}
	items       = []string{"minItems", "maxItems"}
	sizes       = []string{"minProperties", "maxProperties"}
	ranges      = []string{"minimum", "maximum"}
	floatRanges = []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "x-allow-nonfinite"}
)

// Read returns the contract that a document says, or an error with a line for each problem.
func Read(data []byte) (*Contract, error) {
	value, err := parse(data)
	if err != nil {
		return nil, err
	}
	document, ok := value.(*object)
	if !ok {
		return nil, errors.New("it is not a JSON object")
	}
	r := &reader{contract: &Contract{Hash: hash(data), Defs: map[string]*Type{}}}
	r.document(document)
	if len(r.problems) == 0 {
		r.lint()
	}
	if len(r.problems) > 0 {
		return nil, errors.New("  " + strings.Join(r.problems, "\n  "))
	}
	return r.contract, nil
}

// reader collects the problems of one document.
type reader struct {
	contract *Contract
	names    []string // of $defs, whether or not they could be read
	problems []string
}

// bad notes a problem and returns nil for the type that there is not.
func (r *reader) bad(at, format string, args ...any) *Type {
	text := fmt.Sprintf(format, args...)
	if at != "" {
		text = at + ": " + text
	}
	r.problems = append(r.problems, text)
	return nil
}

func (r *reader) document(o *object) {
	r.keys(o, "", []string{"$schema", "x-task", "$defs"}, []string{"description"})
	if o.has("$schema") && o.values["$schema"] != schemaURI {
		r.bad("$schema", "it is not %s", schemaURI)
	}
	r.contract.Description = r.str(o, "description", "")
	if defs, ok := o.values["$defs"].(*object); ok {
		r.names = defs.keys
		for _, name := range defs.keys {
			if !defName.MatchString(name) {
				r.bad("$defs", "%q is not CamelCase", name)
			}
			if t := r.definition(defs.values[name], "$defs."+name); t != nil {
				r.contract.Names = append(r.contract.Names, name)
				r.contract.Defs[name] = t
			}
		}
	} else if o.has("$defs") {
		r.bad("$defs", "it is not an object")
	}
	if task, ok := o.values["x-task"].(*object); ok {
		r.task(task)
	} else if o.has("x-task") {
		r.bad("x-task", "it is not an object")
	}
}

func (r *reader) keys(o *object, at string, needed, optional []string) {
	for _, key := range needed {
		if !o.has(key) {
			r.bad(at, "%s is missing", key)
		}
	}
	for _, key := range o.keys {
		if !slices.Contains(needed, key) && !slices.Contains(optional, key) {
			r.bad(at, "%s has no meaning here", key)
		}
	}
}

func (r *reader) str(o *object, key, at string) string {
	text, ok := o.values[key].(string)
	if !ok && o.has(key) {
		r.bad(at, "%s is not a string", key)
	}
	return text
}

func (r *reader) task(o *object) {
	c := r.contract
	r.keys(o, "x-task", []string{"name", "version", "args", "result"}, []string{"items", "errors", "callable", "positional", "deprecated_since"})
	if c.Task = r.str(o, "name", "x-task"); o.has("name") && !wire.ValidTask(c.Task) {
		r.bad("x-task.name", "it is no task's name, <queue>.<function>")
	}
	if n, ok := whole(o.values["version"]); ok && n >= 1 && n <= 1<<31-1 {
		c.Version = int(n)
	} else if o.has("version") {
		r.bad("x-task.version", "it is not in 1 to 2^31-1")
	}
	if c.Args = r.str(o, "args", "x-task"); o.has("args") && (c.Defs[c.Args] == nil || c.Defs[c.Args].Kind != Object) {
		r.bad("x-task.args", "it names no object of $defs")
	}
	if c.Result = r.str(o, "result", "x-task"); o.has("result") && c.Defs[c.Result] == nil {
		r.bad("x-task.result", "it names no type of $defs")
	}
	if c.Items = r.str(o, "items", "x-task"); o.has("items") && c.Defs[c.Items] == nil {
		r.bad("x-task.items", "it names no type of $defs")
	}
	if c.Callable = r.str(o, "callable", "x-task"); o.has("callable") && !callable.MatchString(c.Callable) {
		r.bad("x-task.callable", "it is not MODULE:CALLABLE")
	}
	if since := r.str(o, "deprecated_since", "x-task"); o.has("deprecated_since") {
		if _, err := time.Parse(time.DateOnly, since); err != nil {
			r.bad("x-task.deprecated_since", "it is not a date, YYYY-MM-DD")
		}
	}
	r.errors(o)
	if o.has("positional") {
		names, ok := texts(o.values["positional"])
		if !ok || repeated(names) {
			r.bad("x-task.positional", "it is not a list of different names")
		}
		c.Positional = names
	}
}

func (r *reader) errors(o *object) {
	errs, ok := o.values["errors"].(*object)
	if !ok {
		if o.has("errors") {
			r.bad("x-task.errors", "it is not a map of own UPPER_SNAKE codes to descriptions")
		}
		return
	}
	for _, name := range errs.keys {
		text, ok := errs.values[name].(string)
		if !ok || !codeName.MatchString(name) || slices.Contains(wire.ErrorCodes, name) {
			r.bad("x-task.errors", "it is not a map of own UPPER_SNAKE codes to descriptions")
			return
		}
		r.contract.Errors = append(r.contract.Errors, Code{name, text})
	}
}
