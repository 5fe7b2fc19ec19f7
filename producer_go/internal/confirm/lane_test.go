package confirm

import (
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// The texts are those of RabbitMQ 3.10 and 4.3.
func TestTheMessageThatClosedAChannelIsFound(t *testing.T) {
	t.Parallel()
	const topic = "ACCESS_REFUSED - write access to topic 'q.f' in exchange 'penstock.jobs' in vhost '/' refused for user 'app'"
	const whole = "ACCESS_REFUSED - write access to exchange 'penstock.jobs' in vhost '/' refused for user 'app'"
	const user = "PRECONDITION_FAILED - user_id property set to 'x' but authenticated user was 'y'"
	const size = "PRECONDITION_FAILED - message size 5 is larger than configured max size 4"
	for _, c := range []struct {
		code int
		text string
		key  string
		want error
	}{
		{amqp.AccessRefused, topic, "q.f", fault.ErrDenied},
		{amqp.AccessRefused, topic, "q.g", fault.ErrUnknown},
		{amqp.AccessRefused, topic, "q.f2", fault.ErrUnknown},
		{amqp.AccessRefused, whole, "q.g", fault.ErrDenied},
		{amqp.PreconditionFailed, user, "q.g", fault.ErrDenied},
		{amqp.PreconditionFailed, size, "q.5", fault.ErrTooLarge},
		{amqp.PreconditionFailed, size, "q.long", fault.ErrUnknown},
		{amqp.NotFound, "NOT_FOUND - no exchange 'penstock.jobs' in vhost '/'", "q.f", fault.ErrUnknown},
		{amqp.InternalError, "INTERNAL_ERROR", "q.f", fault.ErrUnknown},
	} {
		closed := make(chan *amqp.Error, 1)
		closed <- &amqp.Error{Code: c.code, Reason: c.text, Server: true}
		ch := &channel{closed: closed}
		message := Message{Key: c.key, Publishing: amqp.Publishing{Body: make([]byte, 5)}}
		if c.key == "q.long" {
			message.Body = make([]byte, 55)
		}
		for range 2 { // the reason is remembered
			if err := ch.blame(message); !errors.Is(err, c.want) {
				t.Errorf("%s for %s: got %v, not %v", c.text, c.key, err, c.want)
			}
		}
	}
	if err := (&channel{closed: make(chan *amqp.Error)}).blame(Message{}); !errors.Is(err, fault.ErrUnknown) {
		t.Errorf("without a reason: got %v", err)
	}
}

func TestWhatIsPublishedOnWhatWasClosedWasNotSent(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	for what, end := range map[string]func(*channel) error{
		"channel":    func(c *channel) error { return c.Close() },
		"connection": func(c *channel) error { return c.link.Conn.Close() },
	} {
		conn, err := amqp.Dial(b.URL)
		if err != nil {
			t.Fatal(err)
		}
		c, err := openChannel(&amqpconn.Link{Conn: conn}, b.Name(wire.ExchangeJobs), 1)
		if err == nil {
			err = end(c)
		}
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		err = c.publish(t.Context(), Message{Key: "q.f"}, func() { left++ })
		if !errors.Is(err, errNoChannel) || errors.Is(err, fault.ErrUnknown) || left != 1 {
			t.Errorf("a %s that was closed: got %v, left %d times", what, err, left)
		}
		conn.Close()
	}
}

func TestAReturnCountsForOneMessage(t *testing.T) {
	t.Parallel()
	returns := make(chan amqp.Return, 4)
	c := &channel{returns: returns, returned: map[string]int{}}
	for _, id := range []string{"a", "b", "a"} {
		returns <- amqp.Return{MessageId: id}
	}
	var got []bool
	for _, id := range []string{"a", "c", "a", "a", "b"} {
		got = append(got, c.wasReturned(id))
	}
	if want := [5]bool{true, false, true, false, true}; [5]bool(got) != want || len(c.returned) != 0 {
		t.Errorf("got %v, not %v; left over: %v", got, want, c.returned)
	}
	close(returns) // as the library does at the end of a channel
	if c.wasReturned("a") {
		t.Error("a closed channel returns nothing")
	}
}
