package penstock_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// broken is a bundle whose client goes through a forwarder.
func broken(t *testing.T, change ...func(*penstock.Options)) (*bundle, *brokertest.Forwarder) {
	t.Helper()
	b := setup(t)
	f, url := brokertest.Forward(t, b.URL)
	b.client = b.open(t, append(change, func(o *penstock.Options) { o.URL = url })...)
	return b, f
}

// enqueueing runs Enqueue in the background.
func (b *bundle) enqueueing(ctx context.Context, job penstock.Job) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := b.client.Enqueue(ctx, job)
		done <- err
	}()
	return done
}

func TestAJobWhoseConfirmIsLostIsPublishedAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	queue := b.Queue("q", nil)
	f.Stall(brokertest.ToClient, true)
	enqueued := b.enqueueing(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })

	f.Cut()
	f.Stall(brokertest.ToClient, false)

	if err := <-enqueued; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job is in the queue twice", func() bool { return b.Messages(queue) == 2 })
	first, second := b.Get(queue), b.Get(queue)
	if first.MessageId != second.MessageId || !bytes.Equal(first.Body, second.Body) {
		t.Fatalf("the copies differ: %s %x\n%s %x", first.MessageId, first.Body, second.MessageId, second.Body)
	}
	if first.Headers["x-repeat"] != nil || second.Headers["x-repeat"] != int64(1) {
		t.Fatalf("the second copy must say what it is: %v, %v", first.Headers, second.Headers)
	}
}

func TestAJobWhoseConfirmIsLostForGoodIsUnknown(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	queue := b.Queue("q", nil)
	f.Stall(brokertest.ToClient, true)
	ctx, cancel := context.WithCancel(b.ctx)
	enqueued := b.enqueueing(ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })

	f.Refuse(true)
	f.Cut()
	cancel()

	err := <-enqueued
	mustBe(t, err, penstock.ErrUnknown, context.Canceled)
	var failed *penstock.EnqueueError
	if !errors.As(err, &failed) || b.Get(queue).MessageId != failed.JobID {
		t.Fatalf("the error must carry the job's ID: %v", err)
	}
}

func TestAJobIsUnknownWhenItsContextEndsBeforeTheConfirm(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	queue := b.Queue("q", nil)
	f.Stall(brokertest.ToClient, true)
	ctx, cancel := context.WithCancel(b.ctx)
	enqueued := b.enqueueing(ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })

	cancel()

	mustBe(t, <-enqueued, penstock.ErrUnknown, context.Canceled)
	f.Stall(brokertest.ToClient, false)
	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"}); err != nil {
		t.Fatalf("the next job: %v", err)
	}
}

func TestTheClientReconnects(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)
	for i := range 3 {
		handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
		if err == nil {
			err = handle.Wait(b.ctx, nil)
		}
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		f.Cut()
		eventually(t, "both connections are made again", func() bool { return b.client.Stats().Reconnects >= 2*(i+1) })
	}
}

func TestEnqueueWaitsForTheConnection(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	b.Queue("q", nil)
	f.Refuse(true)
	f.Cut()

	_, err := b.client.Enqueue(within(t, 300*time.Millisecond), penstock.Job{Task: "q.f"})
	mustBe(t, err, penstock.ErrUnavailable, context.DeadlineExceeded)

	enqueued := b.enqueueing(b.ctx, penstock.Job{Task: "q.f"})
	f.Refuse(false)
	if err := <-enqueued; err != nil {
		t.Fatal(err)
	}
}

func TestAReplyMayBeLostWithItsConnection(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	b.Queue("q", nil) // nobody answers
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}

	f.Cut()

	mustBe(t, handle.Wait(context.Background(), nil), penstock.ErrReplyLost)
	mustBe(t, handle.Wait(within(t, 50*time.Millisecond), nil), penstock.ErrReplyLost, penstock.ErrNoResult, context.DeadlineExceeded)
}

func TestAJobInFlightIsAnsweredOverTheNextConnection(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	queue := b.Queue("q", nil)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- handle.Wait(b.ctx, nil) }()

	f.Cut()
	eventually(t, "both connections are made again", func() bool { return b.client.Stats().Reconnects >= 2 })
	b.Worker(queue, nil, brokertest.Echo)

	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
}

