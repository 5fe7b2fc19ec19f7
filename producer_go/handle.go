package penstock

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

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
	reading atomic.Bool // a loop reads its stored items

	accepted   time.Time     // when the broker's confirm was there
	acceptance time.Duration // how long Enqueue took
}

// ID returns the job's ID, by which any process finds a stored result with [Client.Result].
func (h *Handle) ID() string { return h.id }

// Wait returns when the job has ended, and decodes its result into what out points to; a nil out drops it. Items that the
// task yields are dropped in mode [Reply], unless a loop of [Handle.Stream] reads them.
//
// A job that failed gives a [*RemoteError]. Other errors say why there is no result: [ErrNoResult] when ctx
// ends first, [ErrReplyLost], [ErrClosed], [ErrNoStore], [ErrBadResult], [ErrDenied] by the store; or, with
// [ErrResultType], that it does not fit out. Wait may be called again, and by several goroutines at once.
func (h *Handle) Wait(ctx context.Context, out any) error {
	// Without it the collector might take the handle for dropped while its last caller waits.
	defer runtime.KeepAlive(h)
	if h.mode == Reply {
		h.client.replies.Drop(h.pending) // or a task that yields items would wait for their reader for ever
	}
	result := h.result.Load()
	if result == nil {
		body, err := h.await(ctx)
		if err != nil {
			return ofJob(h.id, h.dated(err))
		}
		if result, err = h.keep(body); err != nil {
			return ofJob(h.id, err)
		}
	}
	return deliver(result, out)
}

// keep reads the body of the result, for this call and later ones.
func (h *Handle) keep(body []byte) (*wire.Result, error) {
	result, err := readResult(h.id, body, h.client.options.longest())
	if err == nil {
		h.result.Store(result)
	}
	return result, err
}

// await returns the body of the result from where the job's mode sends it.
func (h *Handle) await(ctx context.Context) ([]byte, error) {
	switch h.mode {
	case Reply, ReplyAndStored:
		return h.awaitReply(ctx)
	case Stored:
		return h.client.stored.await(ctx, h.id, true)
	}
	return nil, errNotWanted
}

// errNotWanted is for everything that is asked of a job without a result.
var errNotWanted = fmt.Errorf("%w: it was enqueued with NoResult", ErrNoResult)

// dated lets an error because of a context's end say how old the job is.
func (h *Handle) dated(err error) error {
	if late := (*lateError)(nil); errors.As(err, &late) {
		late.history = fmt.Sprintf("accepted %s after Enqueue, %s ago", brief(h.acceptance), brief(time.Since(h.accepted)))
	}
	return err
}

// awaitReply is not content with a lost connection while there is hope: the reply may have been lost with
// it, but if the job has not ended it will come over the next.
func (h *Handle) awaitReply(ctx context.Context) ([]byte, error) {
	select {
	case <-h.pending.Done():
		return h.replied(ctx)
	default:
	}
	select {
	case <-h.pending.Done():
		return h.replied(ctx)
	case <-ctx.Done():
		return nil, noResult(ctx, nil)
	case <-h.client.replies.Lost(h.pending):
	}
	if h.mode == ReplyAndStored && h.client.options.Results != nil {
		return h.client.stored.await(ctx, h.id, true)
	}
	if _, ends := ctx.Deadline(); !ends {
		return nil, ErrReplyLost // rather than waiting for ever
	}
	select {
	case <-h.pending.Done():
		return h.replied(ctx)
	case <-ctx.Done():
		return nil, noResult(ctx, ErrReplyLost)
	}
}

// replied returns the result of the reply that has come, from the store where the reply only names it.
func (h *Handle) replied(ctx context.Context) ([]byte, error) {
	reply, err := h.pending.Reply()
	if err != nil || reply.Blob == nil {
		return reply.Body, err
	}
	return h.client.blobs.fetch(ctx, h.id, *reply.Blob)
}

// lateError is an [ErrNoResult] because of a context's end.
type lateError struct {
	ended   error
	problem error  // what stood in the way, if that is known
	history string // of the job, if that is known
}

func noResult(ctx context.Context, problem error) error {
	return &lateError{ended: ctx.Err(), problem: problem}
}

func (e *lateError) Error() string {
	text := fmt.Sprintf("%v came in time", ErrNoResult)
	if e.history != "" {
		text += ": " + e.history
	}
	if e.problem != nil {
		text += fmt.Sprintf("; %v", e.problem)
	}
	return fmt.Sprintf("%s: %v", text, e.ended)
}

func (e *lateError) Unwrap() []error {
	if e.problem != nil {
		return []error{ErrNoResult, e.problem, e.ended}
	}
	return []error{ErrNoResult, e.ended}
}

// brief is a duration as people say it.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
