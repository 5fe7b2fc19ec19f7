package penstock

import (
	"context"
	"iter"
)

// Progress says how far a job is. It decides nothing.
type Progress struct {
	// Fraction of the job that is done, 0 to 1.
	Fraction float64

	// Text for people; "" when the task has none.
	Text string
}

// Progress returns a loop over what the job says of its progress: always the newest; what the loop is too slow for is
// left out. It ends without an error when the job ends, whether that went well or not: [Handle.Wait] tells. Otherwise its last round
// has the error, one of those of Wait. Several loops may run at once.
//
// The loop reads no items. In mode [Reply] a task that yields some waits, after 64, for somebody who calls
// [Handle.Stream] or [Handle.Wait].
func (h *Handle) Progress(ctx context.Context) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) { panic("to be done") }
}

// Progress returns a loop over the progress of a job whose result is stored, as [Handle.Progress] does. Any process may ask that
// knows the job's ID. The store is asked as by [Client.Result].
func (c *Client) Progress(ctx context.Context, id string) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) { panic("to be done") }
}
