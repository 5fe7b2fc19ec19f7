// Package replies receives results over a reply queue and hands each to whoever waits for it.
package replies

import (
	"context"
	"sync"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Source brings replies to a router, whose methods Up, Deliver, AddItem and AddProgress are for the source to call.
type Source interface {
	// Ready waits until replies can come, with insist even where that looks hopeless. The first call
	// connects.
	Ready(ctx context.Context, insist bool) error

	// Connects returns how many connections there have been.
	Connects() int

	// Close ends the connection.
	Close(ctx context.Context) error
}

// Reply is a result as it came.
type Reply struct {
	Body  []byte
	Blob  *wire.Blob // nil: it is in the body
	Fence *int64     // of the start that ended the job; nil: its worker does not say
}

// Pending is a reply that has not come yet, or has.
type Pending struct {
	jobID   string
	holders int             // how many have asked for this job's reply; guarded by the router's lock
	lost    <-chan struct{} // of the connection that was there at the last publication; guarded likewise
	done    chan struct{}   // closed by the router when the two below are set
	reply   Reply
	err     error

	items    items // this and what follows is guarded by the router's lock
	progress progress
	changed  chan struct{} // closed by the router when one of the two changes; nil while nobody has asked for it
}

// Done is closed when the reply has come or the router was closed.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Ended tells whether Done is closed.
func (p *Pending) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Reply returns the reply as it came, or fault.ErrClosed; to be called after Done.
func (p *Pending) Reply() (Reply, error) { return p.reply, p.err }

// Router knows who waits for which reply. All replies come to one address, whatever becomes of the
// connection: what is sent there while there is none is lost, what is sent later is not.
type Router struct {
	source  Source
	address string
	refuse  func(wire.Credit) // tells a worker that nobody reads; must not block

	mu      sync.Mutex
	closed  bool
	lost    chan struct{}       // closed with its connection; nil while there is no connection
	waiting map[string]*Pending // by job id; an entry leaves when its reply comes, or with its last holder
	dropped uint64
}

// New returns a router for the replies to an address, <user>.<instance>, and what connect makes of it as
// their source. Refuse is called, and must not block, to tell a worker that nobody reads its items.
func New(address string, refuse func(wire.Credit), connect func(*Router) Source) *Router {
	r := &Router{address: address, refuse: refuse, waiting: make(map[string]*Pending)}
	r.source = connect(r)
	return r
}

// Address is the reply_to of jobs.
func (r *Router) Address() string { return r.address }

// Connects returns how many connections there have been.
func (r *Router) Connects() int { return r.source.Connects() }

// Dropped returns how many replies nobody was waiting for: late, duplicate or stray.
func (r *Router) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// Waiting returns how many replies are awaited.
func (r *Router) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// Expect prepares for the reply to a job, before the job is published. Each call needs one Forget; a call
// with the pending reply of an earlier one, before the job is published again, needs none.
func (r *Router) Expect(ctx context.Context, jobID string, earlier *Pending, insist bool) (*Pending, error) {
	for {
		if err := r.source.Ready(ctx, insist); err != nil {
			return earlier, err
		}
		if p, err := r.enter(jobID, earlier); p != nil || err != nil {
			return p, err
		}
	}
}

// enter returns nil when the connection has been lost already.
func (r *Router) enter(jobID string, p *Pending) (*Pending, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return p, fault.ErrClosed
	}
	if r.lost == nil {
		return nil, nil
	}
	if p == nil {
		if p = r.waiting[jobID]; p == nil {
			p = &Pending{jobID: jobID, done: make(chan struct{}), items: items{fence: -1}}
			r.waiting[jobID] = p
		}
		p.holders++
	}
	p.lost = r.lost
	return p, nil
}

// Lost returns what is closed when the connection is lost that was there when the job was published last:
// its reply may have been lost with it, or come over the next.
func (r *Router) Lost(p *Pending) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.lost
}

// Forget undoes one Expect. A reply that comes later is dropped, and nobody reads the items.
func (r *Router) Forget(p *Pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.holders--; p.holders == 0 && r.waiting[p.jobID] == p {
		delete(r.waiting, p.jobID)
		r.drop(p)
	}
}

// Close ends the connection; who still waits gets fault.ErrClosed.
func (r *Router) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	for id, p := range r.waiting {
		delete(r.waiting, id)
		p.err = fault.ErrClosed
		close(p.done)
	}
	r.mu.Unlock()
	return r.source.Close(ctx)
}

// Up says that replies can come from now on, over a new connection. It returns what to call when that
// connection is lost, and with it every reply that was on its way; nil when the router is closed.
func (r *Router) Up() (down func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	lost := make(chan struct{})
	r.lost = lost
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		close(lost)
		if r.lost == lost { // not when the next connection is there already
			r.lost = nil
		}
	}
}

// IsUp tells whether replies can come.
func (r *Router) IsUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost != nil
}

// Deliver hands a reply out. The first one counts.
func (r *Router) Deliver(jobID string, reply Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.waiting[jobID]
	if p == nil {
		r.dropped++
		return
	}
	delete(r.waiting, jobID)
	p.reply = reply
	close(p.done)
}
