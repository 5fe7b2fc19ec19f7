package replies

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

func item(fence, seq int64) Item {
	return Item{Place: wire.Place{Worker: "w", Fence: fence, Seq: seq}}
}

// none are the items of a job of which nothing has come.
func none() *items { return &items{fence: -1} }

// drain hands out what there is.
func drain(s *items) (taken []int64, end State) {
	for {
		i, state := s.next()
		if state != Ready {
			return taken, state
		}
		taken = append(taken, i.Seq)
	}
}

func TestItemsAreHandedOutInTheirOrderAndOnce(t *testing.T) {
	t.Parallel()
	s := none()
	s.read()
	for _, seq := range []int64{0, 1, 1, 0, 2} {
		if s.add(item(1, seq)) {
			t.Fatalf("item %d is unwanted", seq)
		}
	}
	if taken, end := drain(s); !slices.Equal(taken, []int64{0, 1, 2}) || end != None {
		t.Fatalf("got %v, %v", taken, end)
	}
}

func TestTheBufferHasOneWindow(t *testing.T) {
	t.Parallel()
	s := none()
	for seq := range int64(wire.StreamWindow) {
		if s.add(item(1, seq)) {
			t.Fatalf("item %d is unwanted", seq)
		}
	}
	if !s.add(item(1, wire.StreamWindow)) {
		t.Fatal("one more is kept")
	}
	s.read()
	if taken, end := drain(s); len(taken) != wire.StreamWindow || end != Lost {
		t.Fatalf("got %d, %v", len(taken), end)
	}
}

func TestALostItemIsForgottenWithItsStart(t *testing.T) {
	t.Parallel()
	s := none()
	s.read()
	s.add(item(1, 0))
	s.add(item(1, 2))
	if taken, end := drain(s); len(taken) != 1 || end != Lost {
		t.Fatalf("got %v, %v", taken, end)
	}
	s.add(item(2, 0))
	if _, state := s.next(); state != Restarted {
		t.Fatalf("got %v", state)
	}
	if taken, end := drain(s); len(taken) != 1 || end != None {
		t.Fatalf("got %v, %v", taken, end)
	}
}

func TestASecondReaderGetsNothingThatTheFirstHasTaken(t *testing.T) {
	t.Parallel()
	s := none()
	s.read()
	if s.read() {
		t.Fatal("there are two readers")
	}
	if s.leave(false) {
		t.Fatal("there is no worker to tell")
	}
	s.read() // nothing had come
	s.add(item(1, 0))
	s.next()
	if !s.leave(false) {
		t.Fatal("the worker has to be told")
	}
	s.read()
	if _, state := s.next(); state != Lost {
		t.Fatalf("got %v", state)
	}
}

// Whatever comes in whatever order: what a reader is given is always the next item of a start, a new start is told before
// its first item, and the buffer keeps its bound.
func TestAReaderIsGivenNoGapsWhateverComes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := none()
		fence, next := int64(-1), int64(0)
		s.read()
		for range 2000 {
			s.add(item(random.Int64N(4)+int64(seed%3), max(0, s.come+random.Int64N(20)/19-random.Int64N(10)/9)))
			if len(s.waiting) > wire.StreamWindow {
				t.Fatalf("seed %d: %d are kept", seed, len(s.waiting))
			}
			if random.Int64N(3) == 0 {
				continue
			}
			i, state := s.next()
			switch state {
			case Restarted:
				next = 0
			case Ready:
				if i.Seq != next || i.Fence < fence || i.Fence > fence && next > 0 {
					t.Fatalf("seed %d: got %+v after %d of start %d", seed, i.Place, next, fence)
				}
				fence, next = i.Fence, next+1
			case None, Lost:
			}
		}
	}
}

// still is a source that is always there.
type still struct{}

func (still) Ready(context.Context, bool) error { return nil }
func (still) Connects() int                     { return 1 }
func (still) Close(context.Context) error       { return nil }

func TestAStreamThatNobodyReadsDoesNotHoldUpTheRepliesOfOthers(t *testing.T) {
	t.Parallel()
	var refused []wire.Credit
	r := New("u.i", func(c wire.Credit) { refused = append(refused, c) }, func(*Router) Source { return still{} })
	r.Up()
	streams, err := r.Expect(t.Context(), "streams", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.Expect(t.Context(), "other", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range int64(1000) {
		r.AddItem("streams", item(1, seq))
		r.AddProgress("streams", 1, []byte{byte(seq)})
	}
	r.Deliver("other", Reply{})
	<-other.Done()
	if len(streams.items.waiting) != wire.StreamWindow || refused[0].Items != wire.NoReader {
		t.Fatalf("%d are kept, %v", len(streams.items.waiting), refused[0])
	}
	if body, n, _ := r.Progress(streams, 0); n != 1000 || body[0] != byte(999%256) {
		t.Fatalf("the newest progress is %v, number %d", body, n)
	}
}
