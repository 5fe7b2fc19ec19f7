package penstock

import (
	"context"
	"errors"
	"sync"

	"github.com/penstock-mq/penstock/producer_go/internal/backend"
	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/replies"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Client enqueues jobs and receives their results. It is safe for concurrent use; a program needs one.
type Client struct {
	options   Options
	publisher *confirm.Publisher
	credits   *credits
	replies   *replies.Router
	stored    *stored
	blobs     blobs

	close  sync.Once
	closed error // of Close
}

// Open connects to RabbitMQ. It makes one attempt, bounded by ctx, and returns its error: [ErrUnavailable],
// [ErrDenied], [ErrTopology] or [ErrOptions]. A connection that is lost later
// is made anew without end. The connection for replies is made when the first job wants one.
func Open(ctx context.Context, options Options) (*Client, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	// One address for replies and for the store's hints, whatever becomes of the connections.
	address := options.User + "." + wire.NewInstance()
	jobs, replyQueue := options.backend(ctx)
	publisher := confirm.New(jobs)
	credits := newCredits(publisher, options)
	c := &Client{
		options:   options,
		publisher: publisher,
		credits:   credits,
		replies:   replies.New(address, credits.refuse, replyQueue),
		stored:    newStored(options.Results, options.Namespace, address),
		blobs:     blobs{options.Blobs, options.Namespace},
	}
	if err := c.publisher.Start(ctx); err != nil {
		c.Close(ctx)
		return nil, err
	}
	return c, nil
}

// backend returns what a client speaks to: RabbitMQ, but for package penstocktest.
func (o Options) backend(ctx context.Context) (confirm.Transport, func(*replies.Router) replies.Source) {
	if b, ok := backend.From(ctx); ok {
		return b.Jobs(o.Namespace), b.Replies
	}
	return confirm.Broker(o.connection("publish"), o.Namespace+"."+wire.ExchangeJobs, o.ConfirmWindow),
		replies.Queue(o.connection("replies"), o.Namespace, o.User)
}

// Close waits until the broker has answered for every job that was published, or ctx ends, and then ends
// the connections. Whoever waits for a result gets [ErrClosed]. When ctx ends first the error is
// [ErrUnknown], and what is left ends by itself within seconds. A second call returns what the first did.
func (c *Client) Close(ctx context.Context) error {
	c.close.Do(func() {
		c.replies.Abandon()
		c.credits.close(ctx)
		drained := c.publisher.Close(ctx)
		c.closed = errors.Join(drained, c.replies.Close(ctx), c.stored.close(ctx))
	})
	return c.closed
}

// Stats are counts since Open.
type Stats struct {
	// Reconnects is how many connections have been made in place of lost ones.
	Reconnects int
	// AwaitedReplies is how many replies are awaited now.
	AwaitedReplies int
	// DroppedReplies is how many replies came that nobody waited for: late, duplicate or stray.
	DroppedReplies uint64
}

// Stats returns the present counts.
func (c *Client) Stats() Stats {
	return Stats{
		Reconnects:     max(0, c.publisher.Connects()-1) + max(0, c.replies.Connects()-1),
		AwaitedReplies: c.replies.Waiting(),
		DroppedReplies: c.replies.Dropped(),
	}
}
