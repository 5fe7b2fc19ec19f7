// Package redisresults reads stored results from Redis 6.2 or newer, or Valkey, and keeps bodies there that are
// too long for a message.
//
//	store, err := redisresults.New("redis://:secret@localhost:6379/0")
//	defer store.Close()
//	client, err := penstock.Open(ctx, penstock.Options{URL: amqpURL, Results: store})
package redisresults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// silence is how long a subscription may bring nothing before it is asked for a sign of life.
const silence = 30 * time.Second

// chunk is how many bytes go at once: neither Redis nor a connection stands still for a long value.
const chunk = 1 << 20

// Store is a [penstock.ResultStore], a [penstock.ItemStore] and a [penstock.BlobStore]. It is safe for concurrent use.
type Store struct{ client *redis.Client }

var (
	_ penstock.ItemStore = (*Store)(nil)
	_ penstock.BlobStore = (*Store)(nil)
)

// New returns a store for redis://user:password@host:port/db, or rediss with TLS. Further parameters are
// those of go-redis, for instance ?pool_size=20. It connects when it is first asked.
func New(address string) (*Store, error) {
	if address == "" {
		return nil, errors.New("the Redis URL is empty; set it to redis://localhost:6379/0")
	}
	options, err := redis.ParseURL(address)
	if syntax := (*url.Error)(nil); errors.As(err, &syntax) {
		err = syntax.Err // without the URL, for that has a password in it
	}
	if err != nil {
		return nil, fmt.Errorf("the Redis URL is not of the form redis://user:password@host:6379/0: %w", err)
	}
	options.ContextTimeoutEnabled = true
	options.DialerRetries = 1 // whoever waits for a result asks again anyway, and hears sooner what is wrong
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Store{redis.NewClient(options)}, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.client.Close() }

// Ping asks the server for a sign of life.
func (s *Store) Ping(ctx context.Context) error { return explain(s.client.Ping(ctx).Err()) }

// Get returns the bytes under a key, or nil while there are none.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	var body []byte
	for {
		part, err := cancelled(ctx, func() (string, error) {
			return s.client.GetRange(ctx, key, int64(len(body)), int64(len(body)+chunk-1)).Result()
		})
		if err != nil {
			return nil, err
		}
		body = append(body, part...)
		if len(part) < chunk { // what is there does not change, but it may be gone
			return body, nil
		}
	}
}

// GetRange returns the first head bytes under a key and those from the offset from up to before to, as they were at the
// same moment.
func (s *Store) GetRange(ctx context.Context, key string, head, from, to int64) (first, part []byte, err error) {
	both, err := cancelled(ctx, func() ([]redis.Cmder, error) {
		// In one transaction: another value may come in the place of this one.
		return s.client.TxPipelined(ctx, func(both redis.Pipeliner) error {
			both.GetRange(ctx, key, 0, head-1)
			both.GetRange(ctx, key, from, to-1)
			return nil
		})
	})
	if err != nil {
		return nil, nil, err
	}
	first, _ = both[0].(*redis.StringCmd).Bytes() // their errors are in err
	part, _ = both[1].(*redis.StringCmd).Bytes()
	return first, part, nil
}

// Put keeps bytes under a key for so long.
func (s *Store) Put(ctx context.Context, key string, body []byte, ttl time.Duration) error {
	for at := 0; at < len(body); at += chunk {
		part := body[at:min(at+chunk, len(body))]
		_, err := cancelled(ctx, func() ([]redis.Cmder, error) {
			// Together: what is cut off here must not stay for ever.
			return s.client.TxPipelined(ctx, func(both redis.Pipeliner) error {
				both.SetRange(ctx, key, int64(at), string(part))
				both.PExpire(ctx, key, ttl)
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelled calls Redis until ctx ends: go-redis heeds a context's deadline but not its cancellation. What is
// left behind then ends with the timeouts of the URL, 3 s by default.
func cancelled[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := call()
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		return a.value, explain(a.err)
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// Listen calls live when the subscription has begun, and hint with every message.
func (s *Store) Listen(ctx context.Context, channel string, live func(), hint func(string)) error {
	subscription := s.client.Subscribe(ctx, channel)
	defer subscription.Close()
	defer context.AfterFunc(ctx, func() { subscription.Close() })()
	for asked := false; ; {
		message, err := subscription.ReceiveTimeout(ctx, silence)
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() && !asked {
			asked, err = true, subscription.Ping(ctx)
		} else {
			asked = false
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return explain(err)
		}
		switch message := message.(type) {
		case *redis.Subscription:
			live()
		case *redis.Message:
			hint(message.Payload)
		}
	}
}

func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case redis.IsAuthError(err) || redis.IsPermissionError(err):
		return fmt.Errorf("%w: Redis refuses the user, the password or the command; check the URL: %w", penstock.ErrDenied, err)
	}
	return fmt.Errorf("%w: Redis does not answer: %w", penstock.ErrUnavailable, err)
}
