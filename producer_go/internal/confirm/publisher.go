// Package confirm publishes messages and knows what became of each: accepted, returned, refused or unknown.
package confirm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// Message is one publication. Its message_id is the key under which a return is recognised.
type Message struct {
	Exchange string // "": the transport's own
	Key      string
	amqp.Publishing
}

// ErrAccepted is for prepare to return.
var ErrAccepted = errors.New("accepted already")

// Transport carries single publications to a broker.
type Transport interface {
	// Start connects and returns the failure of the first attempt.
	Start(ctx context.Context) error

	// Send publishes once what prepare returns, and awaits the outcome; its errors are those of
	// [Publisher.Publish]. It waits for a connection first, with insist even where that looks hopeless.
	Send(ctx context.Context, insist bool, prepare func(context.Context) (Message, error)) error

	// Connects returns how many connections there have been.
	Connects() int

	// Close waits until the outcome of every message is known, or ctx ends, and ends the connection. What
	// is still to be sent is not.
	Close(ctx context.Context) error
}

// Publisher publishes until the outcome is known. It is safe for concurrent use.
type Publisher struct {
	Transport
	closing chan struct{} // closed by Close
	once    sync.Once
}

// New returns a publisher that has to be started before use.
func New(transport Transport) *Publisher {
	return &Publisher{Transport: transport, closing: make(chan struct{})}
}

// Close ends every Publish that waits to try again, and the transport.
func (p *Publisher) Close(ctx context.Context) error {
	p.once.Do(func() { close(p.closing) })
	return p.Transport.Close(ctx)
}

// Publish returns nil when the broker has accepted the message, and otherwise an error that is one of
//
//   - fault.ErrUnroutable, ErrRefused, ErrTooLarge, ErrDenied, ErrTopology: not accepted
//   - fault.ErrUnavailable, ErrClosed: not sent
//   - fault.ErrUnknown, perhaps beside one of the others: it may have been accepted
//
// A publication whose outcome is unknown is repeated until it is accepted or ctx ends, even while there is
// no connection to be had or the queue is full; only an error that no waiting heals ends it sooner. Prepare makes the message and is told how many publications went before; it
// returns ErrAccepted when it has learned otherwise that one of them was accepted.
func (p *Publisher) Publish(ctx context.Context, prepare func(ctx context.Context, repeats int) (Message, error)) error {
	var unknown error // why the outcome of an earlier publication is not known
	repeats := 0
	for failures := 0; ; failures++ {
		err := p.Send(ctx, repeats > 0, func(ctx context.Context) (Message, error) { return prepare(ctx, repeats) })
		switch {
		case err == nil, errors.Is(err, ErrAccepted):
			return nil
		case errors.Is(err, fault.ErrUnknown):
			unknown = err
			repeats++
		case errors.Is(err, fault.ErrRefused) && unknown != nil: // a queue that is full, or has no leader yet, will not stay so
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
