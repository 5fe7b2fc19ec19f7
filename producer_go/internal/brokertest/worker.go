package brokertest

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Answer makes the result of a job; what it leaves out of the envelope is filled in. Nil means no result.
type Answer func(job *wire.Job, d amqp.Delivery) *wire.Result

// Echo answers with the arguments.
func Echo(job *wire.Job, _ amqp.Delivery) *wire.Result { return &wire.Result{Value: job.Args} }

// Keep stores a result; see [Broker.Redis].
type Keep = func(ctx context.Context, replyTo, id string, body []byte) error

// Worker answers the jobs of a queue, over the reply queue or through store (which may be nil), until the
// test ends.
func (b *Broker) Worker(queue string, store Keep, answer Answer) {
	b.t.Helper()
	b.Serve(queue, store, func(job *wire.Job, d amqp.Delivery) []byte {
		if result := answer(job, d); result != nil {
			return ResultOf(b, job, result)
		}
		return nil
	})
}

// Serve is Worker for answers that are encoded already.
func (b *Broker) Serve(queue string, store Keep, answer func(*wire.Job, amqp.Delivery) []byte) {
	b.t.Helper()
	conn, err := amqp.Dial(b.URL)
	b.must(err)
	ch, err := conn.Channel()
	b.must(err)
	b.must(ch.Qos(500, 0, false))
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	b.must(err)
	w := &worker{broker: b, ch: ch, store: store, answer: answer}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d := range deliveries {
			w.handle(d)
		}
	}()
	b.t.Cleanup(func() {
		conn.Close()
		<-done
	})
}

type worker struct {
	broker *Broker
	ch     *amqp.Channel
	store  Keep
	answer func(*wire.Job, amqp.Delivery) []byte
}

// handle ends in an ack whatever happens: tests look at what arrives.
func (w *worker) handle(d amqp.Delivery) {
	defer d.Ack(false)
	body := d.Body
	if blob := wire.NamedBlob(d.Headers); blob != nil {
		body = w.broker.Blob(d.MessageId, *blob)
	}
	job, err := wire.DecodeJob(body, wire.HardMaxBlobBytes)
	if err != nil {
		w.broker.t.Errorf("the worker got a bad job: %v", err)
		return
	}
	if body = w.answer(job, d); body == nil {
		return
	}
	mode := d.Headers[wire.HeaderResultMode]
	if w.store != nil && (mode == wire.ResultStored || mode == wire.ResultReplyAndStored) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.store(ctx, d.ReplyTo, job.ID, body); err != nil {
			w.broker.t.Errorf("the worker cannot store: %v", err)
		}
	}
	if mode == wire.ResultReply || mode == wire.ResultReplyAndStored {
		w.ch.Publish(w.broker.Name(wire.ExchangeReplies), d.ReplyTo, false, false, w.broker.reply(job.ID, body))
	}
}

// ResultOf fills in the envelope and encodes it.
func ResultOf(b *Broker, job *wire.Job, r *wire.Result) []byte {
	b.t.Helper()
	r.JobID, r.Task, r.Version, r.Worker, r.Attempt = job.ID, job.Task, job.Version, "tester", max(1, r.Attempt)
	r.FinishedAt = time.Now().UnixMilli()
	body, err := wire.EncodeResult(r, wire.HardMaxBlobBytes)
	if err != nil {
		b.t.Errorf("the worker cannot encode its result: %v", err)
	}
	return body
}

// reply is the message around a result, which it only names if it is too long.
func (b *Broker) reply(jobID string, body []byte) amqp.Publishing {
	if len(body) <= wire.MaxBodyBytes {
		return Reply(jobID, body)
	}
	blob := wire.BlobOf(body)
	b.PutBlob(jobID, blob, body)
	return Claim(jobID, blob)
}

// Claim is the message of a result that lies in the store.
func Claim(jobID string, blob wire.Blob) amqp.Publishing {
	message := Reply(jobID, nil)
	message.Headers = amqp.Table{}
	blob.Headers(message.Headers)
	return message
}

// Reply is the message around a result.
func Reply(jobID string, body []byte) amqp.Publishing {
	return amqp.Publishing{Type: wire.TypeResult, ContentType: wire.ContentType, CorrelationId: jobID, MessageId: jobID, Body: body}
}
