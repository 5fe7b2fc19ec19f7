package confirm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// lane has a channel in confirm mode, opened when it is needed.
type lane struct {
	exchange string
	window   int

	mu      sync.Mutex
	current *opening // nil before the first use
}

// opening is a channel, or the attempt to open one.
type opening struct {
	link    *amqpconn.Link
	done    chan struct{} // closed by run when the two below are set
	channel *channel
	err     error
}

// open returns the lane's channel on this connection, and opens one when there is none or it was closed.
func (l *lane) open(ctx context.Context, link *amqpconn.Link) (*channel, error) {
	o := l.opening(link)
	select {
	case <-o.done:
		return o.channel, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: RabbitMQ has not opened a channel: %w", fault.ErrUnavailable, ctx.Err())
	}
}

func (l *lane) opening(link *amqpconn.Link) *opening {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || l.current.link != link || l.current.useless() {
		l.current = &opening{link: link, done: make(chan struct{})}
		// Apart from its callers, whose contexts may end; it ends with the connection at the latest.
		go l.current.run(l.exchange, l.window)
	}
	return l.current
}

func (o *opening) run(exchange string, window int) {
	defer close(o.done)
	o.channel, o.err = openChannel(o.link, exchange, window)
}

func (o *opening) useless() bool {
	select {
	case <-o.done:
		return o.err != nil || o.channel.IsClosed()
	default:
		return false
	}
}

// channel is one AMQP channel from its opening to its end.
type channel struct {
	*amqp.Channel
	link     *amqpconn.Link
	exchange string
	closed   <-chan *amqp.Error

	mu       sync.Mutex
	returns  <-chan amqp.Return
	returned map[string]int // by message id: returned, and not yet asked for
	reason   *amqp.Error    // why the broker closed the channel, once it has
}

// openChannel opens a channel in confirm mode and makes sure that the exchange is there, so that a missing
// one is known before anything is published to it.
func openChannel(link *amqpconn.Link, exchange string, window int) (*channel, error) {
	ch, err := link.Conn.Channel()
	if err != nil {
		return nil, notOpened(exchange, err)
	}
	c := &channel{
		Channel: ch, link: link, exchange: exchange,
		closed: ch.NotifyClose(make(chan *amqp.Error, 1)),
		// As long as the window, so the library's reader never has to wait for us to take a return.
		returns:  ch.NotifyReturn(make(chan amqp.Return, window)),
		returned: make(map[string]int),
	}
	if err := ch.Confirm(false); err != nil {
		return nil, notOpened(exchange, err)
	}
	if err := ch.ExchangeDeclarePassive(exchange, "topic", true, false, false, false, nil); err != nil {
		return nil, notOpened(exchange, err)
	}
	return c, nil
}

func notOpened(exchange string, err error) error {
	var said *amqp.Error
	if errors.As(err, &said) && said.Server {
		switch said.Code {
		case amqp.NotFound:
			return fmt.Errorf("%w: the exchange %s does not exist; run: penstock topology apply", fault.ErrTopology, exchange)
		case amqp.AccessRefused:
			return fmt.Errorf("%w: %w", fault.ErrDenied, err)
		}
	}
	return fmt.Errorf("%w: %w: %w", fault.ErrUnavailable, errNoChannel, err)
}

// errNoChannel is a connection that was lost before it had a channel, or whose channel was closed: nothing was sent.
var errNoChannel = errors.New("no channel")

// errNotSent is a channel that was closed before something was published on it.
var errNotSent = fmt.Errorf("%w: %w: it was closed", fault.ErrUnavailable, errNoChannel)

// publish sends a message and awaits its outcome; leave is called once, when the outcome is known.
func (c *channel) publish(ctx context.Context, m Message, leave func()) error {
	if c.link.Conn.IsClosed() { // its channels follow one by one
		leave()
		return errNotSent
	}
	confirm, err := c.PublishWithDeferredConfirm(c.exchange, m.Key, true, false, m.Publishing)
	if err != nil {
		leave()
		if errors.Is(err, amqp.ErrClosed) && !c.link.Conn.IsClosed() {
			// While the connection is open only the channel can be closed, which is looked at before anything is written.
			return errNotSent
		}
		return unknown(err)
	}
	select {
	case <-confirm.Done():
		defer leave()
		return c.outcome(m, confirm.Acked())
	case <-ctx.Done():
		select {
		case <-confirm.Done(): // both at once: it is known after all
			defer leave()
			return c.outcome(m, confirm.Acked())
		default:
		}
		// The place in the window stays taken until the broker has answered or the channel has ended, so
		// callers without patience cannot pile up messages.
		go func() {
			<-confirm.Done()
			c.wasReturned(m.MessageId)
			leave()
		}()
		return unknown(fmt.Errorf("the broker has not answered: %w", ctx.Err()))
	}
}

// outcome is asked when the library has settled a confirm. The library says "not acked" for a nack and for
// a channel that has ended alike, but by then the latter is marked as closed.
func (c *channel) outcome(m Message, acked bool) error {
	switch {
	case acked && c.wasReturned(m.MessageId):
		return fmt.Errorf("%w %q", fault.ErrUnroutable, m.Key)
	case acked:
		return nil
	case !c.IsClosed():
		return fault.ErrRefused
	}
	return c.blame(m)
}

// wasReturned tells whether the message came back. The broker returns a message before it acks it, and the
// library delivers both in this order, so once the ack is known the return is in the channel at the latest.
func (c *channel) wasReturned(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		select {
		case r, open := <-c.returns:
			if open {
				c.returned[r.MessageId]++
				continue
			}
		default:
		}
		break
	}
	if c.returned[id] == 0 {
		return false
	}
	if c.returned[id]--; c.returned[id] == 0 {
		delete(c.returned, id)
	}
	return true
}

// blame finds out whether this message is why the channel was closed. The broker closes a channel at the
// first message that it does not permit; the outcome of the others is unknown.
func (c *channel) blame(m Message) error {
	reason := c.whyClosed()
	if reason == nil || !reason.Server {
		return unknown(fmt.Errorf("the connection was lost before the broker answered"))
	}
	topic := fmt.Sprintf("topic '%s'", m.Key)
	switch text := reason.Reason; {
	case reason.Code == amqp.AccessRefused && (strings.Contains(text, topic) || !strings.Contains(text, "topic '")):
		return fmt.Errorf("%w: %w", fault.ErrDenied, reason)
	case reason.Code == amqp.PreconditionFailed && strings.Contains(text, "user_id"):
		return fmt.Errorf("%w: %w", fault.ErrDenied, reason)
	case reason.Code == amqp.PreconditionFailed && strings.Contains(text, fmt.Sprintf("size %d ", len(m.Body))):
		return fmt.Errorf("%w: %w", fault.ErrTooLarge, reason)
	}
	return unknown(reason)
}

func (c *channel) whyClosed() *amqp.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case err := <-c.closed:
		if err != nil {
			c.reason = err
		}
	default:
	}
	return c.reason
}

func unknown(cause error) error { return fmt.Errorf("%w: %w", fault.ErrUnknown, cause) }
