package penstocktest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/double"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// bench is what the suite needs of a double, or of the real servers.
type bench interface {
	// client is the one that is tested, with a store; other returns another one.
	client() *penstock.Client
	other() *penstock.Client

	// tasks makes the queue "q", in which these tasks are run; a job is handed out at once.
	tasks(*double.Tasks)
	// queue makes a queue in which jobs wait.
	queue(name string)
	// full makes a queue that refuses every job.
	full(name string)

	// loseConfirm calls enqueue and loses the broker's first answer, after it has accepted the job.
	loseConfirm(enqueue func())
	// loseConfirms calls enqueue, loses every answer, and cancels once the job is accepted.
	loseConfirms(enqueue func(), cancel func())
	// loseReply calls answer, which lets one job be answered, and loses that reply.
	loseReply(answer func())

	// repeats returns the header x-repeat of every job of the queue "q" that was accepted; 0 without it.
	repeats() []int64
}

// conform holds a bench to what a client does whatever it speaks to.
func conform(t *testing.T, open func(*testing.T) bench) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"a value comes back", (*suite).value},
		{"long values come back", (*suite).longValue},
		{"what cannot travel fails", (*suite).cannotTravel},
		{"a failure arrives whole", (*suite).failure},
		{"a retryable failure is tried again", (*suite).retry},
		{"a deadline ends a job", (*suite).deadline},
		{"a deadline ends the tries", (*suite).deadlineCutsTries},
		{"a caller that gives up hears how long ago", (*suite).givesUp},
		{"a task nobody has", (*suite).unknownTask},
		{"a queue nobody has", (*suite).unroutable},
		{"a queue that is full", (*suite).refused},
		{"a confirm that is lost", (*suite).lostConfirm},
		{"a repetition is not run again when its result is stored", (*suite).repetition},
		{"confirms that are lost for good", (*suite).unknown},
		{"a reply that is lost", (*suite).lostReply},
		{"a lost reply is read from the store", (*suite).lostReplyStored},
		{"a stored result is for everybody", (*suite).stored},
		{"a result nobody wants", (*suite).noResult},
		{"the first result wins", (*suite).firstWins},
		{"a job that runs is cancelled", (*suite).cancelsRunning},
		{"a job that has not started is cancelled", (*suite).cancelsEarly},
		{"a job that succeeds all the same is not", (*suite).cancelsInVain},
		{"a cancelled job is not tried again", (*suite).cancelEndsTries},
		{"nobody is there to cancel", (*suite).cancelUnheard},
		{"items come in their order", (*suite).itemsInOrder},
		{"a slow loop slows its task down", (*suite).slowLoop},
		{"a loop that is left lets its task go on", (*suite).loopLeft},
		{"items that nobody reads do not hold their task up", (*suite).itemsUnread},
		{"a failure comes after the items", (*suite).itemsThenFailure},
		{"an attempt begins the items anew", (*suite).itemsAnew},
		{"one loop at a time", (*suite).oneLoop},
		{"stored items are for everybody, also late", (*suite).itemsLate},
		{"a loop heeds its context", (*suite).loopEnds},
		{"progress is followed to the end", (*suite).progress},
		{"what has no items", (*suite).noItems},
		{"an end", (*suite).closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			t.Cleanup(cancel)
			c.test(&suite{bench: open(t), t: t, ctx: ctx})
		})
	}
}

type suite struct {
	bench
	t   *testing.T
	ctx context.Context
}

// handle makes the queue "q" with one task.
func (s *suite) handle(task string, h double.Handler) *double.Tasks {
	tasks := &double.Tasks{}
	tasks.Handle(task, h)
	s.tasks(tasks)
	return tasks
}

func echo(_ context.Context, job *wire.Job, _ int) (any, *wire.Failure) { return job.Args, nil }

func (s *suite) run(job penstock.Job, out any) error {
	handle, err := s.client().Enqueue(s.ctx, job)
	if err != nil {
		return err
	}
	return handle.Wait(s.ctx, out)
}

