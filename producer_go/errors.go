package penstock

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

// What can become of an enqueue. Every error of [Client.Enqueue] but an [*InvalidJobError] is an
// [*EnqueueError], and errors.Is tells which of these it is. Only with ErrUnknown may the job have been
// accepted.
var (
	// ErrUnroutable is returned when no queue takes the task: no worker has ever been started for it, and
	// its queue has not been declared otherwise. By [Client.Cancel] when no worker is there to hear the command.
	ErrUnroutable = fault.ErrUnroutable

	// ErrRefused is returned when the broker has answered that it does not take the job, for instance
	// because its queue is full.
	ErrRefused = fault.ErrRefused

	// ErrUnknown is returned when the broker has not answered: the job may or may not have been accepted.
	// Enqueue it again with the ID of the [EnqueueError], and it is recognised as the same job.
	ErrUnknown = fault.ErrUnknown

	// ErrTooLarge is returned when the body is longer than [Options].MaxBodyBytes and there is no store for
	// long bodies, when it is longer than MaxBlobBytes, or than the broker allows.
	ErrTooLarge = fault.ErrTooLarge

	// ErrTopology is returned when penstock's exchanges do not exist on the broker.
	ErrTopology = fault.ErrTopology

	// ErrDenied is returned when the broker or the result store refuses the user, its password or the
	// permission for what was asked.
	ErrDenied = fault.ErrDenied

	// ErrUnavailable is returned when the broker or the result store could not be reached before the
	// context ended. The job was not sent.
	ErrUnavailable = fault.ErrUnavailable

	// ErrClosed is returned when the client is closed, or was closed while something waited.
	ErrClosed = fault.ErrClosed
)

// ErrOptions is returned by Open when the options cannot be used; the text names each that is wrong.
var ErrOptions = errors.New("invalid penstock.Options")

// Why there is no result. Where nothing else is said, the job goes on regardless.
var (
	// ErrNoResult is returned when the context ended before there was a result, beside the context's error;
	// the text then says when the job was accepted. Also by Wait for a job that was enqueued with NoResult.
	ErrNoResult = errors.New("no result")

	// ErrReplyLost is returned by Wait when the connection was lost over which the reply would have come. The
	// reply may have been lost with it; if the job had not ended yet, its reply comes over the next
	// connection. So a Wait whose context has a deadline waits on, and returns this beside ErrNoResult; one
	// whose context has none gets it at once. With ReplyAndStored the result is read from the store instead.
	ErrReplyLost = fault.ErrReplyLost

	// ErrNoStore is returned when a stored result is asked for and [Options].Results is nil.
	ErrNoStore = errors.New("no result store; set Options.Results")

	// ErrBadResult is returned when what arrived as the result is none: the bytes break the wire's rules.
	ErrBadResult = errors.New("not a result of penstock")

	// ErrResultType is returned when the job went well but its result, or an item, does not fit what out points to.
	ErrResultType = errors.New("the result does not fit")
)

// What can become of a stream, besides the errors above. The job goes on regardless.
var (
	// ErrRestarted comes in a loop of [Handle.Stream] that has handed items out when the job has begun anew, for
	// instance because its worker was lost or its first attempt failed. What was handed out is void. The loop may go
	// on, and gets the items of the new start from the first.
	ErrRestarted = errors.New("the job has begun anew; its items follow from the first")

	// ErrItemsLost ends a loop of [Handle.Stream] when items are missing: they were lost with a connection, were
	// handed out to an earlier loop, were dropped because nobody read them, or have expired in the store; or when those
	// that came are not of the start that ended the job. The result is not affected: Wait returns it.
	ErrItemsLost = errors.New("items were lost")

	// ErrStreaming ends a loop of [Handle.Stream] at once while another one runs.
	ErrStreaming = errors.New("another loop reads the items of this job")
)

// EnqueueError says that a job was not accepted or, with [ErrUnknown], that this is not known.
type EnqueueError struct {
	JobID string
	Task  string
	Err   error // one or more of the errors above
}

func (e *EnqueueError) Error() string {
	return fmt.Sprintf("job %s: %v; %s", e.JobID, e.Err, e.remedy())
}

func (e *EnqueueError) Unwrap() error { return e.Err }

