package penstock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// ResultMode says where a job's result goes.
type ResultMode uint8

const (
	// Reply sends the result to this client over its reply queue. It is lost when the client goes away, or
	// its connection does.
	Reply ResultMode = iota
	// Stored keeps the result in Redis, where any process that knows the job's ID finds it.
	Stored
	// ReplyAndStored does both.
	ReplyAndStored
	// NoResult drops the result.
	NoResult
)

var modeNames = [...]string{wire.ResultReply, wire.ResultStored, wire.ResultReplyAndStored, wire.ResultNone}

// String returns the mode's name on the wire.
func (m ResultMode) String() string {
	if int(m) >= len(modeNames) {
		return fmt.Sprintf("ResultMode(%d)", m)
	}
	return modeNames[m]
}

func (m ResultMode) replies() bool { return m == Reply || m == ReplyAndStored }

// Job is what to do. Only Task is required.
type Job struct {
	// Task is the name of the task, <queue>.<function>.
	Task string

	// Args are the arguments by name: a struct or a map with string keys. Nil means none.
	//
	// A struct's fields are named by `msgpack:"name"` tags, or else by their Go names in snake_case. Nil
	// slices and maps arrive empty; []byte arrives as bytes, time.Time as a timestamp. What has no plain
	// meaning on the wire is refused by name: errors, json.Number, json.RawMessage, math/big,
	// time.Duration, complex numbers, channels, functions, maps with other keys.
	Args any

	// Version is the version of the task's contract. Defaults to 1.
	Version int

	// Contract is the contract hash of which the caller was generated, for diagnosis: the first 16 hex digits
	// of the SHA-256 of the contract's file. Generated code sets it. Defaults to none.
	Contract string

	// ID is the job's identity, a UUIDv7 in lower case, under which a repetition is recognised. Defaults to
	// a new one; set it to repeat a job whose outcome is not known: workers then look for a stored result
	// before they run it.
	ID string

	// Result says where the result goes. Defaults to Reply.
	Result ResultMode

	// NotBefore is the earliest start. The zero time means at once.
	NotBefore time.Time

	// Deadline is the moment after which the job is not started and not retried. The zero time means shortly
	// before the context given to Enqueue ends, if it has a deadline, for whoever stops waiting no longer
	// needs the job: earlier by a twentieth of the time left, at most 100 ms, so that the answer of a job
	// that is late still finds its caller. NoDeadline lets the job outlive the context.
	Deadline   time.Time
	NoDeadline bool

	// Meta are the caller's own notes, visible to the task.
	Meta map[string]string
}

// complete returns the job with its defaults filled in, or an *InvalidJobError with all its problems.
func (j Job) complete(ctx context.Context, now time.Time) (Job, error) {
	if j.Version == 0 {
		j.Version = 1
	}
	var problems []string
	if j.ID != "" && !wire.ValidJobID(j.ID) {
		problems = append(problems, fmt.Sprintf("ID %q is no UUIDv7 in lower case", j.ID))
	} else if j.ID == "" {
		j.ID = wire.NewID()
	}
	if !wire.ValidTask(j.Task) {
		problems = append(problems, fmt.Sprintf("Task %q is no task's name; it is <queue>.<function>, of letters, digits, _ and -, "+
			"at most %d bytes", j.Task, wire.MaxTaskBytes))
	}
	if j.Version < 1 || j.Version > math.MaxInt32 {
		problems = append(problems, fmt.Sprintf("Version %d is not in 1 to 2^31-1", j.Version))
	}
	if int(j.Result) >= len(modeNames) {
		problems = append(problems, fmt.Sprintf("Result %d is none of Reply, Stored, ReplyAndStored and NoResult", j.Result))
	}
	for key, value := range j.Meta {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			problems = append(problems, fmt.Sprintf("Meta %q is not valid UTF-8", key))
		}
	}
	problems = append(problems, j.setDeadline(ctx, now)...)
	if len(problems) > 0 {
		return j, &InvalidJobError{Code: CodeBadEnvelope, Message: strings.Join(problems, "; ")}
	}
	return j, nil
}

// setDeadline applies the rules of the fields about time and returns what is wrong with them.
func (j *Job) setDeadline(ctx context.Context, now time.Time) (problems []string) {
	if j.NoDeadline && !j.Deadline.IsZero() {
		return []string{"Deadline and NoDeadline are both set"}
	}
	inherited, ok := ctx.Deadline()
	fromContext := ok && j.Deadline.IsZero() && !j.NoDeadline
	if fromContext {
		j.Deadline = inherited.Add(-answerTime(inherited.Sub(now)))
	}
	for i, t := range []time.Time{j.NotBefore, j.Deadline} {
		if !t.IsZero() && (t.UnixMilli() <= 0 || t.Year() > 9999) {
			problems = append(problems, fmt.Sprintf("%s %s is not in the years 1970 to 9999", [...]string{"NotBefore", "Deadline"}[i], t))
		}
	}
	if j.Deadline.IsZero() || j.NotBefore.Before(j.Deadline) {
		return problems
	}
	if fromContext {
		return append(problems, "NotBefore lies beyond the context's deadline; set Deadline or NoDeadline")
	}
	return append(problems, "NotBefore lies beyond Deadline")
}

// answerTime is how much earlier than its caller's context a job ends that has this much time left.
func answerTime(left time.Duration) time.Duration {
	return max(0, min(left/20, 100*time.Millisecond))
}

// encode returns the job's body. Its errors are *InvalidJobError and ErrTooLarge.
func (j Job) encode(options Options) ([]byte, error) {
	envelope := &wire.Job{
		ID: j.ID, Task: j.Task, Version: int64(j.Version), Args: j.Args, Meta: j.Meta, CreatedAt: time.Now().UnixMilli(),
	}
	if !j.Deadline.IsZero() {
		deadline := j.Deadline.UnixMilli()
		envelope.Deadline = &deadline
	}
	body, err := wire.EncodeJob(envelope, options.longest())
	if problem := (*wire.Error)(nil); errors.As(err, &problem) {
		if problem.Code == wire.CodeTooLarge {
			problem := fmt.Errorf("%w: %s%s", ErrTooLarge, problem.Message, options.roomHint())
			return nil, &EnqueueError{JobID: j.ID, Task: j.Task, Err: problem}
		}
		return nil, &InvalidJobError{Code: problem.Code, Message: problem.Message}
	}
	return body, err
}