// enqueued is what an Enqueue in the background returned.
type enqueued struct {
	handle *penstock.Handle
	err    error
}

func (s *suite) mustBe(err error, targets ...error) {
	s.t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			s.t.Fatalf("got %v, which is not %v", err, target)
		}
	}
}

func (s *suite) mustNot(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) value() {
	s.handle("q.echo", echo)
	type args struct {
		X    []float64
		At   time.Time
		Name *string
	}
	in := args{X: []float64{3, 4}, At: time.Unix(5, 6).UTC()}
	var out args
	s.mustNot(s.run(penstock.Job{Task: "q.echo", Args: in}, &out))
	if !slices.Equal(out.X, in.X) || !out.At.Equal(in.At) || out.Name != nil {
		s.t.Fatalf("got %+v", out)
	}
}

func (s *suite) longValue() {
	s.handle("q.echo", echo)
	in := map[string][]byte{"x": bytes.Repeat([]byte("long"), wire.MaxBodyBytes)}
	for _, mode := range []penstock.ResultMode{penstock.Reply, penstock.Stored, penstock.ReplyAndStored} {
		var out map[string][]byte
		s.mustNot(s.run(penstock.Job{Task: "q.echo", Args: in, Result: mode}, &out))
		if !bytes.Equal(out["x"], in["x"]) {
			s.t.Fatalf("%s: %d bytes came back", mode, len(out["x"]))
		}
	}
	in["x"] = make([]byte, wire.MaxBlobBytes)
	s.mustBe(s.run(penstock.Job{Task: "q.echo", Args: in}, nil), penstock.ErrTooLarge)
}

func (s *suite) cannotTravel() {
	s.handle("q.f", func(context.Context, *wire.Job, int) (any, *wire.Failure) { return make(chan int), nil })
	var invalid *penstock.InvalidJobError
	if err := s.run(penstock.Job{Task: "q.f", Args: map[string]any{"x": time.Second}}, nil); !errors.As(err, &invalid) {
		s.t.Fatalf("as an argument: %v", err)
	}
	s.mustBe(s.run(penstock.Job{Task: "q.f"}, nil), &penstock.RemoteError{Code: penstock.CodeResultInvalid})
}

func (s *suite) failure() {
	s.handle("q.f", func(context.Context, *wire.Job, int) (any, *wire.Failure) {
		return nil, &wire.Failure{Code: "EMPTY", Message: "nothing", ExcType: "ValueError", Details: map[string]any{"n": 0, "s": "x"}}
	})
	handle, err := s.client().Enqueue(s.ctx, penstock.Job{Task: "q.f"})
	s.mustNot(err)
	var remote *penstock.RemoteError
	if err := handle.Wait(s.ctx, nil); !errors.As(err, &remote) || remote.Code != "EMPTY" || remote.Message != "nothing" ||
		remote.ExcType != "ValueError" || remote.Retryable || remote.Attempt != 1 || remote.JobID != handle.ID() ||
		remote.Details["n"] != int64(0) || remote.Details["s"] != "x" {
		s.t.Fatalf("got %#v", err)
	}
	if _, ok := remote.Spent(); ok {
		s.t.Fatal("it was no deadline, and says where the time went")
	}
}

func (s *suite) retry() {
	tasks := s.handle("q.f", func(_ context.Context, _ *wire.Job, attempt int) (any, *wire.Failure) {
		if attempt < 3 {
			return nil, &wire.Failure{Code: "BUSY", Retryable: true}
		}
		return attempt, nil
	})
	tasks.Retry("q.f", 3)
	var attempt int
	s.mustNot(s.run(penstock.Job{Task: "q.f"}, &attempt))
	if attempt != 3 {
		s.t.Fatalf("attempt %d came back", attempt)
	}
	tasks.Retry("q.f", 2)
	err := s.run(penstock.Job{Task: "q.f"}, nil)
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != "BUSY" || remote.Attempt != 2 || !remote.Retryable {
		s.t.Fatalf("got %#v", err)
	}
}

