package penstock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

func TestAJobHasThePropertiesOfTheSpecification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	deadline := time.Now().Add(time.Hour)
	due := time.Now().Add(time.Minute)

	handle, err := b.client.Enqueue(context.Background(), penstock.Job{
		Task: "q.f.g", Version: 3, Result: penstock.ReplyAndStored, Deadline: deadline, NotBefore: due,
		Args: map[string]any{"x": 1}, Meta: map[string]string{"who": "me"},
	})
	if err != nil {
		t.Fatal(err)
	}

	d := b.Get(queue)
	if d.RoutingKey != "q.f.g" || d.Type != "job.v1" || d.ContentType != "application/vnd.msgpack" || d.DeliveryMode != amqp.Persistent ||
		d.MessageId != handle.ID() || d.CorrelationId != handle.ID() || d.UserId != "guest" || !strings.HasPrefix(d.ReplyTo, "guest.") ||
		!wire.ValidWord(strings.TrimPrefix(d.ReplyTo, "guest."), 64) {
		t.Errorf("properties: %+v", d)
	}
	wanted := amqp.Table{
		"x-result": "reply+stored", "x-task-version": int64(3), "x-deadline": deadline.UnixMilli(), "x-not-before": due.UnixMilli(),
	}
	for header, want := range wanted {
		if d.Headers[header] != want {
			t.Errorf("the header %s is %T %v, not %T %v", header, d.Headers[header], d.Headers[header], want, want)
		}
	}
	job, err := wire.DecodeJob(d.Body, wire.MaxBodyBytes)
	if err != nil || job.ID != handle.ID() || job.Task != "q.f.g" || job.Version != 3 || *job.Deadline != deadline.UnixMilli() ||
		job.Meta["who"] != "me" || time.Since(time.UnixMilli(job.CreatedAt)) > time.Minute {
		t.Errorf("body: %+v, %v", job, err)
	}
}

func TestAJobEndsShortlyBeforeItsCallersContextUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	inherited, _ := b.ctx.Deadline()
	soon, cancel := context.WithTimeout(b.ctx, 800*time.Millisecond)
	defer cancel()
	end, _ := soon.Deadline()
	for _, c := range []struct {
		ctx  context.Context
		job  penstock.Job
		want time.Time
		less time.Duration // the deadline may be earlier by this
	}{
		{b.ctx, penstock.Job{}, inherited.Add(-100 * time.Millisecond), 0},
		{soon, penstock.Job{}, end, 40 * time.Millisecond},
		{b.ctx, penstock.Job{Deadline: inherited.Add(time.Hour)}, inherited.Add(time.Hour), 0},
	} {
		c.job.Task = "q.f"
		if _, err := b.client.Enqueue(c.ctx, c.job); err != nil {
			t.Fatal(err)
		}
		got, _ := b.Get(queue).Headers["x-deadline"].(int64)
		if early := c.want.UnixMilli() - got; early < 0 || early > c.less.Milliseconds() || early == 0 && c.less > 0 {
			t.Errorf("%+v: the deadline is %d, %d ms before %s", c.job, got, early, c.want)
		}
	}
	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", NoDeadline: true}); err != nil {
		t.Fatal(err)
	}
	if got := b.Get(queue).Headers["x-deadline"]; got != nil {
		t.Errorf("it has a deadline: %v", got)
	}
}

func TestAJobThatItsCallerRepeatsSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	for id, want := range map[string]any{"": nil, wire.NewID(): int64(1)} {
		if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", ID: id}); err != nil {
			t.Fatal(err)
		}
		if got := b.Get(queue).Headers["x-repeat"]; got != want {
			t.Errorf("with the ID %q x-repeat is %v, not %v", id, got, want)
		}
	}
}

