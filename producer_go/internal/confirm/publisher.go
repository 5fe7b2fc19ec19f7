// Package confirm publishes messages and knows what became of each: accepted, returned, refused or unknown.
package confirm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// laneCount is the number of channels. The broker gives each its own process and credit, and a channel that
// it closes for one message takes along only what is outstanding on it.
const laneCount = 4

// Publisher publishes to one exchange, over its own connection. It is safe for concurrent use.
type Publisher struct {
	supervisor *amqpconn.Supervisor
	lanes      [laneCount]lane
	turn       atomic.Uint32

	window  window        // a place for each message whose outcome is not known
	closing chan struct{} // closed by Close
	once    sync.Once
}

// New returns a publisher with at most so many messages outstanding; Start it before use.
func New(config amqpconn.Config, exchange string, outstanding int) *Publisher {
	p := &Publisher{window: window{capacity: outstanding}, closing: make(chan struct{})}
	for i := range p.lanes {
		p.lanes[i].exchange, p.lanes[i].window = exchange, outstanding
	}
	p.supervisor = amqpconn.New(config, p.setup)
	return p
}

// setup opens all lanes at once, so that a missing exchange is known before there is anything to publish.
func (p *Publisher) setup(ctx context.Context, link *amqpconn.Link) error {
	for i := range p.lanes {
		p.lanes[i].opening(link)
	}
	for i := range p.lanes {
		if _, err := p.lanes[i].open(ctx, link); err != nil {
			return err
		}
	}
	return nil
}

// Start connects and returns the failure of the first attempt.
func (p *Publisher) Start(ctx context.Context) error {
	p.supervisor.Start()
	_, err := p.supervisor.First(ctx)
	return err
}

// Connects returns how many connections there have been.
func (p *Publisher) Connects() int { return p.supervisor.Connects() }

// Close waits until the outcome of every message is known, or ctx ends, and ends the connection. What is
// still to be published is not.
func (p *Publisher) Close(ctx context.Context) error {
	p.once.Do(func() { close(p.closing) })
	drained := p.drain(ctx)
	if err := p.supervisor.Close(ctx); drained == nil {
		return err
	}
	return drained
}

// drain takes the whole window, which succeeds when nobody else has a place in it.
func (p *Publisher) drain(ctx context.Context) error {
	if err := p.window.take(ctx, p.window.capacity, maxBytes); err != nil {
		return fmt.Errorf("%w: the broker has not answered for %d jobs: %w", fault.ErrUnknown, p.window.taken(), err)
	}
	p.window.leave(p.window.capacity, maxBytes)
	return nil
}

// ErrAccepted is for prepare to return.
var ErrAccepted = errors.New("accepted already")

// Message is one attempt's message. Its message_id is the key under which a return is recognised.
type Message struct {
	Key string
	amqp.Publishing
}

// Publish returns nil when the broker has accepted the message, and otherwise an error that is one of
//
//   - fault.ErrUnroutable, ErrRefused, ErrTooLarge, ErrDenied, ErrTopology: not accepted
//   - fault.ErrUnavailable, ErrClosed: not sent
//   - fault.ErrUnknown, perhaps beside one of the others: it may have been accepted
//
// An attempt whose outcome is unknown is repeated until ctx ends. Prepare makes the message of an attempt;
// it returns ErrAccepted when it has learned otherwise that an earlier one was accepted.
func (p *Publisher) Publish(ctx context.Context, prepare func(context.Context) (Message, error)) error {
	var unknown error // why the outcome of an earlier attempt is not known
	for failures := 0; ; failures++ {
		err := p.attempt(ctx, prepare)
		switch {
		case err == nil, errors.Is(err, ErrAccepted):
			return nil
		case errors.Is(err, fault.ErrUnknown):
			unknown = err
		case !errors.Is(err, errNoChannel):
			return orUnknown(err, unknown)
		}
		if stop := p.pause(ctx, failures); stop != nil {
			if !errors.Is(err, stop) {
				err = fmt.Errorf("%w: %w", err, stop)
			}
			return orUnknown(err, unknown)
		}
	}
}

// orUnknown keeps the last error from hiding that an earlier attempt may have succeeded.
func orUnknown(last, unknown error) error {
	if unknown == nil || errors.Is(last, fault.ErrUnknown) {
		return last
	}
	return fmt.Errorf("%w, and then: %w", unknown, last)
}

// pause waits before the next attempt, the first time not at all; it says why there should be none.
func (p *Publisher) pause(ctx context.Context, failures int) error {
	delay := time.Duration(0)
	if failures > 0 {
		delay = amqpconn.Delay(failures-1, rand.Float64())
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closing:
		return fault.ErrClosed
	case <-timer.C:
		return ctx.Err()
	}
}

// attempt publishes once and awaits the outcome.
func (p *Publisher) attempt(ctx context.Context, prepare func(context.Context) (Message, error)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	link, err := p.supervisor.Link(ctx)
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
	if err := p.enter(ctx, len(message.Body)); err != nil {
		return err
	}
	leave := func() { p.window.leave(1, len(message.Body)) }
	ch, err := p.lanes[p.turn.Add(1)%laneCount].open(ctx, link)
	if err != nil {
		leave()
		return err
	}
	return ch.publish(ctx, message, leave)
}

// enter takes a place in the window.
func (p *Publisher) enter(ctx context.Context, bytes int) error {
	if err := p.window.take(ctx, 1, bytes); err != nil {
		return fmt.Errorf("%w: %d jobs await the broker's answer: %w", fault.ErrUnavailable, p.window.taken(), err)
	}
	select {
	case <-p.closing:
		p.window.leave(1, bytes)
		return fault.ErrClosed
	default:
		return nil
	}
}
