package penstock

import (
	"context"
	"runtime"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Enqueue hands a job to the broker and returns when the broker has confirmed that it keeps it.
//
// The context bounds the call, and its deadline goes with the job unless the job says otherwise. While the
// connection is lost Enqueue waits for the next. A job that cannot be sent as it is gives an
// [*InvalidJobError]; every other error is an [*EnqueueError], which knows the job's ID.
func (c *Client) Enqueue(ctx context.Context, job Job) (*Handle, error) {
	job, err := job.complete(ctx)
	if err != nil {
		return nil, err
	}
	body, err := job.encode(c.options.MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	p := &publication{client: c, job: &job, body: body}
	if err := c.publisher.Publish(ctx, p.attempt); err != nil {
		p.forget()
		return nil, &EnqueueError{JobID: job.ID, Task: job.Task, Err: err}
	}
	return p.handle(), nil
}

// publication is a job on its way to the broker.
type publication struct {
	client  *Client
	job     *Job
	body    []byte
	pending *replies.Pending // nil: no reply is expected, or not yet
}

// attempt makes the message of one attempt. The body is always the same; the reply queue may be another
// than before, for it is lost with its connection.
func (p *publication) attempt(ctx context.Context) (confirm.Message, error) {
	replyTo := ""
	switch {
	case p.job.Result.replies():
		if err := p.expect(ctx); err != nil {
			return confirm.Message{}, err
		}
		replyTo = p.pending.Address()
	case p.job.Result == Stored:
		replyTo = p.client.storedTo
	}
	return confirm.Message{Key: p.job.Task, Publishing: amqp.Publishing{
		Type:          wire.TypeJob,
		ContentType:   wire.ContentType,
		MessageId:     p.job.ID,
		CorrelationId: p.job.ID,
		DeliveryMode:  amqp.Persistent,
		UserId:        p.client.options.User,
		ReplyTo:       replyTo,
		Headers:       p.headers(),
		Body:          p.body,
	}}, nil
}

// headers mirror what workers must know without opening the body. Integers are int64: amqp091-go cuts an
// int to 32 bits.
func (p *publication) headers() amqp.Table {
	headers := amqp.Table{
		wire.HeaderResultMode:  p.job.Result.String(),
		wire.HeaderTaskVersion: int64(p.job.Version),
	}
	if !p.job.Deadline.IsZero() {
		headers[wire.HeaderDeadline] = p.job.Deadline.UnixMilli()
	}
	if !p.job.NotBefore.IsZero() {
		headers[wire.HeaderNotBefore] = p.job.NotBefore.UnixMilli()
	}
	return headers
}

// expect makes sure that the reply of this attempt will be recognised.
func (p *publication) expect(ctx context.Context) error {
	if p.pending != nil {
		select {
		case <-p.pending.Done():
			if _, err := p.pending.Body(); err == nil {
				return confirm.ErrAccepted // only the confirm was lost: the job has been answered
			}
			p.forget()
		default:
			return nil
		}
	}
	pending, err := p.client.replies.Expect(ctx, p.job.ID)
	p.pending = pending
	return err
}

func (p *publication) forget() {
	if p.pending != nil {
		p.client.replies.Forget(p.job.ID, p.pending)
		p.pending = nil
	}
}

// handle returns the job's handle. When nobody holds it any more its reply is no longer expected.
func (p *publication) handle() *Handle {
	h := &Handle{client: p.client, id: p.job.ID, task: p.job.Task, mode: p.job.Result, pending: p.pending}
	if p.pending != nil {
		// Not p itself, which holds the body.
		runtime.AddCleanup(h, expectation.forget, expectation{p.client.replies, p.job.ID, p.pending})
	}
	return h
}

// expectation is what is left to undo when a handle is gone.
type expectation struct {
	router  *replies.Router
	id      string
	pending *replies.Pending
}

func (e expectation) forget() { e.router.Forget(e.id, e.pending) }