func (s *suite) deadline() {
	s.handle("q.f", echo)
	err := s.run(penstock.Job{Task: "q.f", Deadline: time.Now().Add(-time.Second)}, nil)
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != penstock.CodeExpired || remote.Attempt != 0 {
		s.t.Fatalf("got %#v", err)
	}
	if spent, ok := remote.Spent(); !ok || spent.Attempts != 0 || spent.Run != 0 {
		s.t.Fatalf("it says %+v, %t of where the time went", spent, ok)
	}
}

func (s *suite) deadlineCutsTries() {
	tasks := s.handle("q.f", func(ctx context.Context, _ *wire.Job, _ int) (any, *wire.Failure) {
		<-ctx.Done() // the job's deadline
		return nil, &wire.Failure{Code: "SLOW", Message: "slow", Retryable: true}
	})
	tasks.Retry("q.f", 5)
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	handle, err := s.client().Enqueue(ctx, penstock.Job{Task: "q.f"})
	s.mustNot(err)
	err = handle.Wait(ctx, nil) // the same context: the answer comes shortly before it ends
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != "SLOW" || remote.Attempt != 1 {
		s.t.Fatalf("got %v", err)
	}
	if spent, ok := remote.Spent(); !ok || spent.Attempts != 1 || spent.Run < time.Second {
		s.t.Fatalf("it says %+v, %t of where the time went", spent, ok)
	}
}

func (s *suite) givesUp() {
	s.queue("idle")
	handle, err := s.client().Enqueue(s.ctx, penstock.Job{Task: "idle.f"})
	s.mustNot(err)
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
	defer cancel()
	err = handle.Wait(ctx, nil)
	s.mustBe(err, penstock.ErrNoResult, context.DeadlineExceeded)
	if !strings.Contains(err.Error(), "ms after Enqueue") {
		s.t.Fatalf("got %v", err)
	}
}

func (s *suite) unknownTask() {
	s.handle("q.f", echo)
	s.mustBe(s.run(penstock.Job{Task: "q.g"}, nil), &penstock.RemoteError{Code: penstock.CodeUnsupportedTask})
}

func (s *suite) unroutable() {
	err := s.run(penstock.Job{Task: "nobody.f"}, nil)
	s.mustBe(err, penstock.ErrUnroutable)
	if errors.Is(err, penstock.ErrUnknown) {
		s.t.Fatalf("it is known: %v", err)
	}
}

func (s *suite) refused() {
	s.full("full")
	err := s.run(penstock.Job{Task: "full.f"}, nil)
	s.mustBe(err, penstock.ErrRefused)
	if errors.Is(err, penstock.ErrUnknown) {
		s.t.Fatalf("it is known: %v", err)
	}
}

