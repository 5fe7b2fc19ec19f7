package penstock

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Cancel tells the workers to cancel the job; see [Client.Cancel]. If that worked, Wait returns a [*RemoteError]
// with [CodeCancelled].
func (h *Handle) Cancel(ctx context.Context) error { return h.client.Cancel(ctx, h.id) }

// Cancel tells every worker to cancel a job, whoever has enqueued it. It returns when the broker has confirmed
// the command, not when the job has ended: what became of the job, its result tells. While the connection is
// lost Cancel waits for the next; ctx bounds that.
//
// A job that has not started does not start any more. One that runs is told to end, and depending on its lane
// its process is killed when it does not; until then it may still succeed. It is not tried again. A worker
// that was started after the command has not heard it: a job that waits in the broker, and that such a worker
// takes, runs. Cancelling a job that has ended does nothing.
//
// An ID remains cancelled for about an hour: a job that is enqueued under it again is not run either.
//
// Every error is a [*CancelError]. [ErrUnroutable]: no worker is connected. [ErrDenied]: the user may not write to
// the control exchange. [ErrUnknown]: the broker has not answered; Cancel may be called again.
func (c *Client) Cancel(ctx context.Context, id string) error {
	var err error = &InvalidJobError{Code: CodeBadEnvelope, Message: fmt.Sprintf("%q is no job's ID", id)}
	if wire.ValidJobID(id) {
		err = c.publisher.Publish(ctx, func(context.Context, int) (confirm.Message, error) { return c.command(id), nil })
	}
	if err != nil {
		return &CancelError{JobID: id, Err: err}
	}
	return nil
}

// command is the message that cancels a job. It is not kept: a worker that is not there does not hear it later.
func (c *Client) command(id string) confirm.Message {
	return confirm.Message{
		Exchange: c.options.Namespace + "." + wire.ExchangeControl,
		Publishing: amqp.Publishing{
			Type:          wire.TypeCancel,
			MessageId:     id,
			CorrelationId: id,
			DeliveryMode:  amqp.Transient,
			UserId:        c.options.User,
			Headers:       amqp.Table{wire.HeaderJob: id},
		},
	}
}
