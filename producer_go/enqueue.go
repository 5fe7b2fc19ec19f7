package penstock

import (
	"context"
	"runtime"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Enqueue hands a job to the broker and returns when the broker has confirmed that it keeps it.
//
// The context bounds the call, and its deadline goes with the job unless the job says otherwise. While the
// connection is lost Enqueue waits for the next, and publishes again what was not confirmed. A job that cannot be sent as it is gives an
// [*InvalidJobError]; every other error is an [*EnqueueError], which knows the job's ID.
func (c *Client) Enqueue(ctx context.Context, job Job) (*Handle, error) {
	p := &publication{client: c, began: time.Now()}
	if job.ID != "" {
		p.earlier = 1
	}
	job, err := job.complete(ctx, p.began)
	if err != nil {
		return nil, err
	}
	p.job = &job
	if err := p.encode(ctx); err != nil {
		return nil, err
	}
	if err := c.publisher.Publish(ctx, p.message); err != nil {
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
	blob    *wire.Blob // nil: the body is in the message
	began   time.Time
	earlier int              // publications of which this client does not know: a job with an ID of the caller's may have some
	pending *replies.Pending // nil: no reply is expected, or not yet
}

// encode makes the body. One that is too long for a message is put into the store, and the message names it.
func (p *publication) encode(ctx context.Context) error {
	options := p.client.options
	body, err := p.job.encode(options)
	if err != nil {
		return err
	}
	// Its own length decides, not the compressed one: of a message nobody inflates more than a message may hold.
	long := len(body) > options.MaxBodyBytes
	if options.Compress {
		body = wire.Compress(body)
	}
	if !long {
		p.body = body
		return nil
	}
	blob := wire.BlobOf(body)
	p.blob = &blob
	if err := p.client.blobs.put(ctx, p.job, blob, body); err != nil {
		return &EnqueueError{JobID: p.job.ID, Task: p.job.Task, Err: err}
	}
	return nil
}

// message makes the message of one publication; repeats is how many went before whose outcome is not known.
// The body is always the same.
func (p *publication) message(ctx context.Context, repeats int) (confirm.Message, error) {
	if p.job.Result.replies() {
		if err := p.expect(ctx, repeats > 0); err != nil {
			return confirm.Message{}, err
		}
	}
	replyTo := ""
	if p.job.Result != NoResult {
		replyTo = p.client.replies.Address()
	}
	return confirm.Message{Key: p.job.Task, Publishing: amqp.Publishing{
		Type:          wire.TypeJob,
		ContentType:   wire.ContentType,
		MessageId:     p.job.ID,
		CorrelationId: p.job.ID,
		DeliveryMode:  amqp.Persistent,
		UserId:        p.client.options.User,
		ReplyTo:       replyTo,
		Headers:       p.headers(repeats),
		Body:          p.body,
	}}, nil
}

// headers mirror what workers must know without opening the body. Integers are int64: amqp091-go cuts an
// int to 32 bits.
func (p *publication) headers(repeats int) amqp.Table {
	headers := amqp.Table{
		wire.HeaderResultMode:  p.job.Result.String(),
		wire.HeaderTaskVersion: int64(p.job.Version),
	}
	if p.job.Contract != "" {
		headers[wire.HeaderContract] = p.job.Contract
	}
	if !p.job.Deadline.IsZero() {
		headers[wire.HeaderDeadline] = p.job.Deadline.UnixMilli()
	}
	if !p.job.NotBefore.IsZero() {
		headers[wire.HeaderNotBefore] = p.job.NotBefore.UnixMilli()
	}
	if p.blob != nil {
		p.blob.Headers(headers)
	}
	if p.job.Result != NoResult && p.client.options.Blobs != nil {
		headers[wire.HeaderMaxResult] = int64(p.client.options.longest())
	}
	if n := p.earlier + repeats; n > 0 {
		headers[wire.HeaderRepeat] = int64(n)
	}
	return headers
}

// expect makes sure that the reply to this publication will be recognised.
func (p *publication) expect(ctx context.Context, insist bool) error {
	if p.pending != nil {
		select {
		case <-p.pending.Done():
			if _, err := p.pending.Reply(); err != nil {
				return err
			}
			return confirm.ErrAccepted // only the confirm was lost: the job has been answered
		default:
		}
	}
	var err error
	p.pending, err = p.client.replies.Expect(ctx, p.job.ID, p.pending, insist)
	return err
}

func (p *publication) forget() {
	if p.pending != nil {
		p.client.replies.Forget(p.pending)
	}
}

// handle returns the job's handle. When nobody holds it any more its reply is no longer expected.
func (p *publication) handle() *Handle {
	h := &Handle{
		client: p.client, id: p.job.ID, task: p.job.Task, mode: p.job.Result, pending: p.pending,
		accepted: time.Now(), acceptance: time.Since(p.began),
	}
	if p.pending != nil {
		// Not p itself, which holds the body.
		runtime.AddCleanup(h, p.client.replies.Forget, p.pending)
	}
	return h
}
