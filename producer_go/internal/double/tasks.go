// Package double is a broker, its workers and a result store in memory: the engine of package penstocktest.
package double

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Worker is the name under which tasks answer.
const Worker = "penstocktest"

// Handler runs one attempt of a job and returns its value or its failure.
type Handler func(ctx context.Context, job *wire.Job, attempt int) (any, *wire.Failure)

// Tasks run jobs as a worker does: deadlines, attempts, values that cannot travel.
type Tasks struct {
	mu       sync.Mutex
	handlers map[string]Handler
	attempts map[string]int

	cancels cancels
	credits credits
}

// Handle sets the handler of a task.
func (t *Tasks) Handle(task string, h Handler) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handlers == nil {
		t.handlers = make(map[string]Handler)
	}
	t.handlers[task] = h
}

// Retry sets how often a job of the task is tried while it fails retryably. Without it that is once.
func (t *Tasks) Retry(task string, attempts int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.attempts == nil {
		t.attempts = make(map[string]int)
	}
	t.attempts[task] = attempts
}

// Serve tells whether a queue has handlers.
func (t *Tasks) Serve(queue string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for task := range t.handlers {
		if QueueOf(task) == queue {
			return true
		}
	}
	return false
}

// QueueOf returns the first word of a task's name.
func QueueOf(task string) string {
	queue, _, _ := strings.Cut(task, ".")
	return queue
}

// Run runs a job from its first attempt to its last and returns its result, whose value has at most maxBytes. What the
// handler yields goes to outlet. Ctx ends with the worker.
func (t *Tasks) Run(ctx context.Context, job *wire.Job, arrived time.Time, maxBytes int, outlet Outlet) *wire.Result {
	t.mu.Lock()
	handler, attempts, known := t.handlers[job.Task], max(1, t.attempts[job.Task]), slices.Sorted(maps.Keys(t.handlers))
	t.mu.Unlock()
	r := &run{tasks: t, job: job, arrived: arrived, maxBytes: maxBytes, outlet: outlet}
	ctx, end := t.cancels.begin(ctx, job.ID)
	defer end()
	if failure := r.cancelled(ctx); failure != nil {
		return r.failed(failure)
	}
	if handler == nil {
		return r.failed(&wire.Failure{
			Code: wire.CodeUnsupportedTask, Message: fmt.Sprintf("%s: no such task (known: %s)", job.Task, strings.Join(known, ", ")),
		})
	}
	if job.Deadline != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, time.UnixMilli(*job.Deadline))
		defer cancel()
	}
	for {
		if r.expired() {
			return r.failed(r.account(&wire.Failure{Code: wire.CodeExpired, Message: job.Task + ": the deadline passed before the job started"}))
		}
		value, failure := r.attempt(ctx, handler)
		if failure == nil {
			return r.result(&wire.Result{Value: value, Items: r.items()})
		}
		if cancelled := r.cancelled(ctx); cancelled != nil {
			return r.failed(cancelled)
		}
		switch {
		case !failure.Retryable || r.attempts >= attempts:
			return r.failed(failure)
		case r.expired():
			failure.Message += "; the deadline leaves no time for another attempt"
			return r.failed(r.account(failure))
		}
	}
}

// run is the way of one job through its attempts.
type run struct {
	tasks    *Tasks
	job      *wire.Job
	outlet   Outlet
	arrived  time.Time
	maxBytes int           // longest value
	attempts int           // begun
	ran      time.Duration // in all of them
	started  time.Time     // the last one
	yields   bool          // one of them has yielded items
	yielded  int64         // by the last one
}

// items is how many items the last attempt has yielded, nil when none ever has: tasks do not say beforehand that they
// yield any.
func (r *run) items() *int64 {
	if !r.yields {
		return nil
	}
	return &r.yielded
}

func (r *run) expired() bool {
	return r.job.Deadline != nil && time.Now().UnixMilli() >= *r.job.Deadline
}

// attempt calls the handler once and encodes what it returns, for what cannot travel is a failure.
func (r *run) attempt(ctx context.Context, h Handler) (wire.Raw, *wire.Failure) {
	r.attempts++
	r.started = time.Now()
	defer func() { r.ran += time.Since(r.started) }()
	a := &attempt{
		tasks: r.tasks, outlet: r.outlet, jobID: r.job.ID, fence: r.tasks.credits.begin(r.job.ID),
	}
	defer r.tasks.credits.end(a.jobID, a.fence)
	value, failure := h(context.WithValue(ctx, attemptKey{}, a), r.job, r.attempts)
	r.yields, r.yielded = r.yields || a.yielded > 0, a.yielded
	if failure != nil {
		return nil, failure
	}
	encoded, err := wire.Marshal(value, r.maxBytes)
	if problem, ok := err.(*wire.Error); ok && problem.Code == wire.CodeTooLarge {
		return nil, &wire.Failure{Code: wire.CodeResultTooLarge, Message: problem.Message}
	} else if ok {
		return nil, &wire.Failure{Code: wire.CodeResultInvalid, Message: problem.Message}
	}
	return encoded, nil
}

// account says where the job's time went, as workers do when a deadline has ended it.
func (r *run) account(f *wire.Failure) *wire.Failure {
	queued := max(0, time.Since(r.arrived)-r.ran)
	details := maps.Clone(f.Details)
	if details == nil {
		details = make(map[string]any)
	}
	details["queue_ms"], details["run_ms"] = queued.Milliseconds(), r.ran.Milliseconds()
	details["backoff_ms"], details["attempts"] = int64(0), int64(r.attempts)
	f.Details = details
	f.Message += fmt.Sprintf(" (%.3g s waiting, %.3g s in %d attempts, 0 s between them)", queued.Seconds(), r.ran.Seconds(), r.attempts)
	return f
}

func (r *run) failed(f *wire.Failure) *wire.Result { return r.result(&wire.Result{Failure: f}) }

func (r *run) result(result *wire.Result) *wire.Result {
	result.JobID, result.Task, result.Version, result.Worker = r.job.ID, r.job.Task, r.job.Version, Worker
	result.Attempt, result.FinishedAt = int64(r.attempts), time.Now().UnixMilli()
	if r.attempts > 0 {
		started := r.started.UnixMilli()
		result.StartedAt = &started
	}
	return result
}
