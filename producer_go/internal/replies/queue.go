package replies

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/fault"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// queue is the source of replies from RabbitMQ: an exclusive queue, made anew with every connection.
type queue struct {
	router     *Router
	supervisor *amqpconn.Supervisor
	exchange   string
	name       string // template
	user       string
}

// Queue returns the source of the replies to a user in a namespace. It connects when it is first asked.
func Queue(config amqpconn.Config, namespace, user string) func(*Router) Source {
	return func(r *Router) Source {
		q := &queue{
			router:   r,
			exchange: namespace + "." + wire.ExchangeReplies,
			name:     namespace + "." + wire.QueueReply,
			user:     user,
		}
		q.supervisor = amqpconn.New(config, q.setup)
		return q
	}
}

func (q *queue) Ready(ctx context.Context, insist bool) error {
	q.supervisor.Start()
	for {
		link, err := q.supervisor.Link(ctx, insist)
		if err != nil || q.router.IsUp() {
			return err
		}
		select { // the connection has been lost, and the supervisor is about to notice
		case <-link.Done():
		case <-ctx.Done():
		}
	}
}

func (q *queue) Connects() int { return q.supervisor.Connects() }

func (q *queue) Close(ctx context.Context) error { return q.supervisor.Close(ctx) }

// setup declares a queue of a fresh name, for the broker may hold the old one until it has noticed that its
// connection is gone, and binds it to the old address, so that jobs in flight still find it.
func (q *queue) setup(_ context.Context, link *amqpconn.Link) error {
	name := wire.Fill(q.name, "user", q.user, "instance", wire.NewInstance())
	ch, err := link.Conn.Channel()
	if err != nil {
		return q.explain(err)
	}
	classic := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeClassic}
	if _, err := ch.QueueDeclare(name, false, false, true, false, classic); err != nil {
		return q.explain(err)
	}
	if err := ch.QueueBind(name, q.router.Address(), q.exchange, false, nil); err != nil {
		return q.explain(err)
	}
	deliveries, err := ch.Consume(name, "", true, true, false, false, nil)
	if err != nil {
		return q.explain(err)
	}
	down := q.router.Up()
	if down == nil {
		return fault.ErrClosed
	}
	go q.receive(link, deliveries, down)
	return nil
}

// explain says why there is no reply queue.
func (q *queue) explain(err error) error {
	var said *amqp.Error
	if errors.As(err, &said) && said.Server {
		switch said.Code {
		case amqp.NotFound:
			return fmt.Errorf("%w: the exchange %s does not exist; run: penstock topology apply", fault.ErrTopology, q.exchange)
		case amqp.AccessRefused:
			return fmt.Errorf("%w: %w", fault.ErrDenied, err)
		}
	}
	return fmt.Errorf("%w: no reply queue: %w", fault.ErrUnavailable, err)
}

// receive hands replies out until the queue is gone, and with it every reply that was on its way.
func (q *queue) receive(link *amqpconn.Link, deliveries <-chan amqp.Delivery, down func()) {
	for d := range deliveries {
		q.deliver(d)
	}
	link.Drop() // the channel can end before its connection, for instance when somebody deletes the queue
	down()
}

func (q *queue) deliver(d amqp.Delivery) {
	switch d.Type {
	case wire.TypeItem:
		if place, ok := wire.PlaceOf(d.Headers); ok {
			q.addItems(d, place)
		}
	case wire.TypeProgress:
		if fence, ok := wire.FenceOf(d.Headers); ok {
			q.router.AddProgress(d.CorrelationId, fence, d.Body)
		}
	case wire.TypeResult:
		reply := Reply{Body: d.Body, Blob: wire.NamedBlob(d.Headers)}
		if fence, ok := wire.FenceOf(d.Headers); ok {
			reply.Fence = &fence
		}
		q.router.Deliver(d.CorrelationId, reply)
	}
	// Else it is for instance what a worker answers to a command about a job that is awaited here.
}

// addItems hands on what one message holds. What holds no items is handed on as one, for its reader to refuse.
func (q *queue) addItems(d amqp.Delivery, place wire.Place) {
	items, ok := wire.Elements(d.Body, wire.HardMaxBodyBytes)
	if !ok {
		q.router.AddItem(d.CorrelationId, Item{Place: place})
		return
	}
	for _, item := range items {
		q.router.AddItem(d.CorrelationId, Item{Place: place, Body: item})
		place.Seq++
	}
}
