package double

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Broker routes, keeps and loses messages, and has workers for every queue whose tasks it knows.
type Broker struct {
	Tasks *Tasks
	Store Store

	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	queues   map[string][]*delivery // what waits in them for a worker
	full     map[string]bool
	sources  map[string]*source // by address
	accepted []Accepted
	faults   faults
	up       chan struct{} // closed while the broker can be reached, replaced when it cannot
	connects int
}

// faults are how many of the next ones get lost; negative means all.
type faults struct{ jobs, confirms, replies int }

// Accepted is a job that the broker has taken.
type Accepted struct {
	Job     *wire.Job
	Headers map[string]any
}

// delivery is a job in a queue.
type delivery struct {
	Accepted
	namespace string
	replyTo   string
	arrived   time.Time
}

// NewBroker returns a broker that has to be closed.
func NewBroker() *Broker {
	b := &Broker{
		queues: make(map[string][]*delivery), full: make(map[string]bool), sources: make(map[string]*source),
		Tasks: new(Tasks), up: make(chan struct{}),
	}
	close(b.up)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Close ends the context of every handler and waits for them.
func (b *Broker) Close() {
	b.cancel()
	b.work.Wait()
}

// Declare makes a queue. Jobs wait in it until it has a task with a handler.
func (b *Broker) Declare(queue string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.queues[queue]; !there {
		b.queues[queue] = nil
	}
}

// Handle sets the handler of a task, makes its queue, and works on what waits there.
func (b *Broker) Handle(task string, h Handler) {
	b.Tasks.Handle(task, h)
	b.mu.Lock()
	defer b.mu.Unlock()
	queue := QueueOf(task)
	waiting := b.queues[queue]
	b.queues[queue] = nil
	for _, d := range waiting {
		b.work.Go(func() { b.run(d) })
	}
}

// SetFull lets a queue refuse what is published to it, or no longer.
func (b *Broker) SetFull(queue string, full bool) {
	b.Declare(queue)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full[queue] = full
}

// SetAway lets nobody reach the broker, or everybody again.
func (b *Broker) SetAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.up:
		if away {
			b.up = make(chan struct{})
			b.disconnect()
		}
	default:
		if !away {
			close(b.up)
		}
	}
}

// LoseJobs loses the next so many publications; a negative number loses all.
func (b *Broker) LoseJobs(n int) { b.lose(&b.faults.jobs, n) }

// LoseConfirms loses the confirms of the next so many jobs that are accepted.
func (b *Broker) LoseConfirms(n int) { b.lose(&b.faults.confirms, n) }

// LoseReplies loses the next so many replies, and their connections.
func (b *Broker) LoseReplies(n int) { b.lose(&b.faults.replies, n) }

func (b *Broker) lose(what *int, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*what = n
}

// Accepted returns the jobs that were accepted, in their order; of repetitions each one.
func (b *Broker) Accepted() []Accepted {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Accepted(nil), b.accepted...)
}

// Connects returns how many connections there have been, the first one included.
func (b *Broker) Connects() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.connects + 1
}

// disconnect ends all connections, and what is on its way to a client; under the lock.
func (b *Broker) disconnect() {
	b.connects++
	for _, s := range b.sources {
		s.reconnect()
	}
}

// publish takes a message, or says why not.
func (b *Broker) publish(namespace string, m confirm.Message) error {
	body := m.Body
	if blob := wire.NamedBlob(m.Headers); blob != nil {
		body, _ = b.Store.Get(b.ctx, blob.Key(namespace, m.MessageId))
	}
	job, err := wire.DecodeJob(body, wire.HardMaxBlobBytes)
	if err != nil {
		return fmt.Errorf("%w: %w", fault.ErrRefused, err) // the encoder writes no such body
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	queue := QueueOf(m.Key)
	waiting, there := b.queues[queue]
	switch {
	case !there:
		return fmt.Errorf("%w %q", fault.ErrUnroutable, m.Key)
	case b.full[queue]:
		return fault.ErrRefused
	case take(&b.faults.jobs):
		return b.unanswered()
	}
	d := &delivery{Accepted: Accepted{job, m.Headers}, namespace: namespace, replyTo: m.ReplyTo, arrived: time.Now()}
	b.accepted = append(b.accepted, d.Accepted)
	if b.Tasks.Serve(queue) {
		b.work.Go(func() { b.run(d) })
	} else {
		b.queues[queue] = append(waiting, d)
	}
	if take(&b.faults.confirms) {
		return b.unanswered()
	}
	return nil
}

var errCut = errors.New("the connection was lost before the broker answered")

// unanswered loses the connection for jobs; under the lock.
func (b *Broker) unanswered() error {
	b.connects++
	return fmt.Errorf("%w: %w", fault.ErrUnknown, errCut)
}

// take counts down; it tells whether there was anything left.
func take(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return *n < 0
}

// run runs a job when it is due and settles it as a worker does: stored, then answered. A job that was
// published before is looked up first.
func (b *Broker) run(d *delivery) {
	if !b.due(d) {
		return
	}
	mode, _ := d.Headers[wire.HeaderResultMode].(string)
	stores := mode == wire.ResultStored || mode == wire.ResultReplyAndStored
	key := wire.Fill(wire.ResultKey, "namespace", d.namespace, "job_id", d.Job.ID)
	var body []byte
	if _, again := d.Headers[wire.HeaderRepeat]; again && stores {
		body, _ = b.Store.Get(b.ctx, key)
	}
	if body == nil {
		var err error
		result := b.Tasks.Run(b.ctx, d.Job, d.arrived, maxResult(d.Headers), b.outlet(d))
		if body, err = wire.EncodeResult(result, wire.HardMaxBlobBytes); err != nil {
			return // only details that cannot travel, which penstocktest does not let pass
		}
	}
	if b.ctx.Err() != nil {
		return
	}
	if stores {
		channel := wire.Fill(wire.ResultChannel, "namespace", d.namespace, "reply_to", d.replyTo)
		b.Store.Keep(key, body, channel, d.Job.ID)
		body, _ = b.Store.Get(b.ctx, key) // the first one, if there were two
	}
	if mode == wire.ResultReply || mode == wire.ResultReplyAndStored {
		b.reply(d, body)
	}
}

// due waits until the job may start; it returns false when the broker is closed.
func (b *Broker) due(d *delivery) bool {
	at, _ := d.Headers[wire.HeaderNotBefore].(int64)
	timer := time.NewTimer(time.Until(time.UnixMilli(at)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return b.ctx.Err() == nil
	case <-b.ctx.Done():
		return false
	}
}

// maxResult is how long a result may be: what the requester says, or else what fits into a message.
func maxResult(headers map[string]any) int {
	if n, ok := headers[wire.HeaderMaxResult].(int64); ok {
		return int(min(n, wire.HardMaxBlobBytes))
	}
	return wire.MaxBodyBytes
}

// reply brings a result to a client, unless it gets lost.
func (b *Broker) reply(d *delivery, body []byte) {
	reply := replies.Reply{Body: body}
	if len(body) > wire.MaxBodyBytes {
		blob := wire.BlobOf(body)
		b.Store.Put(b.ctx, blob.Key(d.namespace, d.Job.ID), body, 0)
		reply = replies.Reply{Blob: &blob}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sources[d.replyTo]
	if s == nil {
		return
	}
	if take(&b.faults.replies) {
		b.connects++
		s.reconnect()
		return
	}
	s.router.Deliver(d.Job.ID, reply)
}
