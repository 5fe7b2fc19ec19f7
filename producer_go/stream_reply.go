package penstock

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// replyStream is one loop over the items that come over the reply queue.
type replyStream struct {
	*Handle
	yield  func(Item, error) bool
	place  wire.Place // of the item that was handed out last; zero while there is none of the present start
	taken  int64      // items of the present start that were handed out
	told   int64      // how many they were when the worker was told last
	failed chan error // holds why the worker cannot be told
}

// streamReplies hands out what comes over the reply queue.
func (h *Handle) streamReplies(ctx context.Context, yield func(Item, error) bool) error {
	router := h.client.replies
	if !router.Read(h.pending) {
		return ErrStreaming
	}
	defer func() { router.Leave(h.pending, h.pending.Ended()) }()
	s := &replyStream{Handle: h, yield: yield, failed: make(chan error, 1)}
	for {
		ended := h.pending.Ended() // asked first: the items that come before the result are there now
		if ctx.Err() != nil {
			return noResult(ctx, nil)
		}
		item, state, changed := router.Next(h.pending)
		if state == replies.None && ended {
			return s.end(ctx)
		}
		if err := s.step(ctx, item, state, changed); err != nil {
			return err
		}
	}
}

// step hands out what there is, or waits.
func (s *replyStream) step(ctx context.Context, item replies.Item, state replies.State, changed <-chan struct{}) error {
	switch state {
	case replies.Ready:
		return s.hand(item)
	case replies.Restarted:
		s.place, s.taken, s.told = wire.Place{}, 0, 0
		if !s.yield(Item{}, ofJob(s.id, ErrRestarted)) {
			return errLeft
		}
		return nil
	case replies.Lost:
		return ErrItemsLost
	}
	again := time.NewTimer(wire.CreditAgainMs * time.Millisecond)
	defer again.Stop()
	err := s.pause(ctx, changed, again.C, s.failed)
	if err == errAgain {
		s.tell() // the last time may not have been heard
		return nil
	}
	return err
}

// hand hands an item out, and lets the worker send more when half of its window has been taken.
func (s *replyStream) hand(item replies.Item) error {
	if err := wire.Check(item.Body, s.client.options.MaxBodyBytes); err != nil {
		return fmt.Errorf("item %d: %w: %w", item.Seq, ErrBadResult, err)
	}
	if !s.yield(Item{jobID: s.id, index: int(item.Seq), value: item.Body}, nil) {
		return errLeft
	}
	s.place, s.taken = item.Place, item.Seq+1
	if s.taken-s.told >= wire.StreamWindow/2 {
		s.tell()
	}
	return nil
}

// tell gives the worker the credit that the caller has made room for.
func (s *replyStream) tell() {
	if s.taken == 0 {
		return // it has all that it may have at first, and nobody knows who it is
	}
	s.told = s.taken
	credit := wire.Credit{JobID: s.id, Worker: s.place.Worker, Fence: s.place.Fence, Items: s.taken + wire.StreamWindow}
	s.client.credits.tell(credit, func(err error) {
		select {
		case s.failed <- err:
		default: // it is known already
		}
	})
}

// end is called when the result has come, and everything before it was handed out.
func (s *replyStream) end(ctx context.Context) error {
	body, err := s.replied(ctx)
	if err != nil {
		return err
	}
	result, err := s.keep(body)
	if err != nil {
		return err
	}
	return finish(result, s.taken, s.void())
}

// void tells whether the job was ended by another start than the one whose items were handed out.
func (s *replyStream) void() bool {
	reply, _ := s.pending.Reply()
	return s.taken > 0 && reply.Fence != nil && *reply.Fence != s.place.Fence
}

// errAgain is returned by pause when it is time to do something again.
var errAgain = fmt.Errorf("it is time")

// pause waits until something has changed or the job has ended. The error is errAgain, what failed brings, or why it is
// in vain to wait: as in Wait, a lost connection ends what has no deadline.
func (h *Handle) pause(ctx context.Context, changed <-chan struct{}, again <-chan time.Time, failed <-chan error) error {
	lost := h.client.replies.Lost(h.pending)
	if _, ends := ctx.Deadline(); ends {
		lost = nil
	}
	select {
	case <-changed:
		return nil
	case <-h.pending.Done():
		return nil
	case <-again:
		return errAgain
	case err := <-failed:
		return err
	case <-lost:
		return ErrReplyLost
	case <-ctx.Done():
		return noResult(ctx, h.lostReply())
	}
}

// lostReply is ErrReplyLost when the connection was lost over which the reply would have come.
func (h *Handle) lostReply() error {
	select {
	case <-h.client.replies.Lost(h.pending):
		return ErrReplyLost
	default:
		return nil
	}
}
