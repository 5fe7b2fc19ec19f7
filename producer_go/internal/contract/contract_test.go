package contract

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Python's reader has the same test.
func TestADocumentIsAContractOrIsNot(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../tests/parity/contract_reader/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name     string
			Document json.RawMessage
			OK       bool
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if _, err := Read(c.Document); (err == nil) != c.OK {
				t.Errorf("ok is %v, not %v: %v\n%s", err == nil, c.OK, err, c.Document)
			}
		})
	}
}

func TestJSONThatCouldBeReadInTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	for data, says := range map[string]string{
		"{":                       "not JSON",
		"\xff":                    "not UTF-8",
		`{"a": 1, "a": 2}`:        `names "a" twice`,
		`{"a": 9007199254740993}`: "numbers lie within",
		`{"a": 1e400}`:            "numbers lie within",
		`{} {}`:                   "more behind the document",
		`[]`:                      "not a JSON object",
	} {
		if _, err := Read([]byte(data)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s gave %v", data, err)
		}
	}
}

func TestTheCommittedContractsAreRead(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"../../../contracts/tasks", "../../../tests/contract/tasks"} {
		paths, err := filepath.Glob(filepath.Join(folder, "*", "*.json"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(paths), err)
		}
		for _, path := range paths {
			c, err := Load(path)
			if err != nil {
				t.Error(err)
				continue
			}
			if len(c.Hash) != 16 || c.Defs[c.Args] == nil || c.Defs[c.Result] == nil || c.Items != "" && c.Defs[c.Items] == nil {
				t.Errorf("%s: hash %q", path, c.Hash)
			}
		}
	}
}

func TestAFileLiesWhereItsNameAndVersionSay(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../contracts/tasks/algebra.norm/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "v1.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "belongs to algebra.norm/v1.json") {
		t.Errorf("got %v", err)
	}
}