func TestATaskWithoutAQueueIsUnroutable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("q", nil)

	_, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "nobody.f"})

	mustBe(t, err, penstock.ErrUnroutable)
	var failed *penstock.EnqueueError
	if !errors.As(err, &failed) || !wire.ValidJobID(failed.JobID) || !strings.Contains(err.Error(), "penstock topology apply nobody") {
		t.Fatalf("got %v", err)
	}
	if n := b.client.Stats().AwaitedReplies; n != 0 {
		t.Fatalf("%d replies are still awaited", n)
	}
	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"}); err != nil {
		t.Fatalf("the next job: %v", err)
	}
}

func TestManyUnroutableJobsAreAllReported(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *penstock.Options) { o.ConfirmWindow = 8 })
	b.Queue("q", nil)
	results := make(chan error)
	for i := range 400 {
		task := "nobody.f"
		if i%2 == 0 {
			task = "q.f"
		}
		go func() {
			_, err := b.client.Enqueue(b.ctx, penstock.Job{Task: task, Result: penstock.NoResult})
			results <- err
		}()
	}
	unroutable := 0
	for range 400 {
		if err := <-results; errors.Is(err, penstock.ErrUnroutable) {
			unroutable++
		} else if err != nil {
			t.Error(err)
		}
	}
	if unroutable != 200 {
		t.Fatalf("%d of 200 were reported as unroutable", unroutable)
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("full", amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})

	var err error
	for range 50 { // a quorum queue takes a few more than it should
		if _, err = b.client.Enqueue(b.ctx, penstock.Job{Task: "full.f"}); err != nil {
			break
		}
	}

	mustBe(t, err, penstock.ErrRefused)
	if errors.Is(err, penstock.ErrUnknown) {
		t.Fatalf("refused and unknown are different things: %v", err)
	}
}

func TestABodyThatIsTooLargeIsNotSent(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *penstock.Options) { o.MaxBodyBytes = 1000 })
	b.Queue("q", nil)

	_, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: map[string]any{"x": make([]byte, 1000)}})

	mustBe(t, err, penstock.ErrTooLarge)
	for _, word := range []string{"bytes or more, the limit is 1000", "Options.Results", "67108864"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
}

func TestTheLargestBodyArrives(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *penstock.Options) { o.MaxBodyBytes = wire.HardMaxBodyBytes })
	queue := b.Queue("q", nil)
	args := map[string]any{"x": make([]byte, wire.HardMaxBodyBytes-300)}

	if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: args}); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Get(queue).Body); n < wire.HardMaxBodyBytes-300 {
		t.Fatalf("%d bytes arrived", n)
	}
}

func TestAnEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()

	_, err := b.client.Enqueue(ctx, penstock.Job{Task: "q.f"})

	mustBe(t, err, context.Canceled, penstock.ErrUnavailable)
	if errors.Is(err, penstock.ErrUnknown) || b.Messages(queue) != 0 {
		t.Fatalf("it was sent: %v", err)
	}
}

func TestAnotherUsersNameIsDenied(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *penstock.Options) { o.User = "somebody" })
	b.Queue("q", nil)

	_, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})

	mustBe(t, err, penstock.ErrDenied)
	if errors.Is(err, penstock.ErrUnknown) {
		t.Fatalf("it is certain that it was not accepted: %v", err)
	}
}

func TestADeniedTaskLeavesItsNeighboursAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("mine", nil), nil, brokertest.Echo)
	b.Queue("theirs", nil)
	url := b.Producer("mine")
	client := b.open(t, func(o *penstock.Options) { o.URL = url })
	errs := make(chan error)
	for i := range 60 {
		task := "mine.f"
		if i%6 == 0 {
			task = "theirs.f"
		}
		go func() {
			handle, err := client.Enqueue(b.ctx, penstock.Job{Task: task, Args: map[string]any{"task": task}})
			if err == nil {
				err = handle.Wait(b.ctx, nil)
			}
			if task == "theirs.f" && errors.Is(err, penstock.ErrDenied) {
				err = nil
			} else if task == "theirs.f" {
				err = errors.Join(errors.New("theirs.f should have been denied"), err)
			}
			errs <- err
		}()
	}
	for range 60 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
