package main

import (
	"fmt"
	"go/format"
	"strings"

	"github.com/penstock-mq/penstock/producer_go/internal/contract"
)

type file struct {
	path    string // below -out
	content []byte
}

// generate returns the files of one queue.
func generate(contracts []*contract.Contract, name, module string) ([]file, error) {
	queue := contracts[0].Queue()
	if name == "" {
		name = packageName(queue)
	}
	p := &pkg{Name: name, Queue: queue, Import: module + "/" + name, names: &namer{taken: map[string]bool{}}}
	p.Import = strings.TrimPrefix(p.Import, "/")
	if err := p.addTasks(contracts); err != nil {
		return nil, err
	}
	p.types = typeNames(contracts, p.names)
	for i := range p.Tasks {
		p.addTypes(&p.Tasks[i])
	}
	for i := range p.Tasks {
		p.addCodecs(&p.Tasks[i])
	}
	p.addErrors(contracts)
	var files []file
	for _, each := range []struct{ path, template string }{
		{fmt.Sprintf("%s/%s.gen.go", name, name), "client"},
		{fmt.Sprintf("%stest/%stest.gen.go", name, name), "fakes"},
	} {
		var b strings.Builder
		if err := templates.ExecuteTemplate(&b, each.template, p); err != nil {
			return nil, err
		}
		content, err := format.Source([]byte(b.String()))
		if err != nil {
			return nil, fmt.Errorf("queue %s: what was generated is no Go: %w\n%s", queue, err, b.String())
		}
		files = append(files, file{each.path, content})
	}
	return files, nil
}

// pkg is the package of one queue, as the templates see it.
type pkg struct {
	Name, Queue, Import string
	Tasks               []task
	Types               []*goType
	Errors              []taskError

	names *namer
	types map[*contract.Contract]map[string]string
	done  map[string]bool // names of Types
}

// task is one version of a task.
type task struct {
	*contract.Contract
	Func    string // Describe
	Enqueue string // EnqueueDescribe
	Var     string // DescribeTask
	Doc     string
	Args    string // Go type
	Result  string // Go type; typed.None when there is none
	None    bool
	Codec   string // the expression of the result's codec
	Item    string // Go type of what it yields; "" when it yields nothing
	Items   string // the expression of the items' codec
	Values  []*valueCodec

	resultOwner, itemOwner string // what names of types within begin with
}

// valueCodec are the functions of a result, or of items, of a type that has no methods.
type valueCodec struct {
	Name, Type               string
	Validate, Encode, Decode string
}

type taskError struct{ Name, Code, Task, Doc string }

func (p *pkg) addTasks(contracts []*contract.Contract) error {
	for _, c := range contracts {
		words := taskWords(c) + versionSuffix(c)
		t := task{Contract: c}
		for _, each := range []struct {
			into *string
			name string
		}{{&t.Func, words}, {&t.Enqueue, "Enqueue" + words}, {&t.Var, words + "Task"}} {
			name, err := p.names.take(each.name)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Path, err)
			}
			*each.into = name
		}
		p.Tasks = append(p.Tasks, t)
	}
	return nil
}

// addTypes adds the types that a task needs, and says what its result and items are.
func (p *pkg) addTypes(t *task) {
	if p.done == nil {
		p.done = map[string]bool{}
	}
	g := &typer{pkg: p, contract: t.Contract}
	for _, name := range t.Names {
		if goName := p.types[t.Contract][name]; goName != "" {
			g.named(goName, t.Defs[name], g.about(name))
		}
	}
	t.Args = p.types[t.Contract][t.Contract.Args]
	t.Doc = t.Description
	if t.Defs[t.Contract.Result].Kind == contract.Null {
		t.Result, t.None, t.Codec = "typed.None", true, "typed.NoneCodec"
	} else {
		t.resultOwner = p.owner(t, t.Contract.Result, "Result")
		t.Result = g.typeOf(t.Defs[t.Contract.Result], t.resultOwner)
	}
	if t.Contract.Items != "" {
		t.itemOwner = p.owner(t, t.Contract.Items, "Item")
		t.Item = g.typeOf(t.Defs[t.Contract.Items], t.itemOwner)
	}
}

// owner is what a result or an item is called if it has to have a name. The role is the end of that which the contract
// does not give.
func (p *pkg) owner(t *task, name, role string) string {
	if named := p.types[t.Contract][name]; named != "" {
		return named
	}
	return p.names.free(taskWords(t.Contract)+role+versionSuffix(t.Contract), "Value")
}

// addCodecs says how the result and the items of a task travel. All types have their names by then.
func (p *pkg) addCodecs(t *task) {
	if !t.None {
		t.Codec = p.codec(t, t.Defs[t.Contract.Result], t.Result, t.resultOwner, "Result")
	}
	if t.Item != "" {
		t.Items = p.codec(t, t.Defs[t.Contract.Items], t.Item, t.itemOwner, "Item")
	}
}

// codec is the expression of the codec of a result or an item.
func (p *pkg) codec(t *task, of *contract.Type, name, owner, role string) string {
	if of.Kind == contract.Object || of.Kind == contract.Tuple {
		return fmt.Sprintf("typed.Codec[%s]{Validate: (*%[1]s).validate, Encode: (*%[1]s).encode, Decode: (*%[1]s).decode}", name)
	}
	g := &typer{pkg: p, contract: t.Contract}
	v := &valueCodec{
		Name: p.names.free(lowerFirst(t.Func)+role, "Value"), Type: name,
		Validate: g.validate(of, "(*v)", nil, owner), Encode: g.encode(of, "(*v)"), Decode: g.decode(of, "(*v)", owner),
	}
	t.Values = append(t.Values, v)
	return fmt.Sprintf("typed.Codec[%s]{Validate: validate%s, Encode: encode%[2]s, Decode: decode%[2]s}", name, upperFirst(v.Name))
}

func (p *pkg) addErrors(contracts []*contract.Contract) {
	var order []string
	uses := map[string][]*contract.Contract{}
	docs := map[string]string{}
	for _, c := range contracts {
		for _, code := range c.Errors {
			if uses[code.Name] == nil {
				order = append(order, code.Name)
				docs[code.Name] = code.Description
			}
			uses[code.Name] = append(uses[code.Name], c)
		}
	}
	for _, code := range order {
		e := taskError{Name: p.names.free("Err"+goName(upperWords(code)), "Code"), Code: code, Doc: docs[code]}
		if !differ(uses[code], func(a, b *contract.Contract) bool { return a.Task != b.Task }) {
			e.Task = uses[code][0].Task
		}
		p.Errors = append(p.Errors, e)
	}
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
