package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// enqueue hands one job in and prints its ID or, with --stream, its items or, with --wait, its result; with both, the
// result last.
func enqueue(ctx context.Context, env environment) error {
	c := newCommon(env, "enqueue TASK [options]")
	c.set.StringVar(&c.url, "url", "", "`URL` of RabbitMQ (default $PENSTOCK_AMQP_URL)")
	args := c.set.String("args", "{}", "the arguments, a `JSON` object; {\"$bin\": \"<base64>\"} stands for bytes")
	wait := c.set.Bool("wait", false, "wait for the result and print it; the job must end within the timeout")
	items := c.set.Bool("stream", false, "print the task's items as they come, one on a line; the job must end within the timeout")
	stored := c.set.Bool("stored", false, "keep the result in Redis")
	id := c.set.String("id", "", "`ID` of a job that is repeated because its outcome is not known (default a new one)")
	task, err := c.parse("TASK")
	if err != nil {
		return err
	}
	stays := *wait || *items
	job := penstock.Job{Task: task, ID: *id, Result: mode(stays, *stored), NoDeadline: !stays}
	if job.Args, err = parseObject(*args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	client, release, err := c.open(ctx, stays && *stored)
	if err != nil {
		return err
	}
	defer release()
	handle, err := client.Enqueue(ctx, job)
	if err != nil {
		return err
	}
	if !stays {
		fmt.Fprintln(env.stdout, handle.ID())
		return nil
	}
	if *items {
		if err := stream(ctx, env, handle); err != nil || !*wait {
			return err
		}
	}
	var value any
	if err := handle.Wait(ctx, &value); err != nil {
		return err
	}
	return printJSON(env.stdout, value)
}

func mode(wait, stored bool) penstock.ResultMode {
	switch {
	case stored:
		return penstock.Stored
	case wait:
		return penstock.Reply
	}
	return penstock.NoResult
}

// open returns a client, and what ends it.
func (c *common) open(ctx context.Context, withStore bool) (*penstock.Client, func(), error) {
	options := penstock.Options{URL: c.url, Namespace: c.namespace}
	if options.URL == "" {
		options.URL = c.env.getenv("PENSTOCK_AMQP_URL")
	}
	if options.URL == "" {
		return nil, nil, usageError("no RabbitMQ is named; use --url or set PENSTOCK_AMQP_URL to amqp://user:password@host:5672/")
	}
	closeStore := func() error { return nil }
	if withStore {
		store, err := c.store(ctx)
		if err != nil {
			return nil, nil, err
		}
		options.Results, closeStore = store, store.Close
	}
	client, err := penstock.Open(ctx, options)
	if err != nil {
		return nil, nil, errors.Join(err, closeStore())
	}
	return client, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		client.Close(ctx) // the job is confirmed or reported; nothing depends on a clean end
		closeStore()
	}, nil
}
