package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

// connected is the penstock client and the store of results, which it reads but does not own.
type connected struct {
	*penstock.Client
	store *redisresults.Store
}

func open(ctx context.Context) (*connected, error) {
	store, err := redisresults.New(os.Getenv("PENSTOCK_REDIS_URL"))
	if err != nil {
		return nil, err
	}
	client, err := penstock.Open(ctx, penstock.Options{URL: os.Getenv("PENSTOCK_AMQP_URL"), Results: store})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &connected{client, store}, nil
}

func (c *connected) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(c.Client.Close(ctx), c.store.Close())
}

// demo is what the acts share.
type demo struct {
	screen *screen
	client *connected
	tally  *tally
}

// call enqueues a job, waits for its result and counts it.
func (d *demo) call(ctx context.Context, task string, args, out any) error {
	began := time.Now()
	handle, err := d.client.Enqueue(ctx, penstock.Job{Task: task, Args: args})
	if err != nil {
		return err
	}
	err = handle.Wait(ctx, out)
	d.tally.add(task, handle.ID(), time.Since(began), err)
	return err
}

// onlyOneResultEach checks the promise that every accepted job ends in exactly one result: each call above
// has had its own, and nothing else came over the reply queue.
func (d *demo) onlyOneResultEach() error {
	stats := d.client.Stats()
	if stats.DroppedReplies > 0 || stats.AwaitedReplies > 0 {
		return fmt.Errorf("%d replies too many and %d too few", stats.DroppedReplies, stats.AwaitedReplies)
	}
	return d.tally.check()
}
