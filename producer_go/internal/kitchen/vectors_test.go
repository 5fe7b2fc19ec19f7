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

// Python has the same tests: tests/contract/test_task_vectors.py.
func TestTheVectorsOfArguments(t *testing.T) {
	t.Parallel()
	hold(t, "arguments", 100, map[string]judgement{
		"kitchen.everything": judge(kitchen.EverythingTask.Args),
		"kitchen.limits":     judge(kitchen.LimitsTask.Args),
		"kitchen.nothing":    judge(kitchen.NothingTask.Args),
	})
}

func TestTheVectorsOfItems(t *testing.T) {
	t.Parallel()
	hold(t, "items", 19, map[string]judgement{
		"kitchen.serve": item(judge(kitchen.ServeTask.Items)),
		"kitchen.heat":  item(judge(kitchen.HeatTask.Items)),
		"kitchen.stack": item(judge(kitchen.StackTask.Items)),
	})
}

// judgement reads a body and writes it again, or says what is wrong with it.
type judgement func(body []byte) ([]byte, *typed.InvalidError)

// hold tries a file of vectors, which has at least so many, with one judgement for each task.
func hold(t *testing.T, name string, least int, judges map[string]judgement) {
	t.Helper()
	text, err := os.ReadFile("../../../contracts/vectors/tasks/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name, Task, Hex, Expect, Path, Rule, Kind string
			Canonical                                 bool
		}
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Vectors) < least {
		t.Fatal(len(file.Vectors), err)
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

// item is the judgement of an item, whose paths begin with that.
func item(judge judgement) judgement {
	return func(body []byte) ([]byte, *typed.InvalidError) {
		written, invalid := judge(body)
		if invalid != nil {
			invalid = invalid.In("item")
		}
		return written, invalid
	}
}

func judge[T any](codec typed.Codec[T]) judgement {
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
