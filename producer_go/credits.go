package penstock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// farewell is how long Close waits for what workers are still to be told: those that are not told wait for a reader.
const farewell = time.Second

// credits tell workers how many items their readers take, in the background: whoever reads does not wait for the broker.
// What is not told is told again, or by a later credit, so that nothing here tries for long.
type credits struct {
	publish  func(ctx context.Context, prepare func(context.Context, int) (confirm.Message, error)) error
	exchange string
	user     string

	ctx    context.Context // ended by close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	telling sync.WaitGroup     // one for each start in next
	next    map[start]*telling // an entry while something is being told of the start
}

// start is one start of a job.
type start struct {
	jobID string
	fence int64
}

// telling is what is to be told of a start after what is being told; only the newest counts.
type telling struct {
	credit *wire.Credit // nil: nothing
	failed func(error)
}

func newCredits(publisher *confirm.Publisher, options Options) *credits {
	c := &credits{
		publish: publisher.Publish, exchange: options.Namespace + "." + wire.ExchangeControl, user: options.User,
		next: make(map[start]*telling),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// refuse tells a worker that nobody reads its items.
func (c *credits) refuse(credit wire.Credit) { c.tell(credit, func(error) {}) }

// tell tells a credit. Failed is called when that can never succeed.
func (c *credits) tell(credit wire.Credit, failed func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	of := start{credit.JobID, credit.Fence}
	t := c.next[of]
	if t == nil {
		t = new(telling)
		c.next[of] = t
		c.telling.Go(func() { c.run(of) })
	}
	t.credit, t.failed = &credit, failed
}

// run tells what is to be told of a start until there is nothing more.
func (c *credits) run(of start) {
	for {
		credit, failed := c.take(of)
		if credit == nil {
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, wire.CreditAgainMs*time.Millisecond)
		err := c.publish(ctx, func(context.Context, int) (confirm.Message, error) { return c.message(*credit), nil })
		cancel()
		if errors.Is(err, ErrDenied) || errors.Is(err, ErrTopology) {
			const text = "items need write permission to the exchange %s, by which their worker is told to send more: %w"
			failed(fmt.Errorf(text, c.exchange, err))
		}
	}
}

func (c *credits) take(of start) (*wire.Credit, func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.next[of]
	credit := t.credit
	if t.credit = nil; credit == nil {
		delete(c.next, of)
	}
	return credit, t.failed
}

// message is the command. It has an ID of its own, for there may be others on the way that are about the same job.
func (c *credits) message(credit wire.Credit) confirm.Message {
	return confirm.Message{
		Exchange: c.exchange,
		Publishing: amqp.Publishing{
			Type:          wire.TypeCredit,
			MessageId:     wire.NewID(),
			CorrelationId: credit.JobID,
			DeliveryMode:  amqp.Transient,
			UserId:        c.user,
			Headers:       credit.Headers(),
		},
	}
}

// close waits for what is being told, but not for long.
func (c *credits) close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	told := make(chan struct{})
	go func() {
		defer close(told)
		c.telling.Wait()
	}()
	ctx, done := context.WithTimeout(ctx, farewell)
	defer done()
	select {
	case <-told:
	case <-ctx.Done():
	}
	c.cancel()
	<-told // soon, now that no context of theirs is alive
}
