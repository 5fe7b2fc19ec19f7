package penstock

import (
	"bytes"
	"context"
	"iter"
	"runtime"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Progress says how far a job is. It decides nothing.
type Progress struct {
	// Fraction of the job that is done, 0 to 1.
	Fraction float64

	// Text for people; "" when the task has none.
	Text string
}

// Progress returns a loop over what the job says of its progress: always the newest; what the loop is too slow for
// is left out. It ends without an error when the job ends, whether that went well or not: [Handle.Wait] tells.
// Otherwise its last round has the error, one of those of Wait. Several loops may run at once.
//
// The loop reads no items. In mode [Reply] a task that yields some waits, after 64, for somebody who calls
// [Handle.Stream] or [Handle.Wait].
func (h *Handle) Progress(ctx context.Context) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) {
		// Without it the collector might take the handle for dropped during the loop.
		defer runtime.KeepAlive(h)
		err := h.follow(ctx, yield)
		if err != nil && err != errLeft {
			yield(Progress{}, ofJob(h.id, h.dated(err)))
		}
	}
}

// Progress returns a loop over the progress of a job whose result is stored, as [Handle.Progress] does. Any process may
// ask that knows the job's ID. The store is asked as by [Client.Result].
func (c *Client) Progress(ctx context.Context, id string) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) {
		err := checkID(id)
		if err == nil {
			err = c.stored.progress(ctx, id, false, yield)
		}
		if err != nil && err != errLeft {
			yield(Progress{}, ofJob(id, err))
		}
	}
}

// follow hands progress out from where the job's mode sends it.
func (h *Handle) follow(ctx context.Context, yield func(Progress, error) bool) error {
	switch h.mode {
	case Reply:
		return h.followReplies(ctx, yield)
	case Stored, ReplyAndStored:
		return h.client.stored.progress(ctx, h.id, true, yield)
	}
	return errNotWanted
}

// followReplies hands out what comes over the reply queue.
func (h *Handle) followReplies(ctx context.Context, yield func(Progress, error) bool) error {
	for seen := 0; ; {
		ended := h.pending.Ended() // asked first: what is said before the end is there now
		body, number, changed := h.client.replies.Progress(h.pending, seen)
		seen = number
		p, ok := wire.DecodeProgress(body)
		switch {
		case ctx.Err() != nil && !ended:
			return noResult(ctx, nil)
		case ok && !yield(Progress(p), nil):
			return errLeft
		case body == nil && ended:
			_, err := h.pending.Reply()
			return err
		case body == nil:
			if err := h.pause(ctx, changed, nil, nil); err != nil {
				return err
			}
		}
	}
}

// progress hands out what is in the store.
func (s *stored) progress(ctx context.Context, id string, hinted bool, yield func(Progress, error) bool) error {
	var seen []byte
	left := false
	err := s.follow(ctx, id, hinted, func() (sight, error) {
		// The result first: what is said after it is the last.
		result, err := s.store.Get(ctx, s.key(wire.ResultKey, id))
		if err != nil {
			return nothing, err
		}
		value, err := s.store.Get(ctx, s.key(wire.ProgressKey, id))
		if err != nil {
			return nothing, err
		}
		if p, ok := newer(value, seen); ok {
			seen = value
			left = !yield(p, nil)
		}
		if left || result != nil {
			return last, nil
		}
		return nothing, nil
	})
	if left {
		return errLeft
	}
	return err
}

// newer reads a stored progress if it is another one than the one seen last, and not of an earlier start.
func newer(value, seen []byte) (Progress, bool) {
	if len(value) < wire.FenceBytes || bytes.Equal(value, seen) {
		return Progress{}, false
	}
	if seen != nil && bytes.Compare(value[:wire.FenceBytes], seen[:wire.FenceBytes]) < 0 {
		return Progress{}, false
	}
	p, ok := wire.DecodeProgress(value[wire.FenceBytes:])
	return Progress(p), ok
}
