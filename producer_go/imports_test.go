package penstock_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Imports go one way, and what speaks to a server stays where it is: a package may import the packages of
// this module that are listed for it, and no others.
func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	const module, amqp, redis = "github.com/penstock-mq/penstock/producer_go", "github.com/rabbitmq/amqp091-go", "github.com/redis/go-redis/v9"
	allowed := map[string][]string{
		"internal/wire":     {},
		"internal/fault":    {},
		"internal/amqpconn": {amqp, "internal/fault"},
		"internal/confirm":  {amqp, "internal/fault", "internal/amqpconn"},
		"internal/replies":  {amqp, "internal/fault", "internal/amqpconn", "internal/wire"},
		"internal/backend":  {"internal/confirm", "internal/replies"},
		".":                 {amqp, "internal/fault", "internal/amqpconn", "internal/wire", "internal/confirm", "internal/replies", "internal/backend"},
		"internal/double":   {"internal/fault", "internal/wire", "internal/confirm", "internal/replies", "internal/backend"},
		"penstocktest":      {".", "typed", "internal/wire", "internal/backend", "internal/double"},
		"redisresults":      {redis, "."},
		"typed":             {".", "internal/wire"},
		"internal/contract": {"typed", "internal/wire"},
		"cmd/penstock-gen":  {"internal/contract"},
		"cmd/penstock":      {redis, ".", "redisresults", "internal/wire"},
	}
	for folder, imports := range allowed {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", folder, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range file.Imports {
				name, _ := strconv.Unquote(spec.Path.Value)
				local, inModule := strings.CutPrefix(name, module)
				switch {
				case inModule:
					name = strings.TrimPrefix(local, "/")
					if name == "" {
						name = "."
					}
				case strings.HasPrefix(name, redis):
					name = redis
				case !strings.Contains(name, "."):
					continue // the standard library
				}
				if !slices.Contains(imports, name) {
					t.Errorf("%s imports %s", path, name)
				}
			}
		}
	}
}
