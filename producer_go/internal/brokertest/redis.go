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
	url = Env(b.t, "PENSTOCK_REDIS_URL")
	options, err := redis.ParseURL(url)
	b.must(err)
	client := redis.NewClient(options)
	b.t.Cleanup(func() { client.Close() })
	return url, func(ctx context.Context, replyTo, id string, body []byte) error {
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
