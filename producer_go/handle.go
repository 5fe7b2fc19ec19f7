package penstock

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Handle is a job that the broker has accepted.
type Handle struct {
	client  *Client
	id      string
	task    string
	mode    ResultMode
	pending *replies.Pending // nil when no reply is expected
	result  atomic.Pointer[wire.Result]
}

// ID returns the job's ID, by which any process finds a stored result with [Client.Result].
func (h *Handle) ID() string { return h.id }

// Wait returns when the job has ended, and decodes its result into what out points to; a nil out drops it.
//
// A job that failed gives a [*RemoteError]. Other errors say why there is no result: [ErrNoResult] when ctx
// ends first, [ErrReplyLost], [ErrClosed], [ErrNoStore], [ErrBadResult], [ErrDenied] by the store; or, with
// [ErrResultType], that it does not fit out. Wait may be called again, and by several goroutines at once.
func (h *Handle) Wait(ctx context.Context, out any) error {
	// Without it the collector might take the handle for dropped while its last caller waits.
	defer runtime.KeepAlive(h)
	result := h.result.Load()
	if result == nil {
		body, err := h.await(ctx)
		if err != nil {
			return fmt.Errorf("job %s: %w", h.id, err)
		}
		if result, err = readResult(h.id, body, h.client.options.MaxBodyBytes); err != nil {
			return err
		}
		h.result.Store(result)
	}
	return deliver(result, out)
}

// await returns the body of the result from where the job's mode sends it.
func (h *Handle) await(ctx context.Context) ([]byte, error) {
	switch h.mode {
	case Reply:
		return h.awaitReply(ctx)
	case ReplyAndStored:
		body, err := h.awaitReply(ctx)
		if errors.Is(err, ErrReplyLost) && h.client.options.Results != nil {
			return h.client.stored.await(ctx, h.id, false) // the hint goes where the reply went
		}
		return body, err
	case Stored:
		return h.client.stored.await(ctx, h.id, true)
	}
	return nil, fmt.Errorf("%w: it was enqueued with NoResult", ErrNoResult)
}

func (h *Handle) awaitReply(ctx context.Context) ([]byte, error) {
	select {
	case <-h.pending.Done():
		return h.pending.Body()
	default:
	}
	select {
	case <-h.pending.Done():
		return h.pending.Body()
	case <-ctx.Done():
		return nil, noResult(ctx)
	}
}

func noResult(ctx context.Context) error {
	return fmt.Errorf("%w came in time: %w", ErrNoResult, ctx.Err())
}
