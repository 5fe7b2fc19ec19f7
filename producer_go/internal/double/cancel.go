package double

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// errCancelled is the cause for which the context of a cancelled job ends.
var errCancelled = errors.New("the job was cancelled")

// cancels knows which jobs are to be cancelled, and how to end those that run.
type cancels struct {
	mu      sync.Mutex
	heard   map[string]bool // for good: a double does not live long
	running map[string]context.CancelCauseFunc
}

// Cancel ends the context of a job's handler, now or when the job comes.
func (t *Tasks) Cancel(id string) {
	c := &t.cancels
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard == nil {
		c.heard = make(map[string]bool)
	}
	c.heard[id] = true
	if end := c.running[id]; end != nil {
		end(errCancelled)
	}
}

// Cancelled tells whether a job is to be cancelled.
func (t *Tasks) Cancelled(id string) bool {
	t.cancels.mu.Lock()
	defer t.cancels.mu.Unlock()
	return t.cancels.heard[id]
}

// begin returns the context of a job, which has ended already when the job is to be cancelled, and what has to be
// called at its end.
func (c *cancels) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard[id] {
		end(errCancelled)
	}
	if c.running == nil {
		c.running = make(map[string]context.CancelCauseFunc)
	}
	c.running[id] = end
	return ctx, func() {
		end(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, id)
	}
}

// cancelled is the failure of a job whose context has ended because it was cancelled, otherwise nil.
func (r *run) cancelled(ctx context.Context) *wire.Failure {
	if !errors.Is(context.Cause(ctx), errCancelled) {
		return nil
	}
	text := r.job.Task + " was cancelled before it started"
	if r.attempts > 0 {
		text = r.job.Task + " was cancelled while it ran"
	}
	return &wire.Failure{Code: wire.CodeCancelled, Message: text}
}

// command drops a job that waits, or ends the one that runs. Where there is no queue, there is no worker to hear it.
func (b *Broker) command(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queues) == 0 {
		return fmt.Errorf("%w %q", fault.ErrUnroutable, "")
	}
	b.Tasks.Cancel(id)
	for queue, waiting := range b.queues {
		for i, d := range waiting {
			if d.Job.ID == id {
				b.queues[queue] = append(waiting[:i:i], waiting[i+1:]...)
				b.work.Go(func() { b.run(d) })
				return nil
			}
		}
	}
	return nil
}
