package penstock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

func TestJobsThatCannotBeSentAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	later := time.Now().Add(time.Hour)
	soon, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, c := range []struct {
		job  penstock.Job
		code string
		says string
	}{
		{penstock.Job{}, "BAD_ENVELOPE", `Task "" is no task's name`},
		{penstock.Job{Task: "noqueue"}, "BAD_ENVELOPE", `"noqueue"`},
		{penstock.Job{Task: "q.#"}, "BAD_ENVELOPE", `"q.#"`},
		{penstock.Job{Task: "q." + strings.Repeat("f", 200)}, "BAD_ENVELOPE", "at most 200 bytes"},
		{penstock.Job{Task: "q.f", ID: "1"}, "BAD_ENVELOPE", `ID "1" is no UUIDv7`},
		{penstock.Job{Task: "q.f", ID: strings.ToUpper(wire.NewID())}, "BAD_ENVELOPE", "lower case"},
		{penstock.Job{Task: "q.f", Version: -1}, "BAD_ENVELOPE", "Version -1"},
		{penstock.Job{Task: "q.f", Result: 9}, "BAD_ENVELOPE", "Result 9"},
		{penstock.Job{Task: "q.f", Deadline: later, NoDeadline: true}, "BAD_ENVELOPE", "Deadline and NoDeadline"},
		{penstock.Job{Task: "q.f", NotBefore: later}, "BAD_ENVELOPE", "the context's deadline"},
		{penstock.Job{Task: "q.f", NotBefore: later, Deadline: later}, "BAD_ENVELOPE", "NotBefore lies beyond Deadline"},
		{penstock.Job{Task: "q.f", Deadline: time.Unix(-1, 0)}, "BAD_ENVELOPE", "1970"},
		{penstock.Job{Task: "noqueue", ID: "1", Version: -1}, "BAD_ENVELOPE", `ID "1" is no UUIDv7 in lower case; Task "noqueue"`},
		{penstock.Job{Task: "q.f", Args: 1}, "INVALID_ARGS", "arguments have names"},
		{penstock.Job{Task: "q.f", Args: map[string]any{"x": time.Second}}, "INVALID_ARGS", "args.x: the type time.Duration"},
		{penstock.Job{Task: "q.f", Meta: map[string]string{"k": "\xff"}}, "BAD_ENVELOPE", `Meta "k" is not valid UTF-8`},
	} {
		_, err := b.client.Enqueue(soon, c.job)
		var invalid *penstock.InvalidJobError
		if !errors.As(err, &invalid) || invalid.Code != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got %v", c.job, err)
		}
	}
}

func TestOptionsThatCannotBeUsedAreAllNamed(t *testing.T) {
	t.Parallel()
	_, err := penstock.Open(context.Background(), penstock.Options{
		URL: "amqp://app:se cret@host", Namespace: "a.b", MaxBodyBytes: 1 << 30, ConfirmWindow: -1, DialTimeout: -1,
	})
	mustBe(t, err, penstock.ErrOptions)
	for _, name := range []string{"URL", "Namespace", "MaxBodyBytes", "ConfirmWindow", "DialTimeout"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	for url, says := range map[string]string{
		"":                          "URL is empty; set it to amqp://",
		"http://localhost":          "URL is not of the form",
		"amqp://app:secret@host:x/": "URL is not of the form",
		"amqp://app.one@host/":      `User "app.one"`,
	} {
		_, err := penstock.Open(context.Background(), penstock.Options{URL: url})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", url, err)
		}
	}
}
