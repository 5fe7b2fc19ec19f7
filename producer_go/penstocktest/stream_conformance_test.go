package penstocktest_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/double"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

var allModes = []penstock.ResultMode{penstock.Reply, penstock.Stored, penstock.ReplyAndStored}

// count yields so many integers from 0 and returns how many; atomically counts what it has yielded.
func count(n int, yielded *atomic.Int64) double.Handler {
	return func(ctx context.Context, _ *wire.Job, _ int) (any, *wire.Failure) {
		for i := range n {
			if err := double.Yield(ctx, i); err != nil {
				return nil, &wire.Failure{Code: "YIELD", Message: err.Error()}
			}
			yielded.Add(1)
		}
		return n, nil
	}
}

func (s *suite) start(mode penstock.ResultMode) *penstock.Handle {
	s.t.Helper()
	handle, err := s.client().Enqueue(s.ctx, penstock.Job{Task: "q.f", Result: mode})
	s.mustNot(err)
	return handle
}

// gather runs a loop to its end and returns the items with the indexes 0, 1, 2 and so on, and the errors.
func (s *suite) gather(handle *penstock.Handle) (got []int, errs []error) {
	for item, err := range handle.Stream(s.ctx) {
		if err != nil {
			got, errs = nil, append(errs, err)
			continue
		}
		if item.Index() != len(got) {
			s.t.Fatalf("item %d came after %d others", item.Index(), len(got))
		}
		got = append(got, s.integer(item))
	}
	return got, errs
}

func (s *suite) integer(item penstock.Item) (n int) {
	s.t.Helper()
	s.mustNot(item.Decode(&n))
	return n
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// eventually waits for a condition.
func (s *suite) eventually(what string, condition func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not in 20 s: %s", what)
		}
	}
}

func (s *suite) itemsInOrder() {
	var yielded atomic.Int64
	s.handle("q.f", count(1000, &yielded))
	for _, mode := range allModes {
		handle := s.start(mode)
		if got, errs := s.gather(handle); len(errs) > 0 || !slices.Equal(got, numbers(1000)) {
			s.t.Fatalf("%s: got %v, %v", mode, got, errs)
		}
		var n int
		if err := handle.Wait(s.ctx, &n); err != nil || n != 1000 {
			s.t.Fatalf("%s: the result is %d, %v", mode, n, err)
		}
	}
}

func (s *suite) slowLoop() {
	var yielded atomic.Int64
	s.handle("q.f", count(500, &yielded))
	var got int64
	for item, err := range s.start(penstock.Reply).Stream(s.ctx) {
		s.mustNot(err)
		// It has room for a window beyond what was taken, and is told so when half of it is free again.
		room := min(500, got/(wire.StreamWindow/2)*(wire.StreamWindow/2)+wire.StreamWindow)
		s.eventually("the task uses its room", func() bool { return yielded.Load() >= room })
		if most := got + wire.StreamWindow; yielded.Load() > most {
			s.t.Fatalf("%d were yielded, and %d taken", yielded.Load(), got)
		}
		if s.integer(item) != int(got) {
			s.t.Fatalf("got %d, want %d", s.integer(item), got)
		}
		got++
	}
	if got != 500 {
		s.t.Fatalf("got %d", got)
	}
}

func (s *suite) loopLeft() {
	var yielded atomic.Int64
	s.handle("q.f", count(500, &yielded))
	handle := s.start(penstock.Reply)
	for item, err := range handle.Stream(s.ctx) {
		s.mustNot(err)
		if item.Index() == 3 {
			break
		}
	}
	s.mustNot(handle.Wait(s.ctx, nil))
	if _, errs := s.gather(handle); len(errs) != 1 || !errors.Is(errs[0], penstock.ErrItemsLost) {
		s.t.Fatalf("a second loop got %v", errs)
	}
}

func (s *suite) itemsUnread() {
	var yielded atomic.Int64
	s.handle("q.f", count(500, &yielded))
	for _, mode := range append(allModes, penstock.NoResult) {
		handle := s.start(mode)
		if mode == penstock.NoResult {
			s.eventually("the task has ended", func() bool { return yielded.Load() == 2000 })
			break
		}
		s.mustNot(handle.Wait(s.ctx, nil))
		got, errs := s.gather(handle)
		if mode == penstock.Reply && (len(errs) != 1 || !errors.Is(errs[0], penstock.ErrItemsLost)) {
			s.t.Fatalf("a loop after Wait got %v", errs)
		}
		if mode != penstock.Reply && (len(errs) > 0 || len(got) != 500) {
			s.t.Fatalf("%s: a loop after Wait got %d items, %v", mode, len(got), errs)
		}
	}
}

func (s *suite) itemsThenFailure() {
	s.handle("q.f", func(ctx context.Context, _ *wire.Job, _ int) (any, *wire.Failure) {
		double.Yield(ctx, 0)
		double.Yield(ctx, 1)
		return nil, &wire.Failure{Code: "BROKEN", Message: "broken"}
	})
	for _, mode := range allModes {
		var got []int
		var last error
		for item, err := range s.start(mode).Stream(s.ctx) {
			if last = err; err == nil {
				got = append(got, s.integer(item))
			}
		}
		s.mustBe(last, &penstock.RemoteError{Code: "BROKEN"})
		if len(got) != 2 {
			s.t.Fatalf("%s: got %v", mode, got)
		}
	}
}

