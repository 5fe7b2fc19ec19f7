package penstocktest

import (
	"context"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// Yield sends an item of the job to whoever reads them, from a handler, to which ctx belongs. As with a worker it waits
// while the reader is too far behind, and does nothing where nobody reads. What cannot travel fails the test.
//
// The error is that of ctx when it has ended; the handler should return it.
func Yield(ctx context.Context, item any) error { panic("to be done") }

// Report says how far the job is, from a handler, to which ctx belongs. It does not wait.
func Report(ctx context.Context, progress penstock.Progress) { panic("to be done") }
