package kitchen_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/penstock-mq/penstock/producer_go/internal/kitchen"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/typed"
)

// Python has the same test: tests/contract/test_task_vectors.py.
func TestTheVectorsOfTasks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../contracts/vectors/tasks/arguments.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name, Task, Hex, Expect, Path, Rule, Kind string
			Canonical                                 bool
		}
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Vectors) < 100 {
		t.Fatal(len(file.Vectors), err)
	}
	judges := map[string]func([]byte) ([]byte, *typed.InvalidError){
		"kitchen.everything": judge(kitchen.EverythingTask.Args),
		"kitchen.limits":     judge(kitchen.LimitsTask.Args),
		"kitchen.nothing":    judge(kitchen.NothingTask.Args),
	}
	for _, v := range file.Vectors {
		body, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.Check(body, wire.MaxBodyBytes); err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		written, invalid := judges[v.Task](body)
		switch {
		case v.Expect == "ok" && invalid != nil:
			t.Errorf("%s: %v", v.Name, invalid)
		case v.Expect == "ok" && bytes.Equal(written, body) != v.Canonical:
			t.Errorf("%s: written as %x", v.Name, written)
		case v.Expect != "ok" && (invalid == nil || invalid.Path != v.Path || invalid.Rule != v.Rule || invalid.Kind != v.Kind):
			t.Errorf("%s: got %+v, want %s %s %s", v.Name, invalid, v.Path, v.Rule, v.Kind)
		}
	}
}

func judge[T any](codec typed.Codec[T]) func([]byte) ([]byte, *typed.InvalidError) {
	return func(body []byte) ([]byte, *typed.InvalidError) {
		value, invalid := codec.Read(body)
		if invalid != nil {
			return nil, invalid
		}
		written, err := wire.MarshalAppender(codec.Value(&value), wire.MaxBodyBytes)
		if err != nil {
			return nil, &typed.InvalidError{Message: err.Error()}
		}
		return written, nil
	}
}
