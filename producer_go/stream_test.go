package penstock_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// yielding is a job at a worker whose items the test makes.
type yielding struct {
	*bundle
	t       *testing.T
	job     *wire.Job
	message amqp.Delivery
	credits <-chan amqp.Delivery
}

// send sends one item, whose value is its number, for each number.
func (y *yielding) send(worker string, fence int64, numbers ...int64) {
	y.t.Helper()
	for _, n := range numbers {
		y.SendItem(y.message, wire.Place{Worker: worker, Fence: fence, Seq: n}, packed(y.t, n))
	}
}

// credit returns the next one that workers hear.
func (y *yielding) credit() wire.Credit {
	y.t.Helper()
	select {
	case d := <-y.credits:
		credit, ok := wire.CreditOf(d.Headers)
		if !ok || d.Type != wire.TypeCredit || d.UserId == "" || len(d.Body) > 0 || len(d.Headers) != 4 {
			y.t.Errorf("got %+v", d)
		}
		return credit
	case <-y.ctx.Done():
		y.t.Error("no credit has come")
		return wire.Credit{}
	}
}

func (y *yielding) mustHear(want ...wire.Credit) {
	y.t.Helper()
	for _, w := range want {
		w.JobID = y.job.ID
		if got := y.credit(); got != w {
			y.t.Errorf("the workers heard %+v, not %+v", got, w)
		}
	}
}

func packed(t testing.TB, value any) []byte {
	t.Helper()
	body, err := wire.Marshal(value, wire.MaxBlobBytes)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// yields starts a worker of the queue "q" that runs every job by act, which returns how many items the result says.
func (b *bundle) yields(t *testing.T, act func(y *yielding) int64) {
	t.Helper()
	credits := make(chan amqp.Delivery, 1000)
	b.Commands(func(d amqp.Delivery) { credits <- d })
	b.Serve(b.Queue("q", nil), nil, func(job *wire.Job, d amqp.Delivery) []byte {
		n := act(&yielding{b, t, job, d, credits})
		return brokertest.ResultOf(b.Broker, job, &wire.Result{Items: &n})
	})
}

func (b *bundle) enqueue(t *testing.T, job penstock.Job) *penstock.Handle {
	t.Helper()
	job.Task = "q.f"
	handle, err := b.client.Enqueue(b.ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

// loop runs a loop to its end. It returns what came: the items, which are numbers, and the errors.
func loop(t *testing.T, items func(func(penstock.Item, error) bool), each ...func(n int)) (got []any, last error) {
	t.Helper()
	for item, err := range items {
		if last = err; err != nil {
			got = append(got, err)
			continue
		}
		var n int
		if err := item.Decode(&n); err != nil || item.Index() != n {
			t.Errorf("item %d is %d, %v", item.Index(), n, err)
		}
		got = append(got, n)
		for _, f := range each {
			f(n)
		}
	}
	return got, last
}

func to(n int64) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = int64(i)
	}
	return list
}

func TestACreditIsGivenWhenHalfOfTheWindowIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 7, to(64)[:32]...)
		y.mustHear(wire.Credit{Worker: "w", Fence: 7, Items: 96})
		y.send("w", 7, to(64)[32:]...)
		y.mustHear(wire.Credit{Worker: "w", Fence: 7, Items: 128})
		return 64
	})

	got, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx))

	if err != nil || len(got) != 64 {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestACreditIsGivenAgainWhileNothingComes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes as long as a reader waits before it repeats itself")
	}
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 7, to(40)[:32]...)
		y.mustHear(wire.Credit{Worker: "w", Fence: 7, Items: 96})
		began := time.Now()
		y.send("w", 7, to(40)[32:]...)
		y.mustHear(wire.Credit{Worker: "w", Fence: 7, Items: 104})
		if waited := time.Since(began); waited < wire.CreditAgainMs*time.Millisecond {
			t.Errorf("it came after %s", waited)
		}
		return 40
	})
	if _, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsOfAnEarlierStartOrRepeatedIsDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.send("new", 5, 0, 1)
		y.send("old", 3, 0, 1, 2)
		y.send("new", 5, 1, 2)
		return 3
	})
	if got, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx)); err != nil || !slices.Equal(got, []any{0, 1, 2}) {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestTheWorkerOfAnEarlierStartIsToldThatNobodyReads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.send("new", 5, 0)
		y.send("old", 3, 0)
		y.mustHear(wire.Credit{Worker: "old", Fence: 3, Items: wire.NoReader})
		return 1
	})
	if got, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx)); err != nil || !slices.Equal(got, []any{0}) {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestAJobThatBeginsAnewIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	taken := make(chan struct{})
	b.yields(t, func(y *yielding) int64 {
		y.send("one", 1, 0, 1)
		<-taken
		y.send("two", 2, 0, 1, 2)
		return 3
	})

	var got []any
	for item, err := range b.enqueue(t, penstock.Job{}).Stream(b.ctx) {
		switch {
		case errors.Is(err, penstock.ErrRestarted):
			got = append(got, "anew")
		case err != nil:
			t.Fatal(err)
		default:
			if got = append(got, item.Index()); len(got) == 2 {
				close(taken)
			}
		}
	}

	if !slices.Equal(got, []any{0, 1, "anew", 0, 1, 2}) {
		t.Fatalf("got %v", got)
	}
}

