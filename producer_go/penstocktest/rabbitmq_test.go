package penstocktest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/double"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

func TestRabbitMQConforms(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T) bench { return openReal(t) })
}

// real is the suite's bench on RabbitMQ and Redis, with a forwarder that loses what is to be lost.
type real struct {
	*brokertest.Broker
	t         *testing.T
	ctx       context.Context
	forwarder *brokertest.Forwarder
	direct    string // URL
	store     *redisresults.Store
	put       brokertest.Keep
	items     *brokertest.Items
	first     *penstock.Client

	mu       sync.Mutex
	seen     []int64 // x-repeat of the jobs that the worker has got
	answered int
}

func openReal(t *testing.T) *real {
	r := &real{Broker: brokertest.New(t), t: t}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	r.ctx = ctx
	address, put := r.Redis()
	store, err := redisresults.New(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	r.store, r.put, r.items, r.direct = store, put, r.Items(), r.URL
	var forwarded string
	r.forwarder, forwarded = brokertest.Forward(t, r.direct)
	r.first = r.open(forwarded)
	return r
}

func (r *real) open(url string) *penstock.Client {
	client, err := penstock.Open(r.ctx, penstock.Options{URL: url, Namespace: r.Namespace, Results: r.store})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		client.Close(ctx)
	})
	return client
}

func (r *real) client() *penstock.Client { return r.first }
func (r *real) other() *penstock.Client  { return r.open(r.direct) }
func (r *real) queue(name string)        { r.Queue(name, nil) }

func (r *real) full(name string) {
	r.Queue(name, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	for range 50 { // a quorum queue takes a few more than it should
		if _, err := r.first.Enqueue(r.ctx, penstock.Job{Task: name + ".f", Result: penstock.NoResult}); err != nil {
			return
		}
	}
	r.t.Fatalf("the queue %s does not fill", name)
}

// tasks is a small worker: it looks a repetition up, and else runs it.
func (r *real) tasks(tasks *double.Tasks) {
	r.Commands(func(d amqp.Delivery) {
		if id, ok := d.Headers[wire.HeaderJob].(string); ok && d.Type == wire.TypeCancel && d.UserId != "" {
			tasks.Cancel(id)
		}
		if credit, ok := wire.CreditOf(d.Headers); ok && d.Type == wire.TypeCredit && d.UserId != "" {
			tasks.Credit(credit)
		}
	})
	r.Serve(r.Queue("q", nil), r.put, func(job *wire.Job, d amqp.Delivery) []byte {
		repeat, again := d.Headers[wire.HeaderRepeat].(int64)
		r.mu.Lock()
		r.seen = append(r.seen, repeat)
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.answered++
		}()
		if again {
			key := wire.Fill(wire.ResultKey, "namespace", r.Namespace, "job_id", job.ID)
			if body, err := r.store.Get(r.ctx, key); err == nil && body != nil {
				return body
			}
		}
		body, err := wire.EncodeResult(tasks.Run(r.ctx, job, time.Now(), wire.MaxBlobBytes, r.outlet(d)), wire.HardMaxBlobBytes)
		if err != nil {
			r.t.Error(err)
		}
		return body
	})
}

// outlet sends items to where the job wants them.
func (r *real) outlet(d amqp.Delivery) double.Outlet {
	switch d.Headers[wire.HeaderResultMode] {
	case wire.ResultReply:
		return sent{r.Broker, d}
	case wire.ResultStored, wire.ResultReplyAndStored:
		return kept{r.items, d}
	}
	return double.Nowhere{}
}

type sent struct {
	broker *brokertest.Broker
	d      amqp.Delivery
}

func (sent) Windowed() bool                              { return true }
func (s sent) Item(place wire.Place, body []byte)        { s.broker.SendItem(s.d, place, body) }
func (s sent) Progress(worker string, f int64, b []byte) { s.broker.SendProgress(s.d, worker, f, b) }

type kept struct {
	items *brokertest.Items
	d     amqp.Delivery
}

func (kept) Windowed() bool { return false }
func (k kept) Item(place wire.Place, body []byte) {
	k.items.Store(k.d.ReplyTo, k.d.MessageId, place, body)
}
func (k kept) Progress(_ string, fence int64, body []byte) {
	k.items.Report(k.d.ReplyTo, k.d.MessageId, fence, body)
}

func (r *real) repeats() []int64 {
	r.until("both copies have arrived", func() bool { return len(r.seen) >= 2 })
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// until waits for a condition, which is asked under the lock.
func (r *real) until(what string, condition func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		r.mu.Lock()
		done := condition()
		r.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// stalled runs enqueue with the broker's answers held back, and calls cut once the worker has got the job.
func (r *real) stalled(enqueue, cut func()) {
	r.forwarder.Stall(brokertest.ToClient, true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		enqueue()
	}()
	r.until("the job has arrived", func() bool { return len(r.seen) == 1 })
	cut()
	<-done
}

func (r *real) loseConfirm(enqueue func()) {
	r.stalled(enqueue, func() {
		r.forwarder.Cut()
		r.forwarder.Stall(brokertest.ToClient, false)
	})
}

func (r *real) loseConfirms(enqueue, cancel func()) {
	// The first job that wants a reply makes the connection for it, which must not be held back.
	if _, err := r.first.Enqueue(r.ctx, penstock.Job{Task: "nobody.f"}); err == nil {
		r.t.Fatal("somebody has the task nobody.f")
	}
	r.stalled(enqueue, func() {
		r.forwarder.Refuse(true)
		r.forwarder.Cut()
		cancel()
	})
}

func (r *real) loseReply(answer func()) {
	r.until("the job has arrived", func() bool { return len(r.seen) == 1 })
	r.forwarder.Refuse(true)
	r.forwarder.Cut()
	r.until("the reply queue is gone", func() bool { return r.ReplyQueues() == 0 })
	answer()
	r.until("the job is answered", func() bool { return r.answered == 1 })
	r.forwarder.Refuse(false)
}
