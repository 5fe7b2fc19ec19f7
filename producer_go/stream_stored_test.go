package penstock_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// storing is a job whose items the test stores.
type storing struct {
	*bundle
	t     *testing.T
	id    string
	items *brokertest.Items
	put   brokertest.Keep
}

func stores(t *testing.T) *storing {
	t.Helper()
	b, put := withStore(t)
	return &storing{b, t, wire.NewID(), b.Items(), put}
}

func (s *storing) store(fence int64, numbers ...int64) {
	for _, n := range numbers {
		s.items.Store("", s.id, wire.Place{Fence: fence, Seq: n}, packed(s.t, n))
	}
}

func (s *storing) end(items int64) {
	s.t.Helper()
	job := &wire.Job{ID: s.id, Task: "q.f", Version: 1}
	if err := s.put(s.ctx, "", s.id, brokertest.ResultOf(s.Broker, job, &wire.Result{Items: &items})); err != nil {
		s.t.Fatal(err)
	}
}

func TestALaterStartReplacesStoredItems(t *testing.T) {
	t.Parallel()
	s := stores(t)
	s.store(1, to(100)...)
	var got []any
	for item, err := range s.client.Stream(s.ctx, s.id) {
		switch {
		case errors.Is(err, penstock.ErrRestarted):
			got = []any{"anew"}
		case err != nil:
			t.Fatal(err)
		default:
			if got = append(got, item.Index()); len(got) == 100 {
				s.store(2, 0, 1) // shorter than what was read
				s.end(2)
			}
		}
	}
	if !slices.Equal(got, []any{"anew", 0, 1}) {
		t.Fatalf("got %v", got)
	}
}

func TestALaterStartWithoutItemsMakesThoseHandedOutVoid(t *testing.T) {
	t.Parallel()
	s := stores(t)
	s.store(1, 0)
	_, err := loop(t, s.client.Stream(s.ctx, s.id), func(int) { s.end(0) })
	mustBe(t, err, penstock.ErrRestarted)
}

func TestItemsThatHaveExpiredAreLost(t *testing.T) {
	t.Parallel()
	s := stores(t)
	s.store(1, 0, 1)
	s.items.Forget(s.id)
	s.end(2)
	_, err := loop(t, s.client.Stream(s.ctx, s.id))
	mustBe(t, err, penstock.ErrItemsLost)
}

func TestLongItemsAreReadFromTheStore(t *testing.T) {
	t.Parallel()
	s := stores(t)
	sizes := []int{0, 1, 1 << 20, 3 << 20, 5, 1<<20 - 4 - 8 - 5}
	for i, size := range sizes {
		s.items.Store("", s.id, wire.Place{Fence: 1, Seq: int64(i)}, packed(t, make([]byte, size)))
	}
	s.end(int64(len(sizes)))
	n := 0
	for item, err := range s.client.Stream(s.ctx, s.id) {
		var body []byte
		if err != nil || item.Decode(&body) != nil || len(body) != sizes[n] {
			t.Fatalf("item %d has %d bytes, %v", n, len(body), err)
		}
		n++
	}
	if n != len(sizes) {
		t.Fatalf("got %d", n)
	}
}

func TestWhatIsNoItemInTheStoreEndsTheLoop(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{"garbage": {0xc1}, "nothing": {}} {
		s := stores(t)
		s.items.Store("", s.id, wire.Place{Fence: 1}, body)
		_, err := loop(t, s.client.Stream(s.ctx, s.id))
		if !errors.Is(err, penstock.ErrBadResult) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestProgressThatIsNoneIsPassedOver(t *testing.T) {
	t.Parallel()
	s := stores(t)
	s.items.Report("", s.id, 1, packed(t, map[string]any{"fraction": 2.0}))
	s.end(0)
	for p, err := range s.client.Progress(s.ctx, s.id) {
		t.Fatalf("got %v, %v", p, err)
	}
}

// plain is a store that can do no more than a ResultStore has to.
type plain struct{ penstock.ResultStore }

func TestAStoreThatReadsNoItemsSaysSo(t *testing.T) {
	t.Parallel()
	s := stores(t)
	client := s.open(t, func(o *penstock.Options) { o.Results = plain{s.bundle.store} })
	_, err := loop(t, client.Stream(s.ctx, s.id))
	mustBe(t, err, penstock.ErrNoStore)
	without := setup(t)
	_, err = loop(t, without.client.Stream(without.ctx, s.id))
	mustBe(t, err, penstock.ErrNoStore)
}

func TestALoopOverStoredItemsHeedsItsContextAndClose(t *testing.T) {
	t.Parallel()
	s := stores(t)
	s.store(1, 0, 1)
	ctx, cancel := context.WithCancel(s.ctx)
	got, err := loop(t, s.client.Stream(ctx, s.id), func(int) { cancel() })
	mustBe(t, err, penstock.ErrNoResult, context.Canceled)
	if len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	_, err = loop(t, s.client.Stream(s.ctx, s.id), func(n int) {
		if n == 1 {
			s.client.Close(s.ctx)
		}
	})
	mustBe(t, err, penstock.ErrClosed)
}

func TestALoopThatIsLeftAfterCloseIsToldNothingMore(t *testing.T) {
	t.Parallel()
	s := stores(t)
	s.store(1, 0, 1)
	for _, err := range s.client.Stream(s.ctx, s.id) {
		if err != nil {
			t.Fatal(err)
		}
		s.client.Close(s.ctx)
		break
	}
}
