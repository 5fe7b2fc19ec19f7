package penstock

import (
	"cmp"
	"context"
	"fmt"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Result waits until the stored result of a job is there and decodes it into what out points to, as
// [Handle.Wait] does. Any process may ask that knows the job's ID; a job that is not known, or whose result
// has expired, looks like one that has not ended, so give ctx a deadline.
//
// The store is asked after 5 ms, 10 ms and so on up to every 250 ms.
func (c *Client) Result(ctx context.Context, id string, out any) error {
	return c.stored.result(ctx, id, c.options.longest(), out)
}

// FetchResult is [Client.Result] for a process that has no client, and so no connection to RabbitMQ. An empty
// namespace means "penstock".
func FetchResult(ctx context.Context, store ResultStore, namespace, id string, out any) error {
	s := newStored(store, cmp.Or(namespace, wire.Namespace), "")
	defer s.cancel()
	return s.result(ctx, id, wire.HardMaxBlobBytes, out)
}

func (s *stored) result(ctx context.Context, id string, maxBytes int, out any) error {
	if err := checkID(id); err != nil {
		return err
	}
	body, err := s.await(ctx, id, false)
	if err != nil {
		return ofJob(id, err)
	}
	result, err := readResult(id, body, maxBytes)
	if err != nil {
		return ofJob(id, err)
	}
	return deliver(result, out)
}

func checkID(id string) error {
	if wire.ValidJobID(id) {
		return nil
	}
	return &InvalidJobError{Code: CodeBadEnvelope, Message: fmt.Sprintf("%q is no job's ID; it is a UUIDv7 in lower case", id)}
}

// readResult checks the body and that it belongs to the job.
func readResult(id string, body []byte, maxBytes int) (*wire.Result, error) {
	result, err := wire.DecodeResult(body, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadResult, err)
	}
	if result.JobID != id {
		return nil, fmt.Errorf("%w: it is the result of job %s", ErrBadResult, result.JobID)
	}
	return result, nil
}

// deliver decodes the value, or returns the failure.
func deliver(r *wire.Result, out any) error {
	if f := r.Failure; f != nil {
		return &RemoteError{
			Code: f.Code, Message: f.Message, Attempt: int(r.Attempt), Retryable: f.Retryable, ExcType: f.ExcType,
			Details: f.Details, JobID: r.JobID, Task: r.Task, Worker: r.Worker,
		}
	}
	if err := r.Value.(wire.Raw).Decode(out); err != nil {
		return misfit("job "+r.JobID, out, err)
	}
	return nil
}

// misfit says that a value could not be decoded into out.
func misfit(what string, out any, err error) error {
	if _, typed := out.(wire.Decodable); typed {
		return fmt.Errorf("%s: %w its contract: %w", what, ErrResultType, err)
	}
	return fmt.Errorf("%s: %w %T: %w", what, ErrResultType, out, err)
}
