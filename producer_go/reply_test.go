package penstock_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// run enqueues a job and waits for its result.
func (b *bundle) run(job penstock.Job, out any) error {
	handle, err := b.client.Enqueue(b.ctx, job)
	if err != nil {
		return err
	}
	return handle.Wait(b.ctx, out)
}

func TestAJobIsAnsweredOverTheReplyQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)

	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.echo", Args: map[string]any{"x": []float64{3, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 5 { // several times, at once
		group.Go(func() {
			var out struct{ X []float64 }
			if err := handle.Wait(b.ctx, &out); err != nil || len(out.X) != 2 || out.X[1] != 4 {
				t.Errorf("got %v, %v", out, err)
			}
		})
	}
	group.Wait()
	if err := handle.Wait(b.ctx, nil); err != nil {
		t.Fatalf("a wait without a place for the result: %v", err)
	}
}

func TestAFailureArrivesAsARemoteError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("q", nil), nil, func(*wire.Job, amqp.Delivery) *wire.Result {
		return &wire.Result{Attempt: 3, Failure: &wire.Failure{
			Code: "EMPTY_SAMPLE", Message: "nothing to average", Retryable: true, ExcType: "ValueError",
			Details: map[string]any{"n": 0, "why": "empty"},
		}}
	})

	err := b.run(penstock.Job{Task: "q.mean"}, nil)

	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != "EMPTY_SAMPLE" || remote.Message != "nothing to average" || remote.Attempt != 3 ||
		!remote.Retryable || remote.ExcType != "ValueError" || remote.Details["n"] != int64(0) || remote.Task != "q.mean" || remote.Worker != "tester" {
		t.Fatalf("got %#v", err)
	}
	mustBe(t, err, &penstock.RemoteError{Code: "EMPTY_SAMPLE"}, &penstock.RemoteError{Code: "EMPTY_SAMPLE", Task: "q.mean"})
	if errors.Is(err, &penstock.RemoteError{Code: "OTHER"}) || errors.Is(err, &penstock.RemoteError{Code: "EMPTY_SAMPLE", Task: "q.other"}) {
		t.Fatal("it compares equal to anything")
	}
}

func TestTheFirstReplyCountsAndLaterOnesAreDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}
	d := b.Get(queue)
	job, err := wire.DecodeJob(d.Body, wire.MaxBodyBytes)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		b.Publish(wire.ExchangeReplies, d.ReplyTo, brokertest.Reply(job.ID, brokertest.ResultOf(b.Broker, job, &wire.Result{Value: i})))
	}

	eventually(t, "two replies are dropped", func() bool { return b.client.Stats().DroppedReplies == 2 })
	var out int
	if err := handle.Wait(b.ctx, &out); err != nil || out != 0 {
		t.Fatalf("got %d, %v", out, err)
	}
}

func TestAReplyThatIsNoneIsReported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	other := &wire.Job{ID: wire.NewID(), Task: "q.f", Version: 1}
	for name, body := range map[string][]byte{
		"garbage":               []byte("garbage"),
		"another job's result":  brokertest.ResultOf(b.Broker, other, &wire.Result{}),
		"a length bomb":         {0xdd, 0xff, 0xff, 0xff, 0xff},
		"too long":              make([]byte, wire.MaxBodyBytes+1),
		"nothing":               {},
		"a result of version 2": {0x81, 0xa1, 'v', 2},
	} {
		handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
		if err != nil {
			t.Fatal(err)
		}
		b.Publish(wire.ExchangeReplies, b.Get(queue).ReplyTo, brokertest.Reply(handle.ID(), body))
		if err := handle.Wait(b.ctx, nil); !errors.Is(err, penstock.ErrBadResult) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAResultThatDoesNotFitIsAnErrorThatSaysWhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: map[string]any{"x": []any{1, "two"}}})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ X []int }

	err = handle.Wait(b.ctx, &out)

	mustBe(t, err, penstock.ErrResultType)
	if !strings.Contains(err.Error(), "value.x[1]: a str does not fit int") {
		t.Fatalf("got %v", err)
	}
	var right struct{ X []any }
	if err := handle.Wait(b.ctx, &right); err != nil || right.X[1] != "two" {
		t.Fatalf("another try: %v, %v", right, err)
	}
}

func TestWaitHeedsItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}

	err = handle.Wait(within(t, 50*time.Millisecond), nil)
	mustBe(t, err, penstock.ErrNoResult, context.DeadlineExceeded)
	if text := regexp.MustCompile(`[0-9]+(\.[0-9])? m?s `).ReplaceAllString(err.Error(), "N ms "); text !=
		"job "+handle.ID()+": no result came in time: accepted N ms after Enqueue, N ms ago: context deadline exceeded" {
		t.Fatalf("the error must say where the time went: %v", err)
	}

	b.Worker(queue, nil, brokertest.Echo)
	if err := handle.Wait(b.ctx, nil); err != nil {
		t.Fatalf("the job went on, and so may the waiting: %v", err)
	}
}

func TestAJobWithoutAResultHasNothingToWaitFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, handle.Wait(b.ctx, nil), penstock.ErrNoResult)
	if d := b.Get(queue); d.ReplyTo != "" || d.Headers["x-result"] != "none" {
		t.Fatalf("it asks for a reply: %q, %v", d.ReplyTo, d.Headers)
	}
}

func TestTheSameJobTwiceHasTwoHandles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	job := penstock.Job{Task: "q.f", ID: wire.NewID()}
	var handles []*penstock.Handle
	for range 2 {
		handle, err := b.client.Enqueue(b.ctx, job)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, handle)
	}
	b.Worker(queue, nil, brokertest.Echo)
	for _, handle := range handles {
		if err := handle.Wait(b.ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
}
