package main

import (
	"context"
	"fmt"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// result prints the stored result of a job, and waits for it if need be.
func result(ctx context.Context, env environment) error {
	c := newCommon(env, "result ID [options]")
	id, err := c.parse("ID")
	if err != nil {
		return err
	}
	if !wire.ValidJobID(id) {
		return usageError(fmt.Sprintf("%q is no job's ID; it is a UUIDv7 in lower case", id))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	store, err := c.store(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	var value any
	if err := penstock.FetchResult(ctx, store, c.namespace, id, &value); err != nil {
		return err
	}
	return printJSON(env.stdout, value)
}
