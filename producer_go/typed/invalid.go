package typed

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// InvalidError says that a value breaks its contract. Path, Rule and Kind are those of contracts/DIALECT.md.
type InvalidError struct {
	Path    string // values[3].x
	Rule    string // maximum
	Kind    string // float, in the words of the profile; "absent" where nothing was
	Message string // must be at most 10
}

func (e *InvalidError) Error() string {
	path := e.Path
	if path == "" {
		path = "the value"
	}
	return path + ": " + e.Message
}

// Fail returns the error of a value; generated code adds the way to it on the way out.
func Fail(rule, kind, format string, args ...any) *InvalidError {
	return &InvalidError{Rule: rule, Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// In puts a property or key in front of the path.
func (e *InvalidError) In(name string) *InvalidError {
	if !isIdentifier(name) {
		name = wire.Quoted(name)
	}
	return e.behind(name)
}

// At puts an element in front of the path.
func (e *InvalidError) At(index int) *InvalidError { return e.behind("[" + strconv.Itoa(index) + "]") }

func (e *InvalidError) behind(step string) *InvalidError {
	if e.Path != "" && e.Path[0] != '[' {
		step += "."
	}
	e.Path = step + e.Path
	return e
}

// Err is e as an error: nil when e is.
func (e *InvalidError) Err() error {
	if e == nil {
		return nil
	}
	return e
}

func isIdentifier(name string) bool {
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	return strings.IndexFunc(name, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	}) < 0
}
