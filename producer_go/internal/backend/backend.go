// Package backend lets package penstocktest put something else in the place of RabbitMQ.
package backend

import (
	"context"

	"github.com/penstock-mq/penstock/producer_go/internal/confirm"
	"github.com/penstock-mq/penstock/producer_go/internal/replies"
)

// Backend is what a client speaks to.
type Backend interface {
	// Jobs returns what carries the jobs of a client in a namespace.
	Jobs(namespace string) confirm.Transport

	// Replies returns where a client's replies come from.
	Replies(router *replies.Router) replies.Source
}

type key struct{}

// With returns a context whose clients speak to b. It travels in the context of Open so that no name is
// exported for it: only this module can do it.
func With(ctx context.Context, b Backend) context.Context { return context.WithValue(ctx, key{}, b) }

// From returns what With was given; false where nothing else than RabbitMQ is meant.
func From(ctx context.Context) (Backend, bool) {
	b, ok := ctx.Value(key{}).(Backend)
	return b, ok
}
