package penstocktest

import (
	"context"
	"fmt"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/typed"
)

// HandleTask is Handle for a task of a generated client: arguments and results pass its contract. Generated
// fakes call it.
func HandleTask[A, R any](d *Double, task *typed.Task[A, R], f func(ctx context.Context, args A) (R, error)) {
	d.t.Helper()
	d.broker.Handle(task.Name, func(ctx context.Context, job *wire.Job, attempt int) (any, *wire.Failure) {
		if job.Version != int64(task.Version) {
			text := fmt.Sprintf("%s: version %d was asked for, this fake has version %d", task.Name, job.Version, task.Version)
			return nil, &wire.Failure{Code: penstock.CodeUnsupportedTaskVersion, Message: text}
		}
		args, invalid := task.Args.Read(job.Args.(wire.Raw))
		if invalid != nil {
			return nil, invalidFailure(penstock.CodeInvalidArgs, task.Name, invalid)
		}
		value, err := f(context.WithValue(ctx, jobKey{}, newJob(job, nil, attempt)), args)
		if err != nil {
			return nil, d.failure(task.Name, err)
		}
		if invalid := task.Result.Validate(&value); invalid != nil {
			return nil, invalidFailure(penstock.CodeResultInvalid, task.Name, invalid.In("result"))
		}
		return task.Result.Value(&value), nil
	})
}

// HandleStream is HandleTask for a task that yields; f hands its items to yield, which says as [Yield] does when to stop.
// The job of an f that yields what breaks the contract ends as with a worker: with RESULT_INVALID, whatever f returns.
func HandleStream[A, I, R any](
	d *Double, task *typed.StreamTask[A, I, R], f func(ctx context.Context, args A, yield func(I) error) (R, error),
) {
	d.t.Helper()
	HandleTask(d, &task.Task, func(ctx context.Context, args A) (R, error) {
		var broken error
		value, err := f(ctx, args, func(item I) error {
			if invalid := task.Items.Validate(&item); invalid != nil {
				f := invalidFailure(penstock.CodeResultInvalid, task.Name, invalid.In("item"))
				broken = &penstock.RemoteError{Code: f.Code, Message: f.Message, Details: f.Details}
				return broken
			}
			return Yield(ctx, task.Items.Value(&item))
		})
		if broken != nil {
			err = broken
		}
		return value, err
	})
}

func invalidFailure(code, task string, e *typed.InvalidError) *wire.Failure {
	return &wire.Failure{
		Code: code, Message: fmt.Sprintf("%s: %v", task, e),
		Details: map[string]any{"path": e.Path, "rule": e.Rule, "kind": e.Kind},
	}
}
