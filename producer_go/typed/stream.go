package typed

import (
	"context"
	"errors"
	"iter"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// StreamTask is a task that yields items of the type I, and returns an R in the end. Generated code makes it. Call runs
// a job for its result alone.
type StreamTask[A, I, R any] struct {
	Task[A, R]

	Items Codec[I]
}

// Enqueue hands a job to the broker, as [Task.Enqueue] does.
func (t *StreamTask[A, I, R]) Enqueue(ctx context.Context, client *penstock.Client, args A, options *Options) (*StreamHandle[I, R], error) {
	handle, err := t.Task.Enqueue(ctx, client, args, options)
	if err != nil {
		return nil, err
	}
	return &StreamHandle[I, R]{Handle: *handle, items: t.Items}, nil
}

// Stream returns a loop that enqueues a job and hands out its items as they come. The result is left out; Enqueue gives
// a handle that has both. Errors are those of Enqueue and [StreamHandle.Stream], the last of them ends the loop.
//
// Leaving the loop tells the worker that nobody reads any more; the job goes on without. Every loop is a new job.
func (t *StreamTask[A, I, R]) Stream(ctx context.Context, client *penstock.Client, args A) iter.Seq2[I, error] {
	return func(yield func(I, error) bool) {
		handle, err := t.Enqueue(ctx, client, args, nil)
		if err != nil {
			var none I
			yield(none, err)
			return
		}
		handle.Stream(ctx)(yield)
	}
}

// StoredItems returns a loop over the items of a job whose result is stored, as [penstock.Client.Stream] does. Stored
// returns the result.
func (t *StreamTask[A, I, R]) StoredItems(ctx context.Context, client *penstock.Client, id string) iter.Seq2[I, error] {
	return itemsOf(client.Stream(ctx, id), t.Items)
}

// StreamHandle is a typed job of a task that yields.
type StreamHandle[I, R any] struct {
	Handle[R]

	items Codec[I]
}

// Stream returns a loop over the items of the job, as [penstock.Handle.Stream] does, with its errors. An item that breaks
// the contract ends the loop with a [penstock.ErrResultType].
func (h *StreamHandle[I, R]) Stream(ctx context.Context) iter.Seq2[I, error] {
	return itemsOf(h.handle.Stream(ctx), h.items)
}

// itemsOf decodes what a loop gives. After ErrRestarted it goes on, as the loop does.
func itemsOf[I any](items iter.Seq2[penstock.Item, error], codec Codec[I]) iter.Seq2[I, error] {
	return func(yield func(I, error) bool) {
		for item, err := range items {
			out := reads[I]{codec: codec, root: "item"}
			if err == nil {
				err = item.Decode(&out)
			}
			if !yield(out.value, err) || err != nil && !errors.Is(err, penstock.ErrRestarted) {
				return
			}
		}
	}
}
