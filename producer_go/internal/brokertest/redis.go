package brokertest

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Redis returns the URL of the tests' Redis and what a worker does to store a result there.
func (b *Broker) Redis() (url string, store Keep) {
	b.t.Helper()
	client := b.redis()
	return Env(b.t, "PENSTOCK_REDIS_URL"), func(ctx context.Context, replyTo, id string, body []byte) error {
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.SetNX(ctx, wire.Fill(wire.ResultKey, "namespace", b.Namespace, "job_id", id), body, time.Minute)
			if replyTo != "" {
				p.Publish(ctx, wire.Fill(wire.ResultChannel, "namespace", b.Namespace, "reply_to", replyTo), id)
			}
			return nil
		})
		return err
	}
}

func (b *Broker) redis() *redis.Client {
	b.t.Helper()
	options, err := redis.ParseURL(Env(b.t, "PENSTOCK_REDIS_URL"))
	b.must(err)
	client := redis.NewClient(options)
	b.t.Cleanup(func() { client.Close() })
	return client
}

// Blob returns the bytes of a blob in the tests' Redis, "" when it is not there.
func (b *Broker) Blob(jobID string, blob wire.Blob) []byte {
	b.t.Helper()
	body, err := b.redis().GetRange(context.Background(), blob.Key(b.Namespace, jobID), 0, -1).Bytes()
	b.must(err)
	return body
}

// PutBlob keeps bytes under the name of a blob there, whether they are its own or not.
func (b *Broker) PutBlob(jobID string, blob wire.Blob, body []byte) {
	b.t.Helper()
	b.must(b.redis().Set(context.Background(), blob.Key(b.Namespace, jobID), body, time.Minute).Err())
}

// BlobLifetime is how long a blob is still kept there.
func (b *Broker) BlobLifetime(jobID string, blob wire.Blob) time.Duration {
	b.t.Helper()
	lifetime, err := b.redis().PTTL(context.Background(), blob.Key(b.Namespace, jobID)).Result()
	b.must(err)
	return lifetime
}
