package main

import (
	"fmt"
	"go/token"
	"slices"
	"strings"
	"unicode"

	"github.com/penstock-mq/penstock/producer_go/internal/contract"
)

// initialisms are written in capitals, as Go does.
var initialisms = strings.Fields("acl api ascii cpu csv db dns eof gpu guid html http https id ip json jwt md5 os pdf qps ram rpc rss sha sla sql ssh tcp tls ttl udp ui uid url utf8 uri uuid vm xml")

// goName is a name in CamelCase as Go writes it: job_id is JobID, top-k is TopK.
func goName(name string) string {
	words := strings.FieldsFunc(name, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) || c > unicode.MaxASCII })
	for i, word := range words {
		if slices.Contains(initialisms, strings.ToLower(word)) {
			words[i] = strings.ToUpper(word)
			continue
		}
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	made := strings.Join(words, "")
	if made == "" || made[0] >= '0' && made[0] <= '9' {
		made = "X" + made
	}
	return made
}

// fieldName is the name of the field that a property is. A type has a method Validate, which no field can hide.
func fieldName(property string) string {
	if name := goName(property); name != "Validate" {
		return name
	}
	return "ValidateValue"
}

// packageName is what of a queue's name may be the name of a package.
func packageName(queue string) string {
	name := strings.Map(func(c rune) rune {
		if c == '-' || c == '_' {
			return -1
		}
		return unicode.ToLower(c)
	}, queue)
	if name[0] >= '0' && name[0] <= '9' {
		name = "queue" + name
	}
	if token.IsKeyword(name) {
		name += "queue"
	}
	return name
}

// upperWords turns UPPER_SNAKE into words for goName.
func upperWords(name string) string { return strings.ToLower(name) }

// namer gives the names of one package, each once.
type namer struct{ taken map[string]bool }

func (n *namer) take(name string) (string, error) {
	if n.taken[name] {
		return "", fmt.Errorf("two things would be named %s; rename a task or a type", name)
	}
	n.taken[name] = true
	return name, nil
}

// free takes the name, or one with the suffix if the name is taken.
func (n *namer) free(name, suffix string) string {
	for n.taken[name] {
		name += suffix
	}
	n.taken[name] = true
	return name
}

// typeNames decides what each named type of each contract is called: types that are the same are one, others
// of the same name get that of their task in front, or their version behind.
func typeNames(contracts []*contract.Contract, names *namer) map[*contract.Contract]map[string]string {
	type use struct {
		contract *contract.Contract
		dump     string
	}
	uses := map[string][]use{}
	var order []string
	for _, c := range contracts {
		for _, name := range c.Names {
			if !isNamed(c.Defs[name]) {
				continue
			}
			if uses[name] == nil {
				order = append(order, name)
			}
			uses[name] = append(uses[name], use{c, dump(c, name)})
		}
	}
	made := map[*contract.Contract]map[string]string{}
	for _, c := range contracts {
		made[c] = map[string]string{}
	}
	for _, name := range order {
		tasks := map[string]bool{}
		for _, u := range uses[name] {
			tasks[u.contract.Task] = true
		}
		known := map[string]string{} // by what the type is
		for _, u := range uses[name] {
			if known[u.dump] == "" {
				wanted := name
				if len(known) > 0 || len(tasks) > 1 && differ(uses[name], func(a, b use) bool { return a.dump != b.dump }) {
					wanted = distinct(u.contract, name, len(tasks) > 1)
				}
				known[u.dump] = names.free(wanted, "Type")
			}
			made[u.contract][name] = known[u.dump]
		}
	}
	return made
}

func differ[T any](list []T, differs func(a, b T) bool) bool {
	return slices.ContainsFunc(list, func(b T) bool { return differs(list[0], b) })
}

func distinct(c *contract.Contract, name string, byTask bool) string {
	if byTask {
		words := taskWords(c)
		if !strings.HasPrefix(name, words) {
			name = words + name
		}
	}
	return name + versionSuffix(c)
}

func taskWords(c *contract.Contract) string {
	_, function, _ := strings.Cut(c.Task, ".")
	return goName(function)
}

func versionSuffix(c *contract.Contract) string {
	if c.Version == 1 {
		return ""
	}
	return fmt.Sprintf("V%d", c.Version)
}

// isNamed tells whether a type in $defs becomes a Go type of its own.
func isNamed(t *contract.Type) bool {
	return t.Kind == contract.Object || t.Kind == contract.Enum || t.Kind == contract.Union || t.Kind == contract.Tuple
}

// dump is a type and all that it refers to, in words: two types are the same if these are.
func dump(c *contract.Contract, name string) string {
	seen := map[string]bool{}
	var b strings.Builder
	var write func(name string)
	write = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		var refs []string
		fmt.Fprintf(&b, "%s=", name)
		dumpType(&b, c.Defs[name], &refs)
		for _, ref := range refs {
			write(ref)
		}
	}
	write(name)
	return b.String()
}

func dumpType(b *strings.Builder, t *contract.Type, refs *[]string) {
	fmt.Fprintf(b, "(%d %q %s %s %s %s %s %s %v %q %q %v %q %v %q %s", t.Kind, t.Description, str(t.Min), str(t.Max),
		str(t.ExclusiveMin), str(t.ExclusiveMax), num(t.Low), num(t.High), t.NonFinite, t.Format, t.Strings, t.Ints,
		t.Names, t.Open, t.Dtype, num(t.NDim))
	for _, of := range t.Elements {
		dumpType(b, of, refs)
	}
	for _, p := range t.Properties {
		fmt.Fprintf(b, " %s %v %s", p.Name, p.Required, p.Default)
		dumpType(b, p.Type, refs)
	}
	fmt.Fprintf(b, " %s %q %q)", t.Name, t.Refs, t.Discriminator)
	if t.Name != "" {
		*refs = append(*refs, t.Name)
	}
	*refs = append(*refs, t.Refs...)
}

func str(p *string) string {
	if p == nil {
		return "-"
	}
	return *p
}

func num(p *int) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprint(*p)
}
