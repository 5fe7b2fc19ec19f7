package penstock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// BlobStore keeps bodies that are too long for a message. Package redisresults has the one for Redis.
//
// Its errors wrap [ErrDenied] when the store refuses this user; after any other error it is asked again.
type BlobStore interface {
	// Put keeps bytes under a key for so long. Putting the same bytes again, whole or from where an earlier
	// Put was cut off, is no error; they are kept for as long as was said last.
	Put(ctx context.Context, key string, body []byte, ttl time.Duration) error

	// Get returns the bytes under a key, or nil without error while there are none.
	Get(ctx context.Context, key string) ([]byte, error)
}

// blobs are the bodies beside the messages of a namespace.
type blobs struct {
	store     BlobStore // nil: there is none
	namespace string
}

// put keeps a job's body for longer than the job can be started. It tries again until ctx ends.
func (b blobs) put(ctx context.Context, job *Job, blob wire.Blob, body []byte) error {
	err := b.patiently(ctx, func() error {
		return b.store.Put(ctx, blob.Key(b.namespace, job.ID), body, lifetime(job, time.Now()))
	})
	if err != nil {
		return fmt.Errorf("the body of %d bytes is too long for a message, and the store does not take it: %w", blob.Size, err)
	}
	return nil
}

// lifetime is how long a job's body is kept: longer than the job, whatever becomes of it.
func lifetime(job *Job, now time.Time) time.Duration {
	if !job.Deadline.IsZero() {
		return max(0, job.Deadline.Sub(now)) + wire.BlobGraceMs*time.Millisecond
	}
	return max(0, job.NotBefore.Sub(now)) + wire.BlobTTLMs*time.Millisecond
}

// fetch returns the bytes that a reply names. It tries again until ctx ends.
func (b blobs) fetch(ctx context.Context, jobID string, blob wire.Blob) ([]byte, error) {
	if b.store == nil {
		return nil, ErrNoStore // no worker answers like this who was not told that there is one
	}
	var body []byte
	err := b.patiently(ctx, func() (err error) {
		body, err = b.store.Get(ctx, blob.Key(b.namespace, jobID))
		return err
	})
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, noResult(ctx, fmt.Errorf("the store has it and cannot be asked: %w", err))
	case err != nil:
		return nil, err
	case int64(len(body)) < blob.Size:
		return nil, fmt.Errorf("%w: its %d bytes are no longer in the store", ErrReplyLost, blob.Size)
	case !blob.Is(body):
		return nil, fmt.Errorf("%w: what the store has is not the announced bytes with the SHA-256 %s", ErrBadResult, blob.SHA256)
	}
	return body, nil
}

// patiently calls until that succeeds, is refused for good, or ctx ends.
func (b blobs) patiently(ctx context.Context, call func() error) error {
	for failures := 0; ; failures++ {
		err := call()
		if err == nil || errors.Is(err, ErrDenied) {
			return err
		}
		timer := time.NewTimer(amqpconn.Delay(failures, rand.Float64()))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}
