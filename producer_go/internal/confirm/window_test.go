package confirm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// waiting returns once n callers wait for room.
func (w *window) waiting(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		length := len(w.queue)
		w.mu.Unlock()
		if length == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, not %d", length, n)
		}
	}
}

func TestTheWindowNeverHoldsMoreThanItsCapacity(t *testing.T) {
	t.Parallel()
	w := window{capacity: 5}
	var inside, most atomic.Int64
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			if err := w.take(context.Background(), 1, maxBytes/4); err != nil {
				t.Error(err)
			}
			for n := inside.Add(1); ; {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			inside.Add(-1)
			w.leave(1, maxBytes/4)
		})
	}
	group.Wait()
	if most.Load() > 4 || w.messages != 0 || w.bytes != 0 {
		t.Fatalf("%d were inside at once; left over: %d messages, %d bytes", most.Load(), w.messages, w.bytes)
	}
}

func TestPlacesAreGivenInOrder(t *testing.T) {
	t.Parallel()
	w := window{capacity: 1}
	w.take(context.Background(), 1, 0)
	order := make(chan int, 3)
	for i := range 3 {
		go func() {
			w.take(context.Background(), 1, 0)
			order <- i
			w.leave(1, 0)
		}()
		w.waiting(t, i+1)
	}
	w.leave(1, 0)
	for i := range 3 {
		if got := <-order; got != i {
			t.Fatalf("%d came before %d", got, i)
		}
	}
}

func TestWhoeverGivesUpMakesRoomForTheNext(t *testing.T) {
	t.Parallel()
	w := window{capacity: 2}
	w.take(context.Background(), 1, 0)
	ctx, cancel := context.WithCancel(context.Background())
	large, small := make(chan error), make(chan error)
	go func() { large <- w.take(ctx, 2, 0) }()
	w.waiting(t, 1)
	go func() { small <- w.take(context.Background(), 1, 0) }()
	w.waiting(t, 2)

	cancel()

	if err := <-large; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := <-small; err != nil || w.taken() != 2 {
		t.Fatalf("got %v, %d taken", err, w.taken())
	}
}
