package penstocktest

import (
	"context"
	"errors"
	"strings"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/double"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Yield sends an item of the job to whoever reads them. It is for handlers: ctx is the one that [Handle] gave them. As with
// a worker it waits while the reader is too far behind, and sends nothing where nobody reads.
//
// The error is that of ctx when it has ended, or a [*penstock.RemoteError] when the item cannot travel. The handler
// should return it.
func Yield(ctx context.Context, item any) error {
	err := double.Yield(ctx, item)
	var problem *wire.Error
	if !errors.As(err, &problem) {
		return err
	}
	code := penstock.CodeResultInvalid
	if problem.Code == wire.CodeTooLarge {
		code = penstock.CodeResultTooLarge
	}
	return &penstock.RemoteError{Code: code, Message: problem.Message}
}

// Report says how far the job is; as Yield it is for handlers. It does not wait. A fraction below 0 counts as 0, one above
// 1 as 1; of the text the first 256 bytes count. Outside of a handler it does nothing.
func Report(ctx context.Context, progress penstock.Progress) {
	text := progress.Text
	if len(text) > wire.MaxProgressTextBytes {
		text = strings.ToValidUTF8(text[:wire.MaxProgressTextBytes], "")
	}
	double.Report(ctx, wire.Progress{Fraction: min(max(progress.Fraction, 0), 1), Text: text}) // what is left can travel
}