func TestAJobThatIsPublishedAgainIsAnsweredOverTheNewConnection(t *testing.T) {
	t.Parallel()
	b, f := broken(t)
	queue := b.Queue("q", nil)
	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.warm"}); err != nil { // so that both connections are there
		t.Fatal(err)
	}
	b.Get(queue)
	f.Stall(brokertest.ToClient, true)
	type outcome struct {
		handle *penstock.Handle
		err    error
	}
	enqueued := make(chan outcome, 1)
	go func() {
		handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
		enqueued <- outcome{handle, err}
	}()
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })
	first := b.Get(queue)

	f.Cut()
	f.Stall(brokertest.ToClient, false)
	o := <-enqueued
	if o.err != nil {
		t.Fatal(o.err)
	}
	b.Worker(queue, nil, brokertest.Echo)

	if err := o.handle.Wait(b.ctx, nil); err != nil {
		t.Fatalf("the first copy had reply_to %s: %v", first.ReplyTo, err)
	}
}

func TestAJobWhoseReplyComesBeforeItsConfirmIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	f, url := brokertest.Forward(t, b.URL)
	var ran atomic.Int64
	b.Worker(queue, nil, func(job *wire.Job, d amqp.Delivery) *wire.Result {
		ran.Add(1)
		return brokertest.Echo(job, d)
	})
	client := b.open(t, func(o *penstock.Options) { o.URL = url })
	// The first job opens the connection for replies; the second one's confirm is held back, and as both
	// connections pass the same forwarder, so is its reply - until the confirm's connection is gone.
	warm, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err == nil {
		err = warm.Wait(b.ctx, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Stall(brokertest.ToClient, true)
	type outcome struct {
		handle *penstock.Handle
		err    error
	}
	enqueued := make(chan outcome, 1)
	go func() {
		handle, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
		enqueued <- outcome{handle, err}
	}()
	eventually(t, "the job has run", func() bool { return ran.Load() == 2 })

	f.Refuse(true)
	f.CutOldest()
	f.Stall(brokertest.ToClient, false)
	eventually(t, "the reply has come", func() bool { return client.Stats().AwaitedReplies == 0 })
	f.Refuse(false)

	o := <-enqueued
	if o.err == nil {
		o.err = o.handle.Wait(b.ctx, nil)
	}
	if o.err != nil || ran.Load() != 2 {
		t.Fatalf("it ran %d times, %v", ran.Load()-1, o.err)
	}
}

func TestAnExchangeThatVanishesIsReported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("q", nil)
	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"}); err != nil {
		t.Fatal(err)
	}

	b.DropExchange(wire.ExchangeJobs)

	_, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	mustBe(t, err, penstock.ErrTopology)
	_, err = b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	mustBe(t, err, penstock.ErrTopology)
}

func TestAnExchangeForRepliesThatIsMissingIsReported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("q", nil)
	b.DropExchange(wire.ExchangeReplies)

	_, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	mustBe(t, err, penstock.ErrTopology)
	if errors.Is(err, penstock.ErrUnknown) {
		t.Fatalf("it was not sent: %v", err)
	}
	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult}); err != nil {
		t.Fatalf("a job without a reply: %v", err)
	}
}

func TestABrokerThatStopsReadingHoldsNobody(t *testing.T) {
	t.Parallel()
	b, f := broken(t, func(o *penstock.Options) { o.WriteTimeout = 200 * time.Millisecond })
	b.Queue("q", nil)
	f.Stall(brokertest.ToServer, true)
	job := penstock.Job{Task: "q.f", Result: penstock.NoResult, NoDeadline: true, Args: map[string]any{"x": make([]byte, 1<<19)}}

	// More than the system's buffers take, so the client's writes block.
	var waiting []<-chan error
	ctx, cancel := context.WithTimeout(b.ctx, 500*time.Millisecond)
	defer cancel()
	for range 60 {
		waiting = append(waiting, b.enqueueing(ctx, job))
	}
	began := time.Now()
	for _, done := range waiting {
		mustBe(t, <-done, context.DeadlineExceeded)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("the callers were held for %s", took)
	}

	f.Stall(brokertest.ToServer, false)
	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult}); err != nil {
		t.Fatalf("once the broker reads again: %v", err)
	}
}
