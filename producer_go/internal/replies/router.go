// Package replies receives results over an exclusive reply queue and hands each to whoever waits for it.
package replies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Pending is a reply that has not come yet, or has.
type Pending struct {
	address string        // the reply queue's key; the queue and all replies to it die with its connection
	holders int           // how many have asked for this job's reply; guarded by the router's lock
	done    chan struct{} // closed by the router when the two below are set
	body    []byte
	err     error
}

// Done is closed when the reply has come or can no longer come.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Body returns the reply as it came, or fault.ErrReplyLost or ErrClosed; to be called after Done.
func (p *Pending) Body() ([]byte, error) { return p.body, p.err }

// Address returns the job's reply_to.
func (p *Pending) Address() string { return p.address }

// Router owns the reply queue. It connects at the first Expect.
type Router struct {
	supervisor *amqpconn.Supervisor
	exchange   string
	queue      string // template
	user       string
	dropped    atomic.Uint64

	mu      sync.Mutex
	closed  bool
	address string              // of the present connection; "" while there is none
	waiting map[string]*Pending // by job id; an entry leaves when its reply comes, or with its last holder
}

// New returns a router for replies to user in a namespace.
func New(config amqpconn.Config, namespace, user string) *Router {
	r := &Router{
		exchange: namespace + "." + wire.ExchangeReplies,
		queue:    namespace + "." + wire.QueueReply,
		user:     user,
		waiting:  make(map[string]*Pending),
	}
	r.supervisor = amqpconn.New(config, r.setup)
	return r
}

// Connects returns how many connections there have been.
func (r *Router) Connects() int { return r.supervisor.Connects() }

// Dropped returns how many replies nobody was waiting for: late, duplicate or stray.
func (r *Router) Dropped() uint64 { return r.dropped.Load() }

// Waiting returns how many replies are awaited.
func (r *Router) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// Expect prepares for the reply to a job, before the job is published. Each call needs one Forget.
func (r *Router) Expect(ctx context.Context, jobID string) (*Pending, error) {
	r.supervisor.Start()
	for {
		link, err := r.supervisor.Link(ctx)
		if err != nil {
			return nil, err
		}
		if p := r.enter(jobID); p != nil {
			return p, nil
		}
		select { // the connection has been lost, and the supervisor is about to notice
		case <-link.Done():
		case <-ctx.Done():
		}
	}
}

// enter returns nil when there is no reply queue at present.
func (r *Router) enter(jobID string) *Pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.address == "" {
		return nil
	}
	p := r.waiting[jobID]
	if p == nil {
		p = &Pending{address: r.address, done: make(chan struct{})}
		r.waiting[jobID] = p
	}
	p.holders++
	return p
}

// Forget undoes one Expect. A reply that comes later is dropped.
func (r *Router) Forget(jobID string, p *Pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.holders--; p.holders == 0 && r.waiting[jobID] == p {
		delete(r.waiting, jobID)
	}
}

// Close ends the connection; who still waits gets fault.ErrClosed.
func (r *Router) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.fail(r.address, fault.ErrClosed)
	r.mu.Unlock()
	return r.supervisor.Close(ctx)
}

// setup declares a reply queue of a fresh name, for the broker may hold the old one until it has noticed
// that its connection is gone.
func (r *Router) setup(_ context.Context, link *amqpconn.Link) error {
	instance := wire.NewInstance()
	queue := wire.Fill(r.queue, "user", r.user, "instance", instance)
	address := r.user + "." + instance
	ch, err := link.Conn.Channel()
	if err != nil {
		return r.explain(err)
	}
	classic := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeClassic}
	if _, err := ch.QueueDeclare(queue, false, false, true, false, classic); err != nil {
		return r.explain(err)
	}
	if err := ch.QueueBind(queue, address, r.exchange, false, nil); err != nil {
		return r.explain(err)
	}
	deliveries, err := ch.Consume(queue, "", true, true, false, false, nil)
	if err != nil {
		return r.explain(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fault.ErrClosed
	}
	r.address = address
	go r.receive(link, address, deliveries)
	return nil
}

// explain says why there is no reply queue.
func (r *Router) explain(err error) error {
	var said *amqp.Error
	if errors.As(err, &said) && said.Server {
		switch said.Code {
		case amqp.NotFound:
			return fmt.Errorf("%w: the exchange %s does not exist; run: penstock topology apply", fault.ErrTopology, r.exchange)
		case amqp.AccessRefused:
			return fmt.Errorf("%w: %w", fault.ErrDenied, err)
		}
	}
	return fmt.Errorf("%w: no reply queue: %w", fault.ErrUnavailable, err)
}

// receive hands replies out until the queue is gone, and with it every reply that was on its way.
func (r *Router) receive(link *amqpconn.Link, address string, deliveries <-chan amqp.Delivery) {
	for d := range deliveries {
		r.deliver(d)
	}
	link.Drop() // the channel can end before its connection, for instance when somebody deletes the queue
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(address, fault.ErrReplyLost)
}

func (r *Router) deliver(d amqp.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.waiting[d.CorrelationId]
	if p == nil {
		r.dropped.Add(1)
		return
	}
	delete(r.waiting, d.CorrelationId)
	p.body = d.Body
	close(p.done)
}

// fail ends the waiting for all replies to an address, which is no longer used; under the lock.
func (r *Router) fail(address string, err error) {
	if r.address == address {
		r.address = ""
	}
	for id, p := range r.waiting {
		if p.address == address {
			delete(r.waiting, id)
			p.err = err
			close(p.done)
		}
	}
}