// remedy says what became of the job and what to do.
func (e *EnqueueError) remedy() string {
	queue, _, _ := strings.Cut(e.Task, ".")
	switch {
	case errors.Is(e.Err, ErrUnknown):
		return "it may have been accepted, and can be enqueued again with the same ID"
	case errors.Is(e.Err, ErrUnroutable):
		return fmt.Sprintf("it was not accepted; start a worker for the queue %q or run: penstock topology apply %s", queue, queue)
	case errors.Is(e.Err, ErrRefused):
		return fmt.Sprintf("it was not accepted; the queue %q is full or has no leader", queue)
	case errors.Is(e.Err, ErrUnavailable):
		return "it was not sent"
	}
	return "it was not accepted"
}

// CancelError says that the command to cancel a job was not heard or, with [ErrUnknown], that this is not known.
type CancelError struct {
	JobID string
	Err   error // one or more of the errors above, or an [*InvalidJobError]
}

func (e *CancelError) Error() string {
	return fmt.Sprintf("job %s was not cancelled: %v; %s", e.JobID, e.Err, e.remedy())
}

// remedy says what became of the command and what to do.
func (e *CancelError) remedy() string {
	switch {
	case errors.Is(e.Err, ErrUnknown):
		return "the command may have been heard, and can be given again"
	case errors.Is(e.Err, ErrUnroutable):
		return "no worker is there to hear the command"
	}
	return "the command was not sent"
}

func (e *CancelError) Unwrap() error { return e.Err }

// InvalidJobError says that a job cannot be sent as it is. Code is [CodeInvalidArgs] when the arguments are
// the reason, and [CodeBadEnvelope] otherwise.
type InvalidJobError struct {
	Code    string
	Message string
	Err     error // what says more, for instance a [typed.InvalidError]; may be nil
}

func (e *InvalidJobError) Error() string { return e.Code + ": " + e.Message }

func (e *InvalidJobError) Unwrap() error { return e.Err }

// RemoteError is the error result of a job: the worker's, not the connection's.
//
// errors.Is compares by code, so a template tells one kind of failure:
//
//	if errors.Is(err, &penstock.RemoteError{Code: penstock.CodeInvalidArgs}) { ... }
type RemoteError struct {
	Code      string         // one of the Code constants, or one of the task's own; there may be new ones
	Message   string         // one sentence for people
	Attempt   int            // the attempt that ended the job; 0 when it was refused before it was tried
	Retryable bool           // whether the same job might succeed another time
	ExcType   string         // the exception's class, for information; "" when there was none
	Details   map[string]any // facts for programs: string, int64, float64 and bool; may be nil
	JobID     string
	Task      string
	Worker    string
}

// Spent is what a job had spent when it ended.
type Spent struct {
	Queue    time.Duration // waiting for a free slot
	Run      time.Duration // in attempts, the last one included
	Backoff  time.Duration // waiting between attempts
	Attempts int           // started
}

// Spent says where the job's time went. Workers tell it of jobs that a deadline has ended, as with
// [CodeExpired]; of others ok is false. The error's text has it in words.
func (e *RemoteError) Spent() (s Spent, ok bool) {
	ok = true
	number := func(key string) int64 {
		n, isInt := e.Details[key].(int64)
		ok = ok && isInt
		return n
	}
	s = Spent{
		Queue:    time.Duration(number("queue_ms")) * time.Millisecond,
		Run:      time.Duration(number("run_ms")) * time.Millisecond,
		Backoff:  time.Duration(number("backoff_ms")) * time.Millisecond,
		Attempts: int(number("attempts")),
	}
	if !ok {
		return Spent{}, false
	}
	return s, true
}

func (e *RemoteError) Error() string {
	said := e.Code
	if e.Message != "" {
		said += ": " + e.Message
	}
	switch {
	case e.JobID == "" && e.Task == "":
		return said
	case e.JobID == "": // not the error of a job, but what errors.Is looks for
		return fmt.Sprintf("%s (task %s)", said, e.Task)
	case e.Attempt == 0:
		return fmt.Sprintf("%s (job %s, task %s, failed before it was tried)", said, e.JobID, e.Task)
	}
	return fmt.Sprintf("%s (job %s, task %s, failed at attempt %d)", said, e.JobID, e.Task, e.Attempt)
}

// Is tells whether target is a RemoteError with the same code and, where target has them, the same task and
// job.
func (e *RemoteError) Is(target error) bool {
	t, ok := target.(*RemoteError)
	return ok && t.Code == e.Code &&
		(t.Task == "" || t.Task == e.Task) && (t.JobID == "" || t.JobID == e.JobID)
}

// ofJob says which job an error is about, where that is not said.
func ofJob(id string, err error) error {
	var invalid *InvalidJobError
	var remote *RemoteError
	if errors.As(err, &invalid) || errors.As(err, &remote) {
		return err
	}
	return fmt.Errorf("job %s: %w", id, err)
}
