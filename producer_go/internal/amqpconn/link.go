package amqpconn

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// Link is one connection, from its handshake to its end. What is bound to a connection - channels,
// outstanding confirms, exclusive queues - is bound to a Link and ends with it.
type Link struct {
	Conn   *amqp.Connection
	socket *socket
	done   chan struct{} // closed by watch when the connection has ended
	err    error         // why it ended; to be read after done
	block  atomic.Pointer[blockage]
}

// blockage is a time during which the broker takes no messages, because of a memory or disk alarm.
type blockage struct {
	reason string
	over   chan struct{} // closed by watch
}

func newLink(conn *amqp.Connection, s *socket) *Link {
	l := &Link{Conn: conn, socket: s, done: make(chan struct{})}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	go l.watch(closed, blocked)
	return l
}

// watch turns the library's notifications into state until the connection ends; the library closes both
// channels then.
func (l *Link) watch(closed <-chan *amqp.Error, blocked <-chan amqp.Blocking) {
	defer close(l.done)
	for {
		select {
		case b, open := <-blocked:
			if !open {
				blocked = nil
			} else {
				l.setBlocked(b)
			}
		case err := <-closed:
			if err != nil {
				l.err = err
			}
			l.setBlocked(amqp.Blocking{})
			return
		}
	}
}

func (l *Link) setBlocked(b amqp.Blocking) {
	var now *blockage
	if b.Active {
		now = &blockage{reason: b.Reason, over: make(chan struct{})}
	}
	if before := l.block.Swap(now); before != nil {
		close(before.over)
	}
}

// Ready waits while the broker takes no messages.
func (l *Link) Ready(ctx context.Context) error {
	for {
		b := l.block.Load()
		if b == nil {
			return nil
		}
		select {
		case <-b.over:
		case <-ctx.Done():
			return fmt.Errorf("%w: RabbitMQ takes no messages at present (%s): %w", fault.ErrUnavailable, b.reason, ctx.Err())
		}
	}
}

// Done is closed when the connection has ended.
func (l *Link) Done() <-chan struct{} { return l.done }

// lost says why the connection ended.
func (l *Link) lost() error {
	if l.err == nil {
		return fmt.Errorf("%w: the connection to RabbitMQ was closed", fault.ErrUnavailable)
	}
	return fmt.Errorf("%w: the connection to RabbitMQ was lost: %w", fault.ErrUnavailable, l.err)
}

// Drop ends the connection without farewell; its supervisor makes a new one.
func (l *Link) Drop() { l.socket.Close() }

// close ends the connection in good order if that is possible before deadline.
func (l *Link) close(deadline time.Time) {
	late := time.AfterFunc(time.Until(deadline), l.Drop)
	l.Conn.CloseDeadline(deadline)
	late.Stop()
	l.Drop()
	<-l.done
	<-l.socket.done
}