func TestAnewIsNothingNewBeforeTheFirstItemIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sent := make(chan struct{})
	b.yields(t, func(y *yielding) int64 {
		y.send("one", 1, 0, 1)
		y.send("two", 2, 0)
		close(sent)
		return 1
	})
	handle := b.enqueue(t, penstock.Job{})
	<-sent
	eventually(t, "the result is there", func() bool { return b.client.Stats().AwaitedReplies == 0 })
	if got, err := loop(t, handle.Stream(b.ctx)); err != nil || !slices.Equal(got, []any{0}) {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestAsManyItemsOfAnotherStartAreNotThoseOfTheResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fence, items int64
		want         error
	}{
		"the same start":        {5, 2, nil},
		"a later start":         {6, 2, penstock.ErrItemsLost},
		"an earlier start":      {4, 2, penstock.ErrItemsLost},
		"one that yielded none": {6, 0, penstock.ErrRestarted},
	} {
		b := setup(t)
		b.Serve(b.Queue("q", nil), nil, func(job *wire.Job, d amqp.Delivery) []byte {
			y := &yielding{b, t, job, d, nil}
			y.send("w", 5, 0, 1)
			b.SendResult(d, c.fence, brokertest.ResultOf(b.Broker, job, &wire.Result{Items: &c.items}))
			return nil
		})
		got, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx))
		if !errors.Is(err, c.want) || len(got) < 2 || got[1] != 1 {
			t.Fatalf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestAnItemThatIsMissingEndsTheLoopAndNotTheJob(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string][]int64{"in the middle": {0, 1, 3}, "at the end": {0, 1}} {
		b := setup(t)
		b.yields(t, func(y *yielding) int64 {
			y.send("w", 1, sent...)
			return 4
		})
		handle := b.enqueue(t, penstock.Job{})
		got, err := loop(t, handle.Stream(b.ctx))
		mustBe(t, err, penstock.ErrItemsLost)
		if len(got) != 3 || got[1] != 1 {
			t.Fatalf("%s: got %v", name, got)
		}
		if err := handle.Wait(b.ctx, nil); err != nil {
			t.Fatalf("%s: the result: %v", name, err)
		}
	}
}

func TestAWorkerThatHeedsNoCreditLosesItems(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 1, to(200)...)
		return 200
	})
	handle := b.enqueue(t, penstock.Job{})
	eventually(t, "the result is there", func() bool { return b.client.Stats().AwaitedReplies == 0 })
	got, err := loop(t, handle.Stream(b.ctx))
	mustBe(t, err, penstock.ErrItemsLost)
	if len(got) != wire.StreamWindow+1 {
		t.Fatalf("%d items were kept", len(got)-1)
	}
}

func TestItemsOfOneMessageAreHandedOutOneByOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.SendItem(y.message, wire.Place{Worker: "w", Fence: 1}, packed(t, 0), packed(t, 1), packed(t, 2))
		y.SendItem(y.message, wire.Place{Worker: "w", Fence: 1, Seq: 2}, packed(t, 2), packed(t, 3)) // one is repeated
		return 4
	})
	got, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx))
	if err != nil || !slices.Equal(got, []any{0, 1, 2, 3}) {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestAnItemThatBreaksTheProfileEndsTheLoop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.SendItem(y.message, wire.Place{Worker: "w", Fence: 1}, []byte{0xc1})
		return 1
	})
	_, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx))
	mustBe(t, err, penstock.ErrBadResult)
}

func TestAnItemThatDoesNotFitSaysWhichAndWhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.SendItem(y.message, wire.Place{Worker: "w", Fence: 1}, packed(t, map[string]any{"x": "one"}))
		return 1
	})
	handle := b.enqueue(t, penstock.Job{})
	for item, err := range handle.Stream(b.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		var out struct{ X int }
		err = item.Decode(&out)
		mustBe(t, err, penstock.ErrResultType)
		want := "job " + handle.ID() + ": item 0: the result does not fit *struct { X int }: value.x"
		if !strings.HasPrefix(err.Error(), want) {
			t.Fatalf("got %v", err)
		}
	}
	mustBe(t, penstock.Item{}.Decode(nil), penstock.ErrResultType)
}
