package brokertest

import (
	"context"
	"encoding/binary"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// SendItem sends items of the job that a worker of [Broker.Serve] has in one message, over the channel of its result.
func (b *Broker) SendItem(d amqp.Delivery, place wire.Place, items ...[]byte) {
	body := wire.AppendElements(nil, items...)
	b.send(d, amqp.Publishing{Type: wire.TypeItem, CorrelationId: d.MessageId, Headers: place.Headers(), Body: body})
}

// SendProgress sends progress like an item.
func (b *Broker) SendProgress(d amqp.Delivery, worker string, fence int64, body []byte) {
	headers := amqp.Table{wire.HeaderWorker: worker, wire.HeaderFence: fence}
	b.send(d, amqp.Publishing{Type: wire.TypeProgress, CorrelationId: d.MessageId, Headers: headers, Body: body})
}

// SendResult sends a result that names its start, in place of the one that the worker of [Broker.Serve] would send.
func (b *Broker) SendResult(d amqp.Delivery, fence int64, body []byte) {
	headers := amqp.Table{wire.HeaderFence: fence}
	b.send(d, amqp.Publishing{Type: wire.TypeResult, CorrelationId: d.MessageId, Headers: headers, Body: body})
}

// send fails silently when the connection is gone, as at the end of a test.
func (b *Broker) send(d amqp.Delivery, message amqp.Publishing) {
	d.Acknowledger.(*amqp.Channel).Publish(b.Name(wire.ExchangeReplies), d.ReplyTo, false, false, message)
}

// Items is a worker's side of the tests' Redis.
type Items struct {
	broker *Broker
	client *redis.Client
}

// Items returns what a worker does to store items and progress.
func (b *Broker) Items() *Items {
	b.t.Helper()
	return &Items{b, b.redis()}
}

// Store stores an item; the first of a start replaces what is there.
func (s *Items) Store(replyTo, jobID string, place wire.Place, body []byte) {
	key := wire.Fill(wire.ItemsKey, "namespace", s.broker.Namespace, "job_id", jobID)
	s.pipeline(replyTo, jobID, func(ctx context.Context, p redis.Pipeliner) {
		if place.Seq == 0 {
			p.Set(ctx, key, wire.AppendItem(nil, place.Fence, body), time.Minute)
		} else {
			p.Append(ctx, key, string(wire.AppendItem([]byte{0}, 0, body)[1:]))
		}
	})
}

// Report stores progress.
func (s *Items) Report(replyTo, jobID string, fence int64, body []byte) {
	key := wire.Fill(wire.ProgressKey, "namespace", s.broker.Namespace, "job_id", jobID)
	value := append(binary.BigEndian.AppendUint64(nil, uint64(fence)), body...)
	s.pipeline(replyTo, jobID, func(ctx context.Context, p redis.Pipeliner) { p.Set(ctx, key, value, time.Minute) })
}

// Forget removes the items of a job, as time does.
func (s *Items) Forget(jobID string) {
	key := wire.Fill(wire.ItemsKey, "namespace", s.broker.Namespace, "job_id", jobID)
	s.broker.must(s.client.Del(context.Background(), key).Err())
}

// pipeline writes, and tells who waits.
func (s *Items) pipeline(replyTo, jobID string, write func(context.Context, redis.Pipeliner)) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		write(ctx, p)
		p.Publish(ctx, wire.Fill(wire.ResultChannel, "namespace", s.broker.Namespace, "reply_to", replyTo), jobID)
		return nil
	})
	if err != nil {
		s.broker.t.Errorf("the worker cannot store: %v", err)
	}
}
