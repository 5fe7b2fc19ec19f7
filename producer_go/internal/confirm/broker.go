package confirm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// laneCount is the number of channels. The broker gives each its own process and credit, and a channel that
// it closes for one message takes along only what is outstanding on it.
const laneCount = 4

// broker is the transport to one exchange of a RabbitMQ, over a connection of its own.
type broker struct {
	supervisor *amqpconn.Supervisor
	lanes      [laneCount]lane
	turn       atomic.Uint32

	mu     sync.Mutex
	others map[string]*lane // by exchange: those of messages that name one. What the broker has against such a message does not end the channels of the others

	window  window        // a place for each message whose outcome is not known
	closing chan struct{} // closed by Close
	once    sync.Once
}

// Broker returns the transport to an exchange, with at most so many messages outstanding.
func Broker(config amqpconn.Config, exchange string, outstanding int) Transport {
	b := &broker{window: window{capacity: outstanding}, closing: make(chan struct{})}
	for i := range b.lanes {
		b.lanes[i].exchange, b.lanes[i].window = exchange, outstanding
	}
	b.supervisor = amqpconn.New(config, b.setup)
	return b
}

// setup opens all lanes at once, so that a missing exchange is known before there is anything to publish.
func (b *broker) setup(ctx context.Context, link *amqpconn.Link) error {
	for i := range b.lanes {
		b.lanes[i].opening(link)
	}
	for i := range b.lanes {
		if _, err := b.lanes[i].open(ctx, link); err != nil {
			return err
		}
	}
	return nil
}

func (b *broker) Start(ctx context.Context) error {
	b.supervisor.Start()
	_, err := b.supervisor.First(ctx)
	return err
}

func (b *broker) Connects() int { return b.supervisor.Connects() }

func (b *broker) Close(ctx context.Context) error {
	b.once.Do(func() { close(b.closing) })
	drained := b.drain(ctx)
	if err := b.supervisor.Close(ctx); drained == nil {
		return err
	}
	return drained
}

// drain takes the whole window, which succeeds when nobody else has a place in it.
func (b *broker) drain(ctx context.Context) error {
	if err := b.window.take(ctx, b.window.capacity, maxBytes); err != nil {
		return fmt.Errorf("%w: the broker has not answered for %d jobs: %w", fault.ErrUnknown, b.window.taken(), err)
	}
	b.window.leave(b.window.capacity, maxBytes)
	return nil
}

func (b *broker) Send(ctx context.Context, insist bool, prepare func(context.Context) (Message, error)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	link, err := b.supervisor.Link(ctx, insist)
	if err != nil {
		return err
	}
	if err := link.Ready(ctx); err != nil {
		return err
	}
	message, err := prepare(ctx)
	if err != nil {
		return err
	}
	if err := b.enter(ctx, len(message.Body)); err != nil {
		return err
	}
	leave := func() { b.window.leave(1, len(message.Body)) }
	ch, err := b.lane(message.Exchange).open(ctx, link)
	if err != nil {
		leave()
		return err
	}
	return ch.publish(ctx, message, leave)
}

// lane returns one to an exchange; "" is the transport's own.
func (b *broker) lane(exchange string) *lane {
	if exchange == "" {
		return &b.lanes[b.turn.Add(1)%laneCount]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.others == nil {
		b.others = make(map[string]*lane)
	}
	l := b.others[exchange]
	if l == nil {
		l = &lane{exchange: exchange, window: b.window.capacity}
		b.others[exchange] = l
	}
	return l
}

// enter takes a place in the window.
func (b *broker) enter(ctx context.Context, bytes int) error {
	if err := b.window.take(ctx, 1, bytes); err != nil {
		return fmt.Errorf("%w: %d jobs await the broker's answer: %w", fault.ErrUnavailable, b.window.taken(), err)
	}
	select {
	case <-b.closing:
		b.window.leave(1, bytes)
		return fault.ErrClosed
	default:
		return nil
	}
}
