// Package brokertest gives tests a namespace of their own on a real broker, a small worker, and a forwarder
// that breaks connections.
package brokertest

import (
	"fmt"
	"os"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Env returns the value of an environment variable. Without it the test is skipped, and fails where
// PENSTOCK_CI is 1.
func Env(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" && os.Getenv("PENSTOCK_CI") == "1" {
		t.Fatalf("%s is not set; run through ops/dev/servers.py", name)
	} else if value == "" {
		t.Skipf("%s is not set; run through ops/dev/servers.py", name)
	}
	return value
}

// Broker is a fresh namespace on a real broker.
type Broker struct {
	URL       string
	Namespace string
	Conn      *amqp.Connection
	t         testing.TB
	ch        *amqp.Channel
}

// New declares the exchanges that producers need, in a namespace that is removed when the test ends.
func New(t testing.TB) *Broker {
	t.Helper()
	return At(t, Env(t, "PENSTOCK_AMQP_URL"))
}

// At is New on the broker of an URL.
func At(t testing.TB, url string) *Broker {
	t.Helper()
	b := &Broker{URL: url, Namespace: "test-" + wire.NewInstance(), t: t}
	b.Connect()
	t.Cleanup(func() { b.Conn.Close() })
	for name, kind := range map[string]string{
		wire.ExchangeJobs: "topic", wire.ExchangeReplies: "topic", wire.ExchangeControl: "fanout",
	} {
		b.must(b.ch.ExchangeDeclare(b.Name(name), kind, true, false, false, false, nil))
		t.Cleanup(func() { b.ch.ExchangeDelete(b.Name(name), false, false) })
	}
	return b
}

// Connect connects the test itself, again after the broker has gone away.
func (b *Broker) Connect() {
	b.t.Helper()
	var err error
	b.Conn, err = amqp.Dial(b.URL)
	b.must(err)
	b.ch, err = b.Conn.Channel()
	b.must(err)
}

// Name returns a name in the namespace.
func (b *Broker) Name(name string) string { return b.Namespace + "." + name }

// DropExchange removes an exchange before the test ends.
func (b *Broker) DropExchange(name string) {
	b.t.Helper()
	b.must(b.ch.ExchangeDelete(b.Name(name), false, false))
}

// Queue declares a work queue with these arguments besides its type.
func (b *Broker) Queue(name string, arguments amqp.Table) string {
	b.t.Helper()
	all := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	for key, value := range arguments {
		all[key] = value
	}
	queue := b.Name("q." + name)
	_, err := b.ch.QueueDeclare(queue, true, false, false, false, all)
	b.must(err)
	b.t.Cleanup(func() { b.ch.QueueDelete(queue, false, false, false) })
	b.must(b.ch.QueueBind(queue, name+".#", b.Name(wire.ExchangeJobs), false, nil))
	return queue
}

// Commands calls heard with every command to workers, as each of them hears it, until the test ends.
func (b *Broker) Commands(heard func(amqp.Delivery)) {
	b.t.Helper()
	conn, err := amqp.Dial(b.URL)
	b.must(err)
	ch, err := conn.Channel()
	b.must(err)
	queue := b.Name(wire.Fill(wire.QueueControl, "user", "tester", "instance", wire.NewInstance()))
	_, err = ch.QueueDeclare(queue, false, false, true, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeClassic})
	b.must(err)
	b.must(ch.QueueBind(queue, "", b.Name(wire.ExchangeControl), false, nil))
	deliveries, err := ch.Consume(queue, "", true, true, false, false, nil)
	b.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d := range deliveries {
			heard(d)
		}
	}()
	b.t.Cleanup(func() {
		conn.Close()
		<-done
	})
}

// Messages returns how many messages wait in a queue.
func (b *Broker) Messages(queue string) int {
	b.t.Helper()
	q, err := b.ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	b.must(err)
	return q.Messages
}

// Get takes one message from a queue and acks it.
func (b *Broker) Get(queue string) amqp.Delivery {
	b.t.Helper()
	d, ok, err := b.ch.Get(queue, true)
	b.must(err)
	if !ok {
		b.t.Fatalf("the queue %s is empty", queue)
	}
	return d
}

// Drain takes all messages from a queue and returns their IDs.
func (b *Broker) Drain(queue string) (ids []string) {
	b.t.Helper()
	for {
		d, ok, err := b.ch.Get(queue, true)
		b.must(err)
		if !ok {
			return ids
		}
		ids = append(ids, d.MessageId)
	}
}

// Publish sends a message as a worker might.
func (b *Broker) Publish(exchange, key string, p amqp.Publishing) {
	b.t.Helper()
	b.must(b.ch.Publish(b.Name(exchange), key, false, false, p))
}

func (b *Broker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(fmt.Errorf("brokertest: %w", err))
	}
}
