package replies

import "github.com/penstock-mq/penstock/producer_go/internal/wire"

// progress is the newest that has come of a job's progress.
type progress struct {
	fence int64
	body  []byte // nil: none has come
	count int    // how many have come
}

// AddItem takes an item that has come. The worker of one that nobody reads is told so.
func (r *Router) AddItem(jobID string, item Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.waiting[jobID]
	if p == nil || p.items.add(item) {
		r.refuse(wire.Credit{JobID: jobID, Worker: item.Worker, Fence: item.Fence, Items: wire.NoReader})
	}
	if p != nil {
		p.signal()
	}
}

// AddProgress takes a progress that has come.
func (r *Router) AddProgress(jobID string, fence int64, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.waiting[jobID]
	if p == nil || fence < p.progress.fence || fence < p.items.fence {
		return
	}
	p.progress = progress{fence: fence, body: body, count: p.progress.count + 1}
	p.signal()
}

// Read makes the caller the reader of a job's items; it returns false when there is another. A reader has to
// call Leave.
func (r *Router) Read(p *Pending) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.items.read()
}

// Leave ends what Read began. Unless all is over, what comes is dropped from now on, and the worker is told.
func (r *Router) Leave(p *Pending, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.items.leave(over) {
		r.refuse(p.unread())
	}
}

// Drop says that nobody reads a job's items, unless somebody does: what has come and what comes is dropped, and the
// worker is told, as soon as it is known.
func (r *Router) Drop(p *Pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(p)
}

// Abandon tells the workers of all items that nobody reads them any more; for the end of the client.
func (r *Router) Abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.waiting {
		if p.items.fence >= 0 && !p.items.unread {
			r.refuse(p.unread())
		}
	}
}

// drop is Drop under the lock.
func (r *Router) drop(p *Pending) {
	if p.items.drop() {
		r.refuse(p.unread())
	}
}

func (p *Pending) unread() wire.Credit {
	return wire.Credit{JobID: p.jobID, Worker: p.items.worker, Fence: p.items.fence, Items: wire.NoReader}
}

// Next hands the reader the next item. With None, changed is closed when that may be different, if not before then the
// pending reply is done.
func (r *Router) Next(p *Pending) (item Item, state State, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if item, state = p.items.next(); state != None {
		return item, state, nil
	}
	return item, state, p.change()
}

// Progress returns the newest progress when it is not the one with the number seen, which is 0 at first; nil otherwise,
// and then changed is as of Next.
func (r *Router) Progress(p *Pending, seen int) (body []byte, number int, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.progress.count == seen {
		return nil, seen, p.change()
	}
	return p.progress.body, p.progress.count, nil
}

// change returns what signal closes.
func (p *Pending) change() <-chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

func (p *Pending) signal() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}
