package penstock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

// withStore is a bundle whose client reads Redis, and what a worker does to store a result there.
func withStore(t *testing.T) (*bundle, func(context.Context, string, string, []byte) error) {
	t.Helper()
	var store *redisresults.Store
	t.Cleanup(func() {
		if store != nil {
			store.Close()
		}
	})
	b := setup(t)
	url, put := b.Redis()
	store, err := redisresults.New(url)
	if err != nil {
		t.Fatal(err)
	}
	b.store = store
	b.client = b.open(t, func(o *penstock.Options) { o.Results = store })
	return b, put
}

func TestAStoredResultIsFoundByItsHandleAndByAnyProcessThatKnowsTheID(t *testing.T) {
	t.Parallel()
	b, put := withStore(t)
	b.Worker(b.Queue("q", nil), put, brokertest.Echo)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: map[string]any{"x": 7}, Result: penstock.Stored})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ X int }

	if err := handle.Wait(b.ctx, &out); err != nil || out.X != 7 {
		t.Fatalf("by its handle: %v, %v", out, err)
	}

	store, err := redisresults.New(brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	other := b.open(t, func(o *penstock.Options) { o.Results = store })
	if err := other.Result(b.ctx, handle.ID(), &out); err != nil || out.X != 7 {
		t.Fatalf("by a second client: %v, %v", out, err)
	}
	if err := penstock.FetchResult(b.ctx, store, b.Namespace, handle.ID(), &out); err != nil || out.X != 7 {
		t.Fatalf("without a client: %v, %v", out, err)
	}
}

// counting is a store that counts how often it is asked.
type counting struct {
	penstock.ResultStore
	gets atomic.Int64
}

func (c *counting) Get(ctx context.Context, key string) ([]byte, error) {
	c.gets.Add(1)
	return c.ResultStore.Get(ctx, key)
}

func TestAHintSavesPolling(t *testing.T) {
	t.Parallel()
	b, put := withStore(t)
	store, err := redisresults.New(brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	counted := &counting{ResultStore: store}
	client := b.open(t, func(o *penstock.Options) { o.Results = counted })
	queue := b.Queue("q", nil)
	warm, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.Stored})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- warm.Wait(b.ctx, nil) }()
	eventually(t, "the subscription has begun, for the store is asked again", func() bool { return counted.gets.Load() >= 2 })
	b.Worker(queue, put, brokertest.Echo)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	counted.gets.Store(0)

	const jobs = 50
	for range jobs {
		handle, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.Stored})
		if err == nil {
			err = handle.Wait(b.ctx, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := counted.gets.Load(); n > 3*jobs {
		t.Fatalf("the store was asked %d times for %d jobs", n, jobs)
	}
}

func TestManyStoredResultsAtOnce(t *testing.T) {
	t.Parallel()
	b, put := withStore(t)
	b.Worker(b.Queue("q", nil), put, brokertest.Echo)
	var group sync.WaitGroup
	for i := range 300 {
		group.Go(func() {
			var out struct{ I int }
			err := b.run(penstock.Job{Task: "q.f", Args: map[string]any{"i": i}, Result: penstock.Stored}, &out)
			if err != nil || out.I != i {
				t.Errorf("job %d: got %d, %v", i, out.I, err)
			}
		})
	}
	group.Wait()
}

func TestAReplyThatIsLostIsReadFromTheStore(t *testing.T) {
	t.Parallel()
	b, put := withStore(t)
	store, err := redisresults.New(brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	f, url := brokertest.Forward(t, b.URL)
	client := b.open(t, func(o *penstock.Options) { o.URL, o.Results = url, store })
	queue := b.Queue("q", nil)
	handle, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: map[string]any{"x": 1}, Result: penstock.ReplyAndStored})
	if err != nil {
		t.Fatal(err)
	}
	f.Cut()
	b.Worker(queue, put, brokertest.Echo)

	var out struct{ X int }
	if err := handle.Wait(b.ctx, &out); err != nil || out.X != 1 {
		t.Fatalf("got %v, %v", out, err)
	}
}

func TestAResultThatIsNotThereIsWaitedForUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	b, put := withStore(t)
	id := wire.NewID()
	mustBe(t, b.client.Result(within(t, 60*time.Millisecond), id, nil), penstock.ErrNoResult, context.DeadlineExceeded)

	found := make(chan error, 1)
	go func() { found <- b.client.Result(b.ctx, id, nil) }()
	body := brokertest.ResultOf(b.Broker, &wire.Job{ID: id, Task: "q.f", Version: 1}, &wire.Result{})
	if err := put(b.ctx, "", id, body); err != nil {
		t.Fatal(err)
	}
	if err := <-found; err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsTheWaitForAStoredResult(t *testing.T) {
	t.Parallel()
	b, _ := withStore(t)
	b.Queue("q", nil)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.Stored})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- handle.Wait(b.ctx, nil) }()
	if err := b.client.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	mustBe(t, <-waiting, penstock.ErrClosed)
}

func TestWithoutAStoreThereIsNothingToAsk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("q", nil)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.Stored})
	if err != nil {
		t.Fatalf("somebody else may read the result: %v", err)
	}
	mustBe(t, handle.Wait(b.ctx, nil), penstock.ErrNoStore)
	mustBe(t, b.client.Result(b.ctx, handle.ID(), nil), penstock.ErrNoStore)
	var invalid *penstock.InvalidJobError
	if err := b.client.Result(b.ctx, "no id", nil); !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
}

func TestAStoreThatIsDownIsAskedAgain(t *testing.T) {
	t.Parallel()
	b, put := withStore(t)
	f, url := brokertest.Forward(t, brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	store, err := redisresults.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	client := b.open(t, func(o *penstock.Options) { o.Results = store })
	queue := b.Queue("q", nil)
	handle, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.Stored})
	if err != nil {
		t.Fatal(err)
	}
	f.Refuse(true)
	f.Cut()
	mustBe(t, handle.Wait(within(t, 300*time.Millisecond), nil), penstock.ErrNoResult, context.DeadlineExceeded)
	waiting := make(chan error, 1)
	go func() { waiting <- handle.Wait(b.ctx, nil) }()
	b.Worker(queue, put, brokertest.Echo)

	f.Refuse(false)

	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
}
