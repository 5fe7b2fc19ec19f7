// Package penstocktest lets tests of code that calls tasks run without servers and workers.
//
//	func TestTheReportHasTheNorm(t *testing.T) {
//		double := penstocktest.New(t)
//		penstocktest.Handle(double, "stats.norm", func(_ context.Context, args struct{ X []float64 }) (float64, error) {
//			return math.Hypot(args.X[0], args.X[1]), nil
//		})
//		report := NewReport(double.Client)
//		...
//	}
//
// The client is the real one, so the code under test needs no interface: only what it speaks to is in
// memory. Jobs and results pass the real encoder and decoder, so what cannot travel fails in the test too.
// One conformance suite holds the double and RabbitMQ to the same behaviour.
//
// What the double has not: waiting times between attempts, priorities, permissions, a dead queue.
package penstocktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/backend"
	"github.com/penstock-mq/penstock/producer_go/internal/double"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Double stands in for RabbitMQ, Redis and the workers. It is safe for concurrent use.
type Double struct {
	// Client speaks to the double, and reads its stored results.
	Client *penstock.Client

	broker *double.Broker
	t      testing.TB
}

// New returns a double with no queues. It and its clients are closed when the test ends, with the contexts of
// handlers that still run.
func New(t testing.TB) *Double {
	t.Helper()
	d := &Double{broker: double.NewBroker(), t: t}
	t.Cleanup(d.broker.Close)
	d.Client = d.Open()
	return d
}

// Open returns one more client, such as another process would have. Code that opens clients itself does the
// same with the double's Context, Options and Results.
func (d *Double) Open() *penstock.Client {
	d.t.Helper()
	client, err := penstock.Open(d.Context(context.Background()), penstock.Options{URL: URL, Results: d.Results()})
	if err != nil {
		d.t.Fatalf("penstocktest: %v", err)
	}
	d.t.Cleanup(func() { client.Close(context.Background()) })
	return client
}

// URL is one for Options; nobody listens there.
const URL = "amqp://penstocktest:none@penstocktest.invalid/"

// Context returns a context with which penstock.Open opens a client of the double, whatever the URL is.
func (d *Double) Context(ctx context.Context) context.Context { return backend.With(ctx, d.broker) }

// Results returns the store of the double's results.
func (d *Double) Results() penstock.ResultStore { return &d.broker.Store }

// Handle runs the jobs of a task with f, each in a goroutine of its own, and makes the task's queue. Args is
// what the arguments are decoded into: a struct, or map[string]any. The context of f has the job's deadline,
// and [JobOf] tells the job. With it f may call [Yield] and [Report].
//
// An error that is a [*penstock.RemoteError] arrives as it is, without a code as TASK_ERROR; any other error
// as a TASK_ERROR with its text. Jobs are tried once; see [Double.Retry].
func Handle[Args, Value any](d *Double, task string, f func(ctx context.Context, args Args) (Value, error)) {
	d.t.Helper()
	if !wire.ValidTask(task) {
		d.t.Fatalf("penstocktest: %q is no task's name; it is <queue>.<function>", task)
	}
	d.broker.Handle(task, func(ctx context.Context, job *wire.Job, attempt int) (any, *wire.Failure) {
		var args Args
		if err := job.Args.(wire.Raw).Decode(&args); err != nil {
			return nil, &wire.Failure{Code: penstock.CodeInvalidArgs, Message: fmt.Sprintf("%s: %v", task, err)}
		}
		value, err := f(context.WithValue(ctx, jobKey{}, newJob(job, nil, attempt)), args)
		if err != nil {
			return nil, d.failure(task, err)
		}
		return value, nil
	})
}

// failure is how an error travels. What cannot travel fails the test.
func (d *Double) failure(task string, err error) *wire.Failure {
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) {
		return &wire.Failure{Code: penstock.CodeTaskError, Message: err.Error()}
	}
	f := &wire.Failure{
		Code: remote.Code, Message: remote.Message, Retryable: remote.Retryable, ExcType: remote.ExcType, Details: remote.Details,
	}
	if f.Code == "" {
		f.Code = penstock.CodeTaskError
	}
	for key, value := range f.Details {
		switch value.(type) {
		case string, bool, float64, int64, int:
		default:
			d.t.Errorf("penstocktest: %s: the detail %q is %T; details are string, int, float64 and bool", task, key, value)
			f.Details = nil
		}
	}
	return f
}

// Retry sets how often jobs of the task are tried, at once and again, while they fail with a RemoteError
// that is retryable.
func (d *Double) Retry(task string, attempts int) { d.broker.Tasks.Retry(task, attempts) }

// Queue makes a queue that nobody works on. Its jobs are accepted, and wait for a Handle.
func (d *Double) Queue(name string) { d.broker.Declare(name) }

// Full lets a queue refuse jobs, or no longer: Enqueue returns [penstock.ErrRefused].
func (d *Double) Full(queue string, full bool) { d.broker.SetFull(queue, full) }

// Away lets nobody reach the broker, or everybody again: Enqueue waits until its context ends, and returns
// [penstock.ErrUnavailable].
func (d *Double) Away(away bool) { d.broker.SetAway(away) }

// LoseConfirms loses the broker's answer to the next n jobs that it accepts; -1 means to all, 0 to none any
// more. Enqueue publishes them again, under the same ID, and returns [penstock.ErrUnknown] when its context
// ends before an answer comes.
func (d *Double) LoseConfirms(n int) { d.broker.LoseConfirms(n) }

// LoseJobs loses the next n publications before the broker has them, as LoseConfirms does after that.
func (d *Double) LoseJobs(n int) { d.broker.LoseJobs(n) }

// LoseReplies loses the next n replies: Wait returns [penstock.ErrReplyLost], or reads the store with
// [penstock.ReplyAndStored].
func (d *Double) LoseReplies(n int) { d.broker.LoseReplies(n) }

// Jobs returns the jobs that were accepted so far, in their order; one that was published again is there
// more than once.
func (d *Double) Jobs() []Job {
	accepted := d.broker.Accepted()
	jobs := make([]Job, len(accepted))
	for i, a := range accepted {
		jobs[i] = newJob(a.Job, a.Headers, 0)
	}
	return jobs
}

// Job is a job as it arrived.
type Job struct {
	ID       string
	Task     string
	Version  int
	Meta     map[string]string
	Deadline time.Time // zero: none
	Repeat   int       // how many publications may have gone before this one; in Jobs only
	Attempt  int       // from 1; in handlers only
	args     wire.Raw
}

func newJob(job *wire.Job, headers map[string]any, attempt int) Job {
	j := Job{ID: job.ID, Task: job.Task, Version: int(job.Version), Meta: job.Meta, Attempt: attempt, args: job.Args.(wire.Raw)}
	if job.Deadline != nil {
		j.Deadline = time.UnixMilli(*job.Deadline)
	}
	if n, ok := headers[wire.HeaderRepeat].(int64); ok {
		j.Repeat = int(n)
	}
	return j
}

// Args decodes the arguments into what out points to.
func (j Job) Args(out any) error { return j.args.Decode(out) }

type jobKey struct{}

// JobOf returns the job that a handler runs; the zero Job outside of handlers.
func JobOf(ctx context.Context) Job {
	job, _ := ctx.Value(jobKey{}).(Job)
	return job
}
