package penstocktest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/penstocktest"
)

func run(ctx context.Context, client *penstock.Client, job penstock.Job, out any) error {
	handle, err := client.Enqueue(ctx, job)
	if err != nil {
		return err
	}
	return handle.Wait(ctx, out)
}

func mustBe(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Fatalf("got %v, which is not %v", err, target)
		}
	}
}

func TestAHandlerKnowsItsJob(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	deadline := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	penstocktest.Handle(d, "q.f", func(ctx context.Context, args map[string]any) (string, error) {
		job := penstocktest.JobOf(ctx)
		until, _ := ctx.Deadline()
		return fmt.Sprint(job.Task, job.Version, job.Attempt, job.Meta["who"], args["x"], job.Deadline.Equal(deadline), until.Equal(deadline)), nil
	})
	var out string
	job := penstock.Job{Task: "q.f", Version: 2, Args: map[string]any{"x": 7}, Meta: map[string]string{"who": "me"}, Deadline: deadline}

	if err := run(t.Context(), d.Client, job, &out); err != nil || out != "q.f2 1me7 true true" {
		t.Fatalf("got %q, %v", out, err)
	}

	jobs := d.Jobs()
	var args struct{ X int }
	if len(jobs) != 1 || jobs[0].Task != "q.f" || jobs[0].Repeat != 0 || jobs[0].Args(&args) != nil || args.X != 7 {
		t.Fatalf("the double has seen %+v", jobs)
	}
	if penstocktest.JobOf(t.Context()).ID != "" {
		t.Fatal("outside of handlers there is no job")
	}
}

func TestArgumentsThatDoNotFitAreInvalid(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	penstocktest.Handle(d, "q.f", func(context.Context, struct{ X int }) (any, error) { return nil, nil })

	err := run(t.Context(), d.Client, penstock.Job{Task: "q.f", Args: map[string]any{"x": "two"}}, nil)

	mustBe(t, err, &penstock.RemoteError{Code: penstock.CodeInvalidArgs})
	if !strings.Contains(err.Error(), "x: a str does not fit int") {
		t.Fatalf("got %v", err)
	}
}

func TestARemoteErrorArrivesAsItIs(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	penstocktest.Handle(d, "q.f", func(ctx context.Context, _ any) (any, error) {
		attempt := penstocktest.JobOf(ctx).Attempt
		return nil, fmt.Errorf("wrapped: %w", &penstock.RemoteError{Message: "busy", Retryable: true, Details: map[string]any{"attempt": attempt}})
	})
	d.Retry("q.f", 2)

	err := run(t.Context(), d.Client, penstock.Job{Task: "q.f"}, nil)

	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != penstock.CodeTaskError || remote.Message != "busy" || !remote.Retryable ||
		remote.Attempt != 2 || remote.Details["attempt"] != int64(2) || remote.Worker == "" {
		t.Fatalf("got %#v", err)
	}
}

func TestAJobWaitsForItsHandlerAndForItsTime(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	d.Queue("q")
	due := time.Now().Add(30 * time.Millisecond)
	handle, err := d.Client.Enqueue(t.Context(), penstock.Job{Task: "q.f", NotBefore: due})
	if err != nil {
		t.Fatal(err)
	}
	penstocktest.Handle(d, "q.f", func(context.Context, any) (time.Time, error) { return time.Now(), nil })

	var ran time.Time
	if err := handle.Wait(t.Context(), &ran); err != nil || ran.Before(due.Truncate(time.Millisecond)) {
		t.Fatalf("it ran at %s, and was due at %s, %v", ran, due, err)
	}
}

func TestABrokerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	penstocktest.Handle(d, "q.f", func(context.Context, any) (any, error) { return nil, nil })
	d.Away(true)
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	mustBe(t, run(soon, d.Client, penstock.Job{Task: "q.f"}, nil), penstock.ErrUnavailable, context.DeadlineExceeded)
	done := make(chan error)
	go func() { done <- run(t.Context(), d.Client, penstock.Job{Task: "q.f"}, nil) }()

	d.Away(false)

	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAQueueIsFullAndThenNot(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	d.Full("q", true)
	_, err := d.Client.Enqueue(t.Context(), penstock.Job{Task: "q.f"})
	mustBe(t, err, penstock.ErrRefused)
	d.Full("q", false)
	if _, err := d.Client.Enqueue(t.Context(), penstock.Job{Task: "q.f"}); err != nil || len(d.Jobs()) != 1 {
		t.Fatalf("got %v, %+v", err, d.Jobs())
	}
}

func TestAPublicationThatIsLostIsRepeated(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	d.Queue("q")
	d.LoseJobs(2)
	handle, err := d.Client.Enqueue(t.Context(), penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}
	if jobs := d.Jobs(); len(jobs) != 1 || jobs[0].Repeat != 2 || jobs[0].ID != handle.ID() {
		t.Fatalf("the double has seen %+v", jobs)
	}
}

func TestCodeThatOpensItsOwnClientGetsOneOfTheDouble(t *testing.T) {
	t.Parallel()
	d := penstocktest.New(t)
	penstocktest.Handle(d, "q.f", func(context.Context, any) (int, error) { return 7, nil })
	options := penstock.Options{URL: penstocktest.URL, Namespace: "other", Results: d.Results()}
	client, err := penstock.Open(d.Context(t.Context()), options)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	var out int
	if err := run(t.Context(), client, penstock.Job{Task: "q.f", Result: penstock.Stored}, &out); err != nil || out != 7 {
		t.Fatalf("got %d, %v", out, err)
	}
}

// recorder is a test that writes its errors down.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestADetailThatCannotTravelFailsTheTest(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	d := penstocktest.New(r)
	penstocktest.Handle(d, "q.f", func(context.Context, any) (any, error) {
		return nil, &penstock.RemoteError{Code: "BAD", Details: map[string]any{"when": time.Now()}}
	})

	mustBe(t, run(t.Context(), d.Client, penstock.Job{Task: "q.f"}, nil), &penstock.RemoteError{Code: "BAD"})

	if len(r.errors) != 1 || !strings.Contains(r.errors[0], `the detail "when" is time.Time`) {
		t.Fatalf("the test heard %q", r.errors)
	}
}

func TestAnItemThatCannotTravelFailsTheJob(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	penstocktest.Handle(double, "q.f", func(ctx context.Context, _ struct{}) (any, error) {
		return nil, penstocktest.Yield(ctx, make(chan int))
	})
	handle, err := double.Client.Enqueue(t.Context(), penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}
	if err := handle.Wait(t.Context(), nil); !errors.Is(err, &penstock.RemoteError{Code: penstock.CodeResultInvalid}) {
		t.Fatalf("got %v", err)
	}
}

func TestProgressIsCutToWhatCanTravel(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	penstocktest.Handle(double, "q.f", func(ctx context.Context, _ struct{}) (any, error) {
		penstocktest.Report(ctx, penstock.Progress{Fraction: 7, Text: strings.Repeat("ü", 200)})
		return nil, nil
	})
	handle, err := double.Client.Enqueue(t.Context(), penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}
	var last penstock.Progress
	for p, err := range handle.Progress(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	if last.Fraction != 1 || last.Text != strings.Repeat("ü", 128) {
		t.Fatalf("got %+v", last)
	}
}

func TestOutsideOfAHandlerNothingIsYielded(t *testing.T) {
	t.Parallel()
	if penstocktest.Yield(t.Context(), 1) == nil {
		t.Fatal("to whom?")
	}
	penstocktest.Report(t.Context(), penstock.Progress{})
}