func (s *suite) itemsAnew() {
	taken := make(chan struct{})
	tasks := s.handle("q.f", func(ctx context.Context, _ *wire.Job, attempt int) (any, *wire.Failure) {
		if attempt == 1 {
			double.Yield(ctx, -1)
			<-taken
			return nil, &wire.Failure{Code: "BUSY", Retryable: true}
		}
		double.Yield(ctx, 0)
		double.Yield(ctx, 1)
		return nil, nil
	})
	tasks.Retry("q.f", 2)
	for _, mode := range allModes {
		var got []int
		restarts := 0
		for item, err := range s.start(mode).Stream(s.ctx) {
			switch {
			case errors.Is(err, penstock.ErrRestarted):
				got, restarts = nil, restarts+1
			case err != nil:
				s.t.Fatal(err)
			default:
				if got = append(got, s.integer(item)); got[0] == -1 {
					taken <- struct{}{}
				}
			}
		}
		if restarts != 1 || !slices.Equal(got, numbers(2)) {
			s.t.Fatalf("%s: got %v after %d restarts", mode, got, restarts)
		}
	}
}

func (s *suite) oneLoop() {
	var yielded atomic.Int64
	s.handle("q.f", count(10, &yielded))
	for _, mode := range allModes {
		handle := s.start(mode)
		for _, err := range handle.Stream(s.ctx) {
			s.mustNot(err)
			if _, errs := s.gather(handle); len(errs) != 1 || !errors.Is(errs[0], penstock.ErrStreaming) {
				s.t.Fatalf("%s: a second loop got %v", mode, errs)
			}
		}
		got, errs := s.gather(handle)
		if mode == penstock.Reply && (len(errs) != 1 || !errors.Is(errs[0], penstock.ErrItemsLost)) {
			s.t.Fatalf("a later loop got %v, %v", got, errs)
		}
		if mode != penstock.Reply && (len(errs) > 0 || len(got) != 10) {
			s.t.Fatalf("%s: a later loop got %v, %v", mode, got, errs)
		}
	}
}

func (s *suite) itemsLate() {
	half, whole := make(chan struct{}), make(chan struct{})
	s.handle("q.f", func(ctx context.Context, _ *wire.Job, _ int) (any, *wire.Failure) {
		for i := range 200 {
			if i == 100 {
				close(half)
				<-whole
			}
			double.Yield(ctx, i)
		}
		return nil, nil
	})
	handle := s.start(penstock.Stored)
	<-half
	other := s.other()
	for range 2 { // while it runs, and after its end
		got := 0
		for item, err := range other.Stream(s.ctx, handle.ID()) {
			s.mustNot(err)
			if n := s.integer(item); n != got || item.Index() != got {
				s.t.Fatalf("got %d with the index %d, want %d", n, item.Index(), got)
			}
			if got++; got == 100 {
				select {
				case <-whole:
				default:
					close(whole)
				}
			}
		}
		if got != 200 {
			s.t.Fatalf("got %d", got)
		}
	}
}

func (s *suite) loopEnds() {
	s.handle("q.f", func(ctx context.Context, _ *wire.Job, _ int) (any, *wire.Failure) {
		double.Yield(ctx, 0)
		<-ctx.Done()
		return nil, &wire.Failure{Code: "ENDED"}
	})
	handle := s.start(penstock.Reply)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var last error
	for _, err := range handle.Stream(ctx) {
		last = err
		cancel()
	}
	s.mustBe(last, penstock.ErrNoResult, context.Canceled)
	s.mustNot(handle.Cancel(s.ctx))
	s.mustBe(handle.Wait(s.ctx, nil), &penstock.RemoteError{Code: penstock.CodeCancelled})
}

func (s *suite) progress() {
	seen := make(chan struct{})
	s.handle("q.f", func(ctx context.Context, _ *wire.Job, _ int) (any, *wire.Failure) {
		double.Report(ctx, wire.Progress{Fraction: 0.25, Text: "a quarter"})
		<-seen
		double.Report(ctx, wire.Progress{Fraction: 1})
		return nil, &wire.Failure{Code: "LATE"}
	})
	for _, mode := range allModes {
		handle := s.start(mode)
		var got []penstock.Progress
		for p, err := range handle.Progress(s.ctx) {
			s.mustNot(err)
			if got = append(got, p); len(got) == 1 {
				seen <- struct{}{}
			}
		}
		want := []penstock.Progress{{Fraction: 0.25, Text: "a quarter"}, {Fraction: 1}}
		if !slices.Equal(got, want) {
			s.t.Fatalf("%s: got %v", mode, got)
		}
		s.mustBe(handle.Wait(s.ctx, nil), &penstock.RemoteError{Code: "LATE"})
		if mode == penstock.Reply {
			continue
		}
		for p, err := range s.other().Progress(s.ctx, handle.ID()) {
			if err != nil || p.Fraction != 1 {
				s.t.Fatalf("%s: another client got %v, %v", mode, p, err)
			}
		}
	}
}

func (s *suite) noItems() {
	s.handle("q.f", echo)
	for _, mode := range allModes {
		handle := s.start(mode)
		for range 2 {
			if got, errs := s.gather(handle); len(got) > 0 || len(errs) > 0 {
				s.t.Fatalf("%s: got %v, %v", mode, got, errs)
			}
			s.mustNot(handle.Wait(s.ctx, nil))
		}
	}
	_, errs := s.gather(s.start(penstock.NoResult))
	if len(errs) != 1 || !errors.Is(errs[0], penstock.ErrNoResult) {
		s.t.Fatalf("without a result: %v", errs)
	}
	var invalid *penstock.InvalidJobError
	for _, err := range s.client().Stream(s.ctx, "no id") {
		if !errors.As(err, &invalid) {
			s.t.Fatalf("got %v", err)
		}
	}
}