func (s *suite) lostConfirm() {
	s.handle("q.f", echo)
	var got enqueued
	s.loseConfirm(func() {
		got.handle, got.err = s.client().Enqueue(s.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
	})
	s.mustNot(got.err)
	if repeats := s.repeats(); !slices.Equal(repeats, []int64{0, 1}) {
		s.t.Fatalf("x-repeat was %v", repeats)
	}
}

func (s *suite) repetition() {
	var runs atomic.Int64
	s.handle("q.f", func(context.Context, *wire.Job, int) (any, *wire.Failure) { return runs.Add(1), nil })
	job := penstock.Job{Task: "q.f", Result: penstock.Stored}
	handle, err := s.client().Enqueue(s.ctx, job)
	s.mustNot(err)
	s.mustNot(handle.Wait(s.ctx, nil))
	job.ID, job.Result = handle.ID(), penstock.ReplyAndStored
	var run int
	s.mustNot(s.run(job, &run))
	if run != 1 || runs.Load() != 1 {
		s.t.Fatalf("it ran %d times, and the repetition got the result of run %d", runs.Load(), run)
	}
}

func (s *suite) unknown() {
	s.handle("q.f", echo)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var err error
	job := penstock.Job{Task: "q.f", Result: penstock.NoResult} // a reply would tell that it was accepted
	s.loseConfirms(func() { _, err = s.client().Enqueue(ctx, job) }, cancel)
	s.mustBe(err, penstock.ErrUnknown, context.Canceled)
	var failed *penstock.EnqueueError
	if !errors.As(err, &failed) || !wire.ValidJobID(failed.JobID) {
		s.t.Fatalf("the error must carry the job's ID: %v", err)
	}
}

// held is a task that waits for its release.
func (s *suite) held() (release func()) {
	gate := make(chan struct{})
	s.handle("q.f", func(_ context.Context, job *wire.Job, _ int) (any, *wire.Failure) {
		<-gate
		return 7, nil
	})
	return func() { close(gate) }
}

func (s *suite) lostReply() {
	release := s.held()
	handle, err := s.client().Enqueue(s.ctx, penstock.Job{Task: "q.f"})
	s.mustNot(err)
	s.loseReply(release)
	ctx, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
	defer cancel()
	s.mustBe(handle.Wait(ctx, nil), penstock.ErrReplyLost, penstock.ErrNoResult, context.DeadlineExceeded)
	s.mustBe(handle.Wait(context.Background(), nil), penstock.ErrReplyLost)
}

func (s *suite) lostReplyStored() {
	release := s.held()
	handle, err := s.client().Enqueue(s.ctx, penstock.Job{Task: "q.f", Result: penstock.ReplyAndStored})
	s.mustNot(err)
	s.loseReply(release)
	var out int
	s.mustNot(handle.Wait(s.ctx, &out))
	if out != 7 {
		s.t.Fatalf("got %d", out)
	}
}

func (s *suite) stored() {
	s.handle("q.f", echo)
	handle, err := s.client().Enqueue(s.ctx, penstock.Job{Task: "q.f", Result: penstock.Stored, Args: map[string]any{"x": 7}})
	s.mustNot(err)
	var byHandle, byID struct{ X int }
	s.mustNot(handle.Wait(s.ctx, &byHandle))
	s.mustNot(s.other().Result(s.ctx, handle.ID(), &byID))
	if byHandle.X != 7 || byID.X != 7 {
		s.t.Fatalf("got %d and %d", byHandle.X, byID.X)
	}
}

func (s *suite) noResult() {
	s.handle("q.f", echo)
	s.mustBe(s.run(penstock.Job{Task: "q.f", Result: penstock.NoResult}, nil), penstock.ErrNoResult)
}

func (s *suite) firstWins() {
	var runs atomic.Int64
	s.handle("q.f", func(context.Context, *wire.Job, int) (any, *wire.Failure) { return runs.Add(1), nil })
	job := penstock.Job{Task: "q.f", ID: wire.NewID()}
	handle, err := s.client().Enqueue(s.ctx, job)
	s.mustNot(err)
	var before, after int64
	s.mustNot(handle.Wait(s.ctx, &before))
	again, err := s.client().Enqueue(s.ctx, job)
	s.mustNot(err)
	s.mustNot(again.Wait(s.ctx, nil))
	s.mustNot(handle.Wait(s.ctx, &after))
	if before != after || runs.Load() != 2 {
		s.t.Fatalf("after %d runs the result is %d, and was %d", runs.Load(), after, before)
	}
}

// untilCancelled waits until a worker has heard of a command.
func (s *suite) untilCancelled(tasks *double.Tasks, id string) {
	s.t.Helper()
	for !tasks.Cancelled(id) {
		if s.ctx.Err() != nil {
			s.t.Fatal("no worker has heard of the command")
		}
		time.Sleep(time.Millisecond)
	}
}

// obedient ends with its context.
func obedient(started chan<- struct{}, answer any, failure *wire.Failure) double.Handler {
	return func(ctx context.Context, _ *wire.Job, _ int) (any, *wire.Failure) {
		started <- struct{}{}
		<-ctx.Done()
		return answer, failure
	}
}

// cancelRunning enqueues a job of the task q.f, and cancels it when it runs.
func (s *suite) cancelRunning(started <-chan struct{}, job penstock.Job) *penstock.Handle {
	s.t.Helper()
	job.Task = "q.f"
	handle, err := s.client().Enqueue(s.ctx, job)
	s.mustNot(err)
	<-started
	s.mustNot(handle.Cancel(s.ctx))
	return handle
}

func (s *suite) cancelsRunning() {
	started := make(chan struct{}, 1)
	s.handle("q.f", obedient(started, nil, &wire.Failure{Code: "INTERRUPTED"}))
	handle := s.cancelRunning(started, penstock.Job{Result: penstock.ReplyAndStored})
	var remote *penstock.RemoteError
	if err := handle.Wait(s.ctx, nil); !errors.As(err, &remote) || remote.Code != penstock.CodeCancelled ||
		remote.Attempt != 1 || remote.Retryable || remote.JobID != handle.ID() {
		s.t.Fatalf("got %#v", err)
	}
	s.mustBe(s.other().Result(s.ctx, handle.ID(), nil), &penstock.RemoteError{Code: penstock.CodeCancelled})
	s.mustNot(handle.Cancel(s.ctx)) // once more does no harm
}

func (s *suite) cancelsEarly() {
	var runs atomic.Int64
	tasks := s.handle("q.f", func(context.Context, *wire.Job, int) (any, *wire.Failure) { return runs.Add(1), nil })
	job := penstock.Job{Task: "q.f", ID: wire.NewID()}
	s.mustNot(s.other().Cancel(s.ctx, job.ID))
	s.untilCancelled(tasks, job.ID)
	err := s.run(job, nil)
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != penstock.CodeCancelled || remote.Attempt != 0 || runs.Load() != 0 {
		s.t.Fatalf("after %d runs got %#v", runs.Load(), err)
	}
	s.mustNot(s.run(penstock.Job{Task: "q.f"}, nil))
}

func (s *suite) cancelsInVain() {
	started := make(chan struct{}, 1)
	s.handle("q.f", obedient(started, 7, nil))
	var out int
	s.mustNot(s.cancelRunning(started, penstock.Job{}).Wait(s.ctx, &out))
	if out != 7 {
		s.t.Fatalf("got %d", out)
	}
}

func (s *suite) cancelEndsTries() {
	started := make(chan struct{}, 5)
	tasks := s.handle("q.f", obedient(started, nil, &wire.Failure{Code: "BUSY", Retryable: true}))
	tasks.Retry("q.f", 5)
	err := s.cancelRunning(started, penstock.Job{}).Wait(s.ctx, nil)
	s.mustBe(err, &penstock.RemoteError{Code: penstock.CodeCancelled})
	if again := len(started); again > 0 {
		s.t.Fatalf("it was tried again %d times", again)
	}
}

func (s *suite) cancelUnheard() {
	id := wire.NewID()
	err := s.client().Cancel(s.ctx, id)
	s.mustBe(err, penstock.ErrUnroutable)
	var failed *penstock.CancelError
	if !errors.As(err, &failed) || failed.JobID != id || errors.Is(err, penstock.ErrUnknown) {
		s.t.Fatalf("got %#v", err)
	}
	var invalid *penstock.InvalidJobError
	if err := s.client().Cancel(s.ctx, "42"); !errors.As(err, &invalid) {
		s.t.Fatalf("got %v", err)
	}
}

func (s *suite) closed() {
	s.queue("idle")
	handle, err := s.client().Enqueue(s.ctx, penstock.Job{Task: "idle.f"})
	s.mustNot(err)
	s.mustNot(s.client().Close(s.ctx))
	s.mustBe(handle.Wait(s.ctx, nil), penstock.ErrClosed)
	_, err = s.client().Enqueue(s.ctx, penstock.Job{Task: "idle.f"})
	s.mustBe(err, penstock.ErrClosed)
	s.mustBe(handle.Cancel(s.ctx), penstock.ErrClosed)
}
