package double

import (
	"context"
	"fmt"
	"sync"

	"github.com/penstock-mq/penstock/producer_go/internal/backend"
	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

var _ backend.Backend = (*Broker)(nil)

// Jobs returns what carries the jobs of one client.
func (b *Broker) Jobs(namespace string) confirm.Transport {
	return &transport{broker: b, namespace: namespace, closed: make(chan struct{})}
}

type transport struct {
	broker    *Broker
	namespace string
	closed    chan struct{}
	once      sync.Once
}

func (t *transport) Start(ctx context.Context) error { return t.broker.reachable(ctx, t.closed) }

func (t *transport) Connects() int { return t.broker.Connects() }

func (t *transport) Close(context.Context) error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

func (t *transport) Send(ctx context.Context, _ bool, prepare func(context.Context) (confirm.Message, error)) error {
	if err := t.broker.reachable(ctx, t.closed); err != nil {
		return err
	}
	m, err := prepare(ctx)
	if err != nil {
		return err
	}
	if m.Type == wire.TypeCancel {
		id, _ := m.Headers[wire.HeaderJob].(string)
		return t.broker.command(id)
	}
	if m.Type == wire.TypeCredit {
		if credit, ok := wire.CreditOf(m.Headers); ok {
			t.broker.Tasks.Credit(credit)
		}
		return nil
	}
	return t.broker.publish(t.namespace, m)
}

// Replies returns where the replies of one client come from.
func (b *Broker) Replies(router *replies.Router) replies.Source {
	return &source{broker: b, router: router, closed: make(chan struct{})}
}

type source struct {
	broker *Broker
	router *replies.Router
	closed chan struct{}
	once   sync.Once
	down   func() // nil before the first Ready; under the broker's lock
}

// Ready waits for the broker, and connects.
func (s *source) Ready(ctx context.Context, _ bool) error {
	if err := s.broker.reachable(ctx, s.closed); err != nil {
		return err
	}
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	if s.down == nil {
		s.broker.sources[s.router.Address()] = s
		s.down = s.router.Up()
	}
	return nil
}

// reconnect loses the connection and makes the next; under the broker's lock.
func (s *source) reconnect() {
	if s.down != nil {
		s.down()
		s.down = s.router.Up()
	}
}

func (s *source) Connects() int { return 0 } // the transport counts for both

func (s *source) Close(context.Context) error {
	s.once.Do(func() { close(s.closed) })
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	delete(s.broker.sources, s.router.Address())
	return nil
}

// reachable waits until the broker can be reached.
func (b *Broker) reachable(ctx context.Context, closed <-chan struct{}) error {
	b.mu.Lock()
	up := b.up
	b.mu.Unlock()
	select {
	case <-closed:
		return fault.ErrClosed
	default:
	}
	select {
	case <-up:
	case <-closed:
		return fault.ErrClosed
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w; gave up waiting: %w", fault.ErrUnavailable, err)
	}
	return nil
}
