package penstock

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Item is one of the items that a task yields while it runs. The zero Item comes beside an error.
type Item struct {
	jobID string
	index int
	value wire.Raw // has passed wire.Check
}

// Index returns the item's number within its start of the job, from 0.
func (i Item) Index() int { return i.index }

// Decode decodes the item into what out points to, as [Handle.Wait] does with a result; a nil out drops it. The error is
// [ErrResultType] when the item does not fit.
func (i Item) Decode(out any) error {
	if i.value == nil {
		return fmt.Errorf("%w: this is the zero Item, which comes beside an error", ErrResultType)
	}
	if err := i.value.Decode(out); err != nil {
		return misfit(fmt.Sprintf("job %s: item %d", i.jobID, i.index), out, err)
	}
	return nil
}

// Stream returns a loop over the items of the job, in their order and as they come:
//
//	for item, err := range handle.Stream(ctx) {
//		if err != nil {
//			return err
//		}
//		...
//	}
//	err := handle.Wait(ctx, &result) // what the task returned in the end
//
// The loop ends without an error when all items were handed out and the job went well. Otherwise its last round has the
// error, beside the zero Item: the [*RemoteError] of a job that failed, [ErrItemsLost], or as [Handle.Wait] has them:
// [ErrNoResult] when ctx ends first, [ErrReplyLost], [ErrClosed], [ErrNoStore], [ErrBadResult], [ErrDenied]. One error
// is not the last: after [ErrRestarted] the loop may go on, and gets the items again from the first.
//
// In mode [Reply] the task runs at most 64 items ahead of the loop: a slow loop slows it down, and the time it waits
// counts against its timeout. Leaving the loop tells the worker that nobody reads any more; the job goes on without, and
// [Handle.Cancel] ends it. Items that were handed out are gone: a second loop gets [ErrItemsLost] unless the first got
// none. So it is after a Wait: where no loop runs, Wait drops what comes. The user needs write permission to the control
// exchange, or the error is [ErrDenied] after some items.
//
// In the modes [Stored] and [ReplyAndStored] the items are read from the store: nothing waits for the loop, and every
// loop gets all items from the first.
//
// While one loop runs, another of the same handle gets [ErrStreaming].
func (h *Handle) Stream(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		// Without it the collector might take the handle for dropped during the loop.
		defer runtime.KeepAlive(h)
		err := h.stream(ctx, yield)
		if err != nil && err != errLeft {
			yield(Item{}, ofJob(h.id, h.dated(err)))
		}
	}
}

// Stream returns a loop over the items of a job whose result is stored, as [Handle.Stream] does. Any process may ask that
// knows the job's ID, also when the job has ended: it gets all items from the first. A job that is not known looks like
// one that has not begun, so give ctx a deadline.
//
// The store is asked as by [Client.Result].
func (c *Client) Stream(ctx context.Context, id string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		err := checkID(id)
		if err == nil {
			_, err = c.stored.stream(ctx, id, c.options.longest(), false, yield)
		}
		if err != nil && err != errLeft {
			yield(Item{}, ofJob(id, err))
		}
	}
}

// errLeft is what becomes of a loop whose caller has left it, who is told nothing more.
var errLeft = errors.New("the loop was left")

// stream hands the items out from where the job's mode sends them.
func (h *Handle) stream(ctx context.Context, yield func(Item, error) bool) error {
	switch h.mode {
	case Reply:
		return h.streamReplies(ctx, yield)
	case Stored, ReplyAndStored:
		if !h.reading.CompareAndSwap(false, true) {
			return ErrStreaming
		}
		defer h.reading.Store(false)
		result, err := h.client.stored.stream(ctx, h.id, h.client.options.longest(), true, yield)
		if result != nil {
			h.result.Store(result)
		}
		return err
	}
	return errNotWanted
}

// finish compares what the result says with what was handed out of the last start; void: another start has ended the job.
func finish(result *wire.Result, taken int64, void bool) error {
	switch {
	case result.Failure != nil:
		return deliver(result, nil)
	case result.Items == nil || *result.Items == taken && !void:
		return nil
	case *result.Items == 0:
		return ErrRestarted // and the start that ended the job has none
	case void:
		return fmt.Errorf("%w: the start that ended the job has yielded %d, and none of them came", ErrItemsLost, *result.Items)
	}
	return fmt.Errorf("%w: the task has yielded %d, and %d came", ErrItemsLost, *result.Items, taken)
}
