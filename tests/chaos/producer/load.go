package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

var modes = map[string]penstock.ResultMode{
	"reply": penstock.Reply, "stored": penstock.Stored, "reply+stored": penstock.ReplyAndStored,
}

// cancelPatience is how long Cancel may wait for a connection.
const cancelPatience = 10 * time.Second

// load enqueues and awaits.
type load struct {
	client   *penstock.Client
	journal  *journal
	settings settings
	awaited  sync.WaitGroup
	refusals atomic.Int64    // answers of the broker that a queue is full
	hope     context.Context // ends when replies that were lost with their connection are no longer waited for
}

// answer is what the tasks return.
type answer struct {
	Nonce string `msgpack:"nonce"`
}

type arguments struct {
	N int `msgpack:"n"`
}

// run returns when every job's end is in the journal, or ctx has ended.
func (l *load) run(ctx context.Context, jobs []planned, past history) {
	fresh := make([]planned, 0, len(jobs))
	for _, job := range jobs {
		switch past[job.ID] {
		case "":
			fresh = append(fresh, job)
		case "accepted":
			l.resume(ctx, job)
		}
	}
	var next atomic.Int64
	var callers sync.WaitGroup
	began := time.Now()
	for range l.settings.callers {
		callers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(fresh)); i = next.Add(1) - 1 {
				due := began.Add(time.Duration(float64(i) / l.settings.rate * float64(time.Second)))
				select {
				case <-time.After(time.Until(due)):
					l.enqueue(ctx, fresh[i])
				case <-ctx.Done():
					return
				}
			}
		})
	}
	callers.Wait()
	l.journal.write(line{Event: "enqueued"})
	l.awaited.Wait()
}

// resume awaits the stored result of a job that an earlier life of this producer enqueued. A reply went to that
// one's queue, which died with it.
func (l *load) resume(ctx context.Context, job planned) {
	if job.CancelMS != nil {
		l.awaited.Go(func() { l.cancel(ctx, job.ID, 0) })
	}
	if job.Mode == "reply" {
		l.journal.write(line{Event: "gone", ID: job.ID, Why: "the producer was killed"})
		return
	}
	l.awaited.Go(func() {
		var got answer
		err := l.client.Result(ctx, job.ID, &got)
		l.note(job.ID, err, got)
	})
}

func (l *load) enqueue(ctx context.Context, job planned) {
	wanted := penstock.Job{
		Task: job.Task, ID: job.ID, Args: arguments{job.N}, Result: modes[job.Mode], NoDeadline: job.DeadlineMS == nil,
	}
	now := time.Now()
	if job.DeadlineMS != nil {
		wanted.Deadline = now.Add(time.Duration(*job.DeadlineMS) * time.Millisecond)
	}
	if job.DelayMS > 0 {
		wanted.NotBefore = now.Add(time.Duration(job.DelayMS) * time.Millisecond)
	}
	l.journal.write(line{Event: "begin", ID: job.ID})
	patience, cancel := context.WithTimeout(ctx, time.Duration(job.PatienceMS)*time.Millisecond)
	defer cancel()
	handle, err := l.insist(patience, wanted)
	switch {
	case err == nil:
		l.journal.write(line{Event: "accepted", ID: job.ID})
		l.awaited.Go(func() { l.await(ctx, handle) })
		if job.CancelMS != nil {
			l.awaited.Go(func() { l.cancel(ctx, job.ID, time.Duration(*job.CancelMS)*time.Millisecond) })
		}
	case errors.Is(err, penstock.ErrUnknown):
		l.journal.write(line{Event: "unknown", ID: job.ID, Why: err.Error()})
	default:
		l.journal.write(line{Event: "refused", ID: job.ID, Why: err.Error()})
	}
}

// cancel tells the workers to cancel a job, once: that nobody has heard it, or perhaps, is no reason to do it again.
func (l *load) cancel(ctx context.Context, id string, after time.Duration) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	l.journal.write(line{Event: "cancel", ID: id})
	patience, end := context.WithTimeout(ctx, cancelPatience)
	defer end()
	_ = l.client.Cancel(patience, id) // whether it was heard, the result tells
}

// insist enqueues a job until the queue has room for it, as long as its caller has patience.
func (l *load) insist(ctx context.Context, job penstock.Job) (*penstock.Handle, error) {
	for {
		handle, err := l.client.Enqueue(ctx, job)
		if !errors.Is(err, penstock.ErrRefused) || errors.Is(err, penstock.ErrUnknown) {
			return handle, err
		}
		l.refusals.Add(1)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (l *load) await(ctx context.Context, handle *penstock.Handle) {
	// With a deadline Wait hopes that a lost reply is sent again, without one it says at once that it is lost.
	hopeful, end := context.WithTimeout(ctx, l.settings.bound)
	defer context.AfterFunc(l.hope, end)()
	defer end()
	var got answer
	err := handle.Wait(hopeful, &got)
	if errors.Is(err, penstock.ErrNoResult) && ctx.Err() == nil {
		err = handle.Wait(ctx, &got)
	}
	l.note(handle.ID(), err, got)
}

// note writes down how the waiting ended.
func (l *load) note(id string, err error, got answer) {
	var remote *penstock.RemoteError
	switch {
	case err == nil:
		l.journal.write(line{Event: "result", ID: id, OK: true, Nonce: got.Nonce})
	case errors.As(err, &remote):
		l.journal.write(line{
			Event: "result", ID: id, Code: remote.Code, Message: remote.Message, Attempt: remote.Attempt, Worker: remote.Worker,
		})
	case errors.Is(err, penstock.ErrReplyLost):
		l.journal.write(line{Event: "gone", ID: id, Why: err.Error()})
	default:
		l.journal.write(line{Event: "missing", ID: id, Why: err.Error()})
	}
}
