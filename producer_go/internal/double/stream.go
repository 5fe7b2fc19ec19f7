package double

import (
	"context"
	"errors"
	"sync"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Outlet is where the items and the progress of a job go.
type Outlet interface {
	// Item sends an item that has its turn.
	Item(place wire.Place, body []byte)

	// Progress sends what a start says of its progress.
	Progress(worker string, fence int64, body []byte)

	// Windowed tells whether items wait for credit.
	Windowed() bool
}

// Nowhere is the outlet of a job whose items and progress go nowhere.
type Nowhere struct{}

// Item drops the item.
func (Nowhere) Item(wire.Place, []byte) {}

// Progress drops the progress.
func (Nowhere) Progress(string, int64, []byte) {}

// Windowed is false.
func (Nowhere) Windowed() bool { return false }

// attempt is one start of a job that may yield items.
type attempt struct {
	tasks   *Tasks
	outlet  Outlet
	jobID   string
	fence   int64
	yielded int64
}

type attemptKey struct{}

// ErrNoHandler is returned when ctx is not that of a handler.
var ErrNoHandler = errors.New("the context is not that of a handler")

// Yield sends an item of the job that a handler runs with ctx, and waits while its reader is too far behind. The error is an
// [*wire.Error] for what cannot travel, ErrNoHandler, or that of ctx.
func Yield(ctx context.Context, item any) error {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return ErrNoHandler
	}
	body, err := wire.Marshal(item, wire.MaxBodyBytes)
	if err != nil {
		return err
	}
	read := true
	if a.outlet.Windowed() {
		if read, err = a.tasks.credits.wait(ctx, a.jobID, a.fence, a.yielded); err != nil {
			return err
		}
	}
	if read {
		a.outlet.Item(wire.Place{Worker: Worker, Fence: a.fence, Seq: a.yielded}, body)
	}
	a.yielded++
	return ctx.Err()
}

// Report sends what the job that a handler runs with ctx says of its progress. Errors are as for Yield.
func Report(ctx context.Context, p wire.Progress) error {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return ErrNoHandler
	}
	body, err := wire.Marshal(p, wire.MaxBodyBytes)
	if err != nil {
		return err
	}
	a.outlet.Progress(Worker, a.fence, body)
	return nil
}

// Credit takes a credit as a worker hears it.
func (t *Tasks) Credit(c wire.Credit) {
	if c.Worker == Worker {
		t.credits.set(c)
	}
}

// credits are what readers have allowed.
type credits struct {
	mu      sync.Mutex
	fence   int64 // of the start that began last
	given   map[start]int64
	changed chan struct{} // closed by set; nil while nobody waits
}

type start struct {
	jobID string
	fence int64
}

// begin gives a new start its first credit.
func (c *credits) begin(jobID string) (fence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.given == nil {
		c.given = make(map[start]int64)
	}
	c.fence++
	c.given[start{jobID, c.fence}] = wire.StreamWindow
	return c.fence
}

func (c *credits) end(jobID string, fence int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.given, start{jobID, fence})
}

// set counts for starts that run.
func (c *credits) set(credit wire.Credit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := start{credit.JobID, credit.Fence}
	given, runs := c.given[of]
	if !runs || given == wire.NoReader || credit.Items != wire.NoReader && credit.Items < given {
		return
	}
	c.given[of] = credit.Items
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// wait returns when the item with that number may be sent; read is false when nobody reads it.
func (c *credits) wait(ctx context.Context, jobID string, fence, seq int64) (read bool, err error) {
	for {
		given, changed := c.look(start{jobID, fence}, seq)
		if changed == nil {
			return given != wire.NoReader, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// look returns what is given; changed is nil when that is enough.
func (c *credits) look(of start, seq int64) (given int64, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if given = c.given[of]; given == wire.NoReader || seq < given {
		return given, nil
	}
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return given, c.changed
}
