package penstock_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The public names are a promise: these lists change only on purpose.
func TestThePublicNames(t *testing.T) {
	t.Parallel()
	for folder, list := range map[string]string{
		".": `BlobStore CancelError Client Code* EnqueueError Err* FetchResult Handle InvalidJobError Item ItemStore Job NoResult Open Options
			Progress RemoteError Reply ReplyAndStored ResultMode ResultStore Spent Stats Stored`,
		"penstocktest": `Double Handle HandleStream HandleTask Job JobOf New Report URL Yield`,
		"redisresults": `New Store`,
		"typed":        `Array ArrayBounds Codec Decode DecodeArray Decoder Encoder Fail Finite Handle InvalidError IsDate IsDecimal IsTime IsUUID Keys Matrix None NoneCodec Number Options Runes StreamHandle StreamTask Task TupleOf Vector`,
	} {
		want := strings.Fields(list)
		if got := exported(t, folder); !slices.Equal(got, want) {
			t.Errorf("%s: got  %v\nwant %v", folder, got, want)
		}
	}
}

// exported returns the exported names of a folder, sorted.
func exported(t *testing.T, folder string) []string {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			for _, name := range declared(declaration) {
				if ast.IsExported(name) {
					names[family(name)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// family stands for the error codes and the errors, which are listed elsewhere.
func family(name string) string {
	for _, prefix := range []string{"Code", "Err"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' {
			return prefix + "*"
		}
	}
	return name
}

// declared returns the names that a declaration makes in its package.
func declared(d ast.Decl) (names []string) {
	if f, ok := d.(*ast.FuncDecl); ok {
		if f.Recv == nil {
			names = append(names, f.Name.Name)
		}
		return names
	}
	for _, spec := range d.(*ast.GenDecl).Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			names = append(names, s.Name.Name)
		case *ast.ValueSpec:
			for _, name := range s.Names {
				names = append(names, name.Name)
			}
		}
	}
	return names
}
