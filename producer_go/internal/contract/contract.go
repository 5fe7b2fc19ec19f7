// Package contract reads task contracts, as contracts/DIALECT.md defines them. The Python side has the same
// rules in penstock/schema.
package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Kind is the kind of a type.
type Kind uint8

// The kinds of contracts/DIALECT.md.
const (
	Null Kind = iota
	Bool
	Int
	Float
	Str
	Bin
	Timestamp
	Formatted
	Enum
	Const
	List
	Tuple
	Map
	NDArray
	Object
	Ref
	Union
	Nullable
)

// Type is a type of a contract. Which fields count depends on Kind.
type Type struct {
	Kind        Kind
	Description string

	Min, Max                   *string // Int, Float: bounds as they are written
	ExclusiveMin, ExclusiveMax *string // Float
	Low, High                  *int    // lengths and counts
	NonFinite                  bool    // Float, NDArray

	Format   string   // Formatted
	Strings  []string // Enum of str, or Const's one
	Ints     []int64  // Enum of int
	Names    []string // Enum; may be empty
	Open     bool     // Enum
	Elements []*Type  // Tuple; the one of List, Map and Nullable
	Dtype    string   // NDArray
	NDim     *int     // NDArray

	Properties []*Property // Object

	Name          string   // Ref
	Refs          []string // Union
	Discriminator string   // Union
}

// Of returns the element type of a List, Map or Nullable.
func (t *Type) Of() *Type { return t.Elements[0] }

// Property is a named part of an object.
type Property struct {
	Name     string
	Type     *Type
	Required bool
	Default  string // as JSON; "" when there is none
}

// Code is an error of the task's own.
type Code struct{ Name, Description string }

// Contract is one version of a task.
type Contract struct {
	Path        string
	Hash        string
	Description string
	Task        string
	Version     int
	Args        string
	Result      string
	Items       string // "" when it yields nothing
	Errors      []Code
	Callable    string
	Positional  []string
	Names       []string // of Defs, in the order of the file
	Defs        map[string]*Type
}

// Queue returns the first word of the task's name.
func (c *Contract) Queue() string {
	queue, _, _ := strings.Cut(c.Task, ".")
	return queue
}

// Resolve returns the type, or what it refers to.
func (c *Contract) Resolve(t *Type) *Type {
	for t.Kind == Ref {
		t = c.Defs[t.Name]
	}
	return t
}

// Tag returns the value that tells an object of a union.
func (c *Contract) Tag(name, discriminator string) string {
	for _, p := range c.Defs[name].Properties {
		if p.Name == discriminator {
			return p.Type.Strings[0]
		}
	}
	return ""
}

// Load reads the contract in a file, whose path has to be that of its task and version.
func Load(path string) (*Contract, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s is no contract:\n%w", path, err)
	}
	want := filepath.Join(c.Task, fmt.Sprintf("v%d.json", c.Version))
	if !strings.HasSuffix(filepath.Clean(path), want) {
		return nil, fmt.Errorf("%s holds %s version %d, which belongs to %s", path, c.Task, c.Version, want)
	}
	c.Path = path
	return c, nil
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
