package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// callers is how many goroutines enqueue at once; each waits for its own confirm.
const callers = 256

// addArgs are the arguments of bench.add: a small job, as a service would send it.
type addArgs struct {
	A int `msgpack:"a"`
	B int `msgpack:"b"`
}

// each calls work for 0 to count-1 from several goroutines and returns the first error.
func each(ctx context.Context, count int, work func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < count && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := work(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// fill enqueues jobs and does not wait for their results.
func fill(ctx context.Context, client *penstock.Client, s settings) (map[string]float64, error) {
	started := time.Now()
	var notBefore time.Time
	if s.delay > 0 {
		notBefore = started.Add(s.delay)
	}
	err := each(ctx, s.count, func(i int) error {
		job := penstock.Job{Task: s.task, Args: addArgs{i, 1}, Result: s.result, NoDeadline: true, NotBefore: notBefore}
		_, err := client.Enqueue(ctx, job)
		return err
	})
	return map[string]float64{"per_s": float64(s.count) / time.Since(started).Seconds()}, err
}

// items reads what one job yields, and checks that each item comes once and in its place.
func items(ctx context.Context, client *penstock.Client, s settings) (map[string]float64, error) {
	job := penstock.Job{Task: "bench.count", Args: map[string]any{"n": s.count}, Result: s.result, NoDeadline: true}
	handle, err := client.Enqueue(ctx, job)
	if err != nil {
		return nil, err
	}
	started, next := time.Now(), 0
	for item, err := range handle.Stream(ctx) {
		if err != nil {
			return nil, err
		}
		var n int
		if err := item.Decode(&n); err != nil {
			return nil, err
		}
		if n != next {
			return nil, fmt.Errorf("job %s: item %d is %d", handle.ID(), next, n)
		}
		next++
	}
	if next != s.count {
		return nil, fmt.Errorf("job %s: %d items of %d", handle.ID(), next, s.count)
	}
	return map[string]float64{"per_s": float64(s.count) / time.Since(started).Seconds()}, nil
}

// long sends 8 MB there and back, one job at a time, beside copies of the same bytes.
func long(ctx context.Context, client *penstock.Client, s settings) (map[string]float64, error) {
	data := make([]byte, 8_000_000)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	took := make([]time.Duration, s.count)
	for i := range took {
		began := time.Now()
		handle, err := client.Enqueue(ctx, penstock.Job{Task: "bench.echo", Args: map[string]any{"data": data}})
		if err != nil {
			return nil, err
		}
		var back []byte
		if err := handle.Wait(ctx, &back); err != nil {
			return nil, err
		}
		if !bytes.Equal(back, data) {
			return nil, fmt.Errorf("job %s: something else came back", handle.ID())
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	began := time.Now()
	for range s.count {
		data = bytes.Clone(data)
	}
	copied := time.Since(began) / time.Duration(s.count)
	return map[string]float64{
		"p50_ms": took[len(took)/2].Seconds() * 1000, "copies": took[len(took)/2].Seconds() / copied.Seconds(),
	}, nil
}

// through enqueues jobs and checks that each one has the one result that belongs to it.
func through(ctx context.Context, client *penstock.Client, s settings) (map[string]float64, error) {
	started := time.Now()
	handles := make([]*penstock.Handle, s.count)
	err := each(ctx, s.count, func(i int) (err error) {
		job := penstock.Job{Task: s.task, Args: addArgs{i, 1}, Result: s.result, NoDeadline: true}
		handles[i], err = client.Enqueue(ctx, job)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	enqueued := time.Since(started)
	fmt.Println("enqueued") // whoever harms the worker waits for this line
	err = each(ctx, s.count, func(i int) error {
		var sum int
		if err := handles[i].Wait(ctx, &sum); err != nil {
			return fmt.Errorf("job %d (%s): %w", i, handles[i].ID(), err)
		}
		if sum != i+1 {
			return fmt.Errorf("job %d (%s): result %d is not %d", i, handles[i].ID(), sum, i+1)
		}
		return nil
	})
	return map[string]float64{
		"jobs":           float64(s.count),
		"enqueued_per_s": float64(s.count) / enqueued.Seconds(),
		"per_s":          float64(s.count) / time.Since(started).Seconds(),
	}, err
}
