package penstock_test

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Go's side of what tests/parity says about delivery.

func TestParityRepeat(t *testing.T) {
	t.Parallel()
	var file struct {
		Publications []struct {
			Name    string
			OwnID   bool `json:"own_id"`
			Unknown int
			Repeat  *int64
		}
	}
	expected(t, "repeat", &file)
	for _, c := range file.Publications {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b, f := broken(t)
			queue := b.Queue("q", nil)
			job := penstock.Job{Task: "q.f", Result: penstock.NoResult}
			if c.OwnID {
				job.ID = wire.NewID()
			}
			f.Stall(brokertest.ToClient, c.Unknown > 0)
			enqueued := b.enqueueing(b.ctx, job)
			for sent := 1; sent <= c.Unknown; sent++ {
				eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == sent })
				b.Get(queue)
				f.Cut()
			}
			f.Stall(brokertest.ToClient, false)
			if err := <-enqueued; err != nil {
				t.Fatal(err)
			}

			eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })
			repeat, there := b.Get(queue).Headers["x-repeat"].(int64)
			if there != (c.Repeat != nil) || there && repeat != *c.Repeat {
				t.Fatalf("x-repeat is %d, there %t", repeat, there)
			}
		})
	}
}

// A producer writes nothing that only workers may say; what retry copies carry is for workers to read.
func TestParityRetryHeaders(t *testing.T) {
	t.Parallel()
	var file struct {
		Copy        map[string]any
		WorkersOnly []string `json:"workers_only"`
	}
	expected(t, "retry_headers", &file)
	for _, name := range []string{
		wire.HeaderAttempt, wire.HeaderUser, wire.HeaderCrashes, wire.HeaderHangs, wire.HeaderDeliveries, wire.HeaderFirstAt,
		wire.HeaderRunMs, wire.HeaderBackoffMs, wire.HeaderReplays, wire.HeaderNotBefore, wire.HeaderDeadline, wire.HeaderResultMode,
		wire.HeaderTaskVersion, wire.HeaderFence,
	} {
		if _, there := file.Copy[name]; !there {
			t.Errorf("a retry copy lacks %s", name)
		}
	}
	b := setup(t)
	queue := b.Queue("q", nil)
	soon := time.Now().Add(time.Hour)
	for _, job := range []penstock.Job{
		{Task: "q.f"},
		{
			Task: "q.f", ID: wire.NewID(), Version: 3, Result: penstock.ReplyAndStored, NotBefore: soon, Deadline: soon.Add(time.Hour),
			Meta: map[string]string{"x-attempt": "5"},
		},
	} {
		if _, err := b.client.Enqueue(b.ctx, job); err != nil {
			t.Fatal(err)
		}
		headers := b.Get(queue).Headers
		for _, name := range file.WorkersOnly {
			if value, there := headers[name]; there {
				t.Errorf("the producer says %s = %v", name, value)
			}
		}
	}
}

func TestParityExpiredDetails(t *testing.T) {
	t.Parallel()
	var file struct {
		Job   struct{ ID, Task, Worker string }
		Cases []struct {
			Name, Hex string
			Error     struct {
				Code, Message string
				Attempt       int
			}
			Spent *struct {
				QueueMs   int64 `json:"queue_ms"`
				RunMs     int64 `json:"run_ms"`
				BackoffMs int64 `json:"backoff_ms"`
				Attempts  int
			}
		}
	}
	expected(t, "expired_details", &file)
	b := setup(t)
	queue := b.Queue("stats", nil)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			body, err := hex.DecodeString(c.Hex)
			if err != nil {
				t.Fatal(err)
			}
			handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: file.Job.Task, ID: file.Job.ID})
			if err != nil {
				t.Fatal(err)
			}
			b.Publish(wire.ExchangeReplies, b.Get(queue).ReplyTo, brokertest.Reply(handle.ID(), body))
			var remote *penstock.RemoteError
			if err := handle.Wait(b.ctx, nil); !errors.As(err, &remote) || remote.Code != c.Error.Code ||
				remote.Message != c.Error.Message || remote.Attempt != c.Error.Attempt {
				t.Fatalf("got %v", err)
			}
			var want penstock.Spent
			if c.Spent != nil {
				want = penstock.Spent{
					Queue: time.Duration(c.Spent.QueueMs) * time.Millisecond, Run: time.Duration(c.Spent.RunMs) * time.Millisecond,
					Backoff: time.Duration(c.Spent.BackoffMs) * time.Millisecond, Attempts: c.Spent.Attempts,
				}
			}
			if spent, ok := remote.Spent(); spent != want || ok != (c.Spent != nil) {
				t.Errorf("got %+v, %t", spent, ok)
			}
		})
	}
}
