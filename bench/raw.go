package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// window is how many confirms the raw client leaves outstanding.
const window = 1024

var errNacked = errors.New("the broker refused a message")

// scratch opens a channel of the plain AMQP client and a quorum queue of its own; close removes both.
func scratch() (channel *amqp.Channel, queue string, closeAll func(), err error) {
	connection, err := amqp.Dial(os.Getenv("PENSTOCK_AMQP_URL"))
	if err != nil {
		return nil, "", nil, err
	}
	if channel, err = connection.Channel(); err != nil {
		return nil, "", nil, errors.Join(err, connection.Close())
	}
	queue = "penstock-bench-" + time.Now().Format("150405.000000")
	_, err = channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	return channel, queue, func() {
		_, _ = channel.QueueDelete(queue, false, false, false)
		_ = connection.Close()
	}, err
}

// enqueue measures publishing with confirms: the plain client with a window, and Enqueue from many callers.
func enqueue(ctx context.Context, client *penstock.Client, s settings) (map[string]float64, error) {
	raw, err := rawPublish(ctx, s.count)
	if err != nil {
		return nil, err
	}
	s.result = penstock.NoResult
	ours, err := fill(ctx, client, s)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"raw_per_s": raw, "enqueue_per_s": ours["per_s"], "ratio": ours["per_s"] / raw}, nil
}

func rawPublish(ctx context.Context, count int) (float64, error) {
	channel, queue, closeAll, err := scratch()
	if err != nil {
		return 0, err
	}
	defer closeAll()
	if err := channel.Confirm(false); err != nil {
		return 0, err
	}
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: make([]byte, 128)}
	var outstanding [window]*amqp.DeferredConfirmation
	started := time.Now()
	for i := range count + window {
		if confirmation := outstanding[i%window]; confirmation != nil && !confirmation.Wait() {
			return 0, errNacked
		}
		outstanding[i%window] = nil
		if i >= count {
			continue
		}
		outstanding[i%window], err = channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, message)
		if err != nil {
			return 0, err
		}
	}
	return float64(count) / time.Since(started).Seconds(), nil
}

// roundtrip measures one job at a time: an echo from Go to Go over a quorum queue, and a Python task.
func roundtrip(ctx context.Context, client *penstock.Client, s settings) (map[string]float64, error) {
	echo, err := rawEcho(ctx, s.count)
	if err != nil {
		return nil, err
	}
	var ours []time.Duration
	for i := range s.count {
		started := time.Now()
		handle, err := client.Enqueue(ctx, penstock.Job{Task: s.task, Args: addArgs{i, 1}})
		if err != nil {
			return nil, err
		}
		if err := handle.Wait(ctx, nil); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(started))
	}
	figures := map[string]float64{
		"echo_p50_ms": quantile(echo, 0.5), "echo_p99_ms": quantile(echo, 0.99),
		"penstock_p50_ms": quantile(ours, 0.5), "penstock_p99_ms": quantile(ours, 0.99),
	}
	figures["ratio"] = figures["penstock_p50_ms"] / figures["echo_p50_ms"]
	return figures, nil
}

// rawEcho sends a message through a quorum queue to a goroutine that answers over an exclusive queue.
func rawEcho(ctx context.Context, count int) ([]time.Duration, error) {
	channel, queue, closeAll, err := scratch()
	if err != nil {
		return nil, err
	}
	defer closeAll()
	replies, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return nil, err
	}
	requests, err := channel.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	answers, err := channel.ConsumeWithContext(ctx, replies.Name, "", true, true, false, false, nil)
	if err != nil {
		return nil, err
	}
	go func() {
		for request := range requests {
			_ = channel.PublishWithContext(ctx, "", request.ReplyTo, false, false, amqp.Publishing{Body: request.Body})
			_ = request.Ack(false)
		}
	}()
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, ReplyTo: replies.Name, Body: make([]byte, 128)}
	var took []time.Duration
	for range count {
		started := time.Now()
		if err := channel.PublishWithContext(ctx, "", queue, true, false, message); err != nil {
			return nil, err
		}
		select {
		case <-answers:
			took = append(took, time.Since(started))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return took, nil
}

// quantile is the q-quantile in milliseconds.
func quantile(took []time.Duration, q float64) float64 {
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))].Seconds() * 1000
}
