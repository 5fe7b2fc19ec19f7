package typed

import (
	"context"
	"fmt"
	"iter"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Encoder writes values without reflection; see [wire.Writer].
type Encoder = wire.Writer

// Decoder reads values without reflection; see [wire.Reader].
type Decoder = wire.Reader

// Keys returns the keys of a map in the order in which they are written.
func Keys[V any](m map[string]V) []string { return wire.Keys(m) }

// Options say how a typed job is enqueued; the zero value, or nil, is right for most. The fields are those of
// [penstock.Job].
type Options struct {
	ID         string
	Result     penstock.ResultMode
	NotBefore  time.Time
	Deadline   time.Time
	NoDeadline bool
	Meta       map[string]string
}

// Task is a task with its types. Generated code makes it.
type Task[A, R any] struct {
	Name     string
	Version  int
	Contract string // the contract hash

	Args   Codec[A]
	Result Codec[R]
}

// Codec is how a type is checked, written and read.
type Codec[T any] struct {
	Validate func(*T) *InvalidError
	Encode   func(*T, *Encoder)
	Decode   func(*T, *Decoder)
}

// Call runs a job and returns its result.
//
// Arguments that break the contract give a [*penstock.InvalidJobError] that wraps an [*InvalidError], before
// anything is sent. Other errors are those of [penstock.Client.Enqueue] and [penstock.Handle.Wait].
func (t *Task[A, R]) Call(ctx context.Context, client *penstock.Client, args A) (R, error) {
	handle, err := t.Enqueue(ctx, client, args, nil)
	if err != nil {
		var none R
		return none, err
	}
	return handle.Wait(ctx)
}

// Enqueue hands a job to the broker; nil options are the zero value. Errors are as for Call.
func (t *Task[A, R]) Enqueue(ctx context.Context, client *penstock.Client, args A, options *Options) (*Handle[R], error) {
	if options == nil {
		options = &Options{}
	}
	if invalid := t.Args.Validate(&args); invalid != nil {
		return nil, &penstock.InvalidJobError{
			Code: penstock.CodeInvalidArgs, Message: fmt.Sprintf("%s: %v", t.Name, invalid), Err: invalid,
		}
	}
	handle, err := client.Enqueue(ctx, penstock.Job{
		Task: t.Name, Version: t.Version, Contract: t.Contract, Args: writes[A]{&args, t.Args.Encode},
		ID: options.ID, Result: options.Result, NotBefore: options.NotBefore,
		Deadline: options.Deadline, NoDeadline: options.NoDeadline, Meta: options.Meta,
	})
	if err != nil {
		return nil, err
	}
	return &Handle[R]{handle: handle, result: t.Result}, nil
}

// Stored returns the stored result of a job, as [penstock.Client.Result] does.
func (t *Task[A, R]) Stored(ctx context.Context, client *penstock.Client, id string) (R, error) {
	out := reads[R]{codec: t.Result, root: "result"}
	err := client.Result(ctx, id, &out)
	return out.value, err
}

// None is the result of a task that has none.
type None struct{}

// NoneCodec is how None travels: as nil.
var NoneCodec = Codec[None]{
	Validate: func(*None) *InvalidError { return nil },
	Encode:   func(_ *None, e *Encoder) { e.Nil() },
	Decode:   func(_ *None, d *Decoder) { d.Nil() },
}

// TupleOf reads the header of an array that has to have n elements, and tells whether it has.
func TupleOf(d *Decoder, n int) bool {
	switch got := d.Array(); {
	case got == n:
		return true
	case got > n:
		d.Fail("maxItems", "array", fmt.Sprintf("must have at most %d elements", n))
	case got >= 0:
		d.Fail("minItems", "array", fmt.Sprintf("must have at least %d elements", n))
	}
	return false
}

// Handle is a typed job that the broker has accepted.
type Handle[R any] struct {
	handle *penstock.Handle
	result Codec[R]
}

// ID returns the job's ID, by which any process finds a stored result.
func (h *Handle[R]) ID() string { return h.handle.ID() }

// Wait returns the result when the job has ended. Errors are those of [penstock.Handle.Wait]; a result that
// breaks the contract is a [penstock.ErrResultType].
func (h *Handle[R]) Wait(ctx context.Context) (R, error) {
	out := reads[R]{codec: h.result, root: "result"}
	err := h.handle.Wait(ctx, &out)
	return out.value, err
}

// Cancel tells the workers to cancel the job, as [penstock.Handle.Cancel] does.
func (h *Handle[R]) Cancel(ctx context.Context) error { return h.handle.Cancel(ctx) }

// Progress returns a loop over what the job says of its progress, as [penstock.Handle.Progress] does.
func (h *Handle[R]) Progress(ctx context.Context) iter.Seq2[penstock.Progress, error] {
	return h.handle.Progress(ctx)
}

// writes is a value that writes itself into a body.
type writes[T any] struct {
	value  *T
	encode func(*T, *Encoder)
}

func (w writes[T]) AppendTo(e *Encoder) { w.encode(w.value, e) }

// reads is a value that reads itself from a result or an item, whose unknown properties do not matter.
type reads[T any] struct {
	codec Codec[T]
	root  string // what the path to its faults begins with
	value T
}

func (r *reads[T]) DecodeFrom(d *Decoder) {
	d.Property(r.root)
	r.value = Decode(r.codec, d)
	d.Leave()
}

// Decode reads a value and checks it.
func Decode[T any](codec Codec[T], d *Decoder) (value T) {
	codec.Decode(&value, d)
	if d.Misfit() != nil {
		return *new(T)
	}
	if invalid := codec.Validate(&value); invalid != nil {
		d.FailAt(invalid.Path, invalid.Rule, invalid.Kind, invalid.Message)
		return *new(T)
	}
	return value
}

// Read reads and checks a value as the other side does that of a job's arguments: strictly.
func (c Codec[T]) Read(body []byte) (T, *InvalidError) {
	d := wire.NewReader(body, true)
	value := Decode(c, d)
	if m := d.Misfit(); m != nil {
		return value, &InvalidError{Path: m.Path, Rule: m.Rule, Kind: m.Kind, Message: m.Message}
	}
	return value, nil
}

// Value is a value that a job may have as arguments or result.
func (c Codec[T]) Value(value *T) wire.Appender { return writes[T]{value, c.Encode} }
