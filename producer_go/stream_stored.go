package penstock

import (
	"context"
	"fmt"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// itemsChunk is how many bytes of items are read at once.
const itemsChunk = 1 << 20

// storedStream is one loop over the items in the store.
type storedStream struct {
	*stored
	store    ItemStore
	id       string
	maxBytes int
	log      *wire.ItemLog
	yield    func(Item, error) bool
	result   *wire.Result // nil: there was none when the store was asked last
}

// stream hands out what is in the store, and returns the result when it has got to it.
func (s *stored) stream(
	ctx context.Context, id string, maxBytes int, hinted bool, yield func(Item, error) bool,
) (*wire.Result, error) {
	store, ok := s.store.(ItemStore)
	if s.store != nil && !ok {
		return nil, fmt.Errorf("%w; the one there reads no items: it is no ItemStore", ErrNoStore)
	}
	loop := &storedStream{stored: s, store: store, id: id, maxBytes: maxBytes, log: wire.NewItemLog(maxBytes), yield: yield}
	var ended error // why the loop has ended, where the store is not the reason
	err := s.follow(ctx, id, hinted, func() (found sight, err error) {
		if found, err = loop.look(ctx); found == last {
			ended, err = err, nil
		}
		return found, err
	})
	if ended == nil { // a client that was closed meanwhile is no news to whoever has left the loop
		ended = err
	}
	return loop.result, ended
}

// look hands out what has come since the last look. With last, the error is how the loop ends.
func (s *storedStream) look(ctx context.Context) (sight, error) {
	from := s.log.Offset()
	first, part, err := s.store.GetRange(ctx, s.key(wire.ItemsKey, s.id), wire.FenceBytes, from, from+itemsChunk)
	if err != nil {
		return nothing, err
	}
	if s.log.Feed(first, part) && !s.yield(Item{}, ofJob(s.id, ErrRestarted)) {
		return last, errLeft
	}
	if err := s.hand(ctx); err != nil {
		return last, err
	}
	if s.log.Offset() != from {
		return more, nil
	}
	// All items are there before the result, so what is read after it is complete.
	if s.result != nil {
		return last, finish(s.result, s.log.Taken(), false)
	}
	body, err := s.store.Get(ctx, s.key(wire.ResultKey, s.id))
	if err != nil || body == nil {
		return nothing, err
	}
	if s.result, err = readResult(s.id, body, s.maxBytes); err != nil {
		return last, err
	}
	return more, nil
}

// hand hands out the items that are there whole.
func (s *storedStream) hand(ctx context.Context) error {
	for ctx.Err() == nil {
		index := s.log.Taken()
		body, err := s.log.Next()
		if err != nil {
			return fmt.Errorf("item %d: %w: %w", index, ErrBadResult, err)
		}
		if body == nil {
			return nil
		}
		if !s.yield(Item{jobID: s.id, index: int(index), value: body}, nil) {
			return errLeft
		}
	}
	return nil // follow looks at the context too
}
