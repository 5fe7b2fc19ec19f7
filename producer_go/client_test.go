package penstock_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

// bundle is a client in a namespace of its own and a context that bounds the test.
type bundle struct {
	*brokertest.Broker
	client *penstock.Client
	store  *redisresults.Store // of withStore
	ctx    context.Context
}

func setup(t testing.TB, change ...func(*penstock.Options)) *bundle {
	t.Helper()
	b := &bundle{Broker: brokertest.New(t)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	b.ctx = ctx
	b.client = b.open(t, change...)
	return b
}

func (b *bundle) open(t testing.TB, change ...func(*penstock.Options)) *penstock.Client {
	t.Helper()
	options := penstock.Options{URL: b.URL, Namespace: b.Namespace}
	for _, c := range change {
		c(&options)
	}
	client, err := penstock.Open(b.ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		client.Close(ctx)
	})
	return client
}

// within is a context that ends soon.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func mustBe(t testing.TB, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Fatalf("got %v, which is not %v", err, target)
		}
	}
}

func TestOpenSaysWhenThePasswordIsWrong(t *testing.T) {
	t.Parallel()
	url := brokertest.Env(t, "PENSTOCK_AMQP_URL")

	began := time.Now()
	_, err := penstock.Open(within(t, 20*time.Second), penstock.Options{URL: strings.Replace(url, "guest:guest@", "guest:wrong@", 1)})

	mustBe(t, err, penstock.ErrDenied)
	if strings.Contains(err.Error(), "wrong") || !strings.Contains(err.Error(), `"guest"`) {
		t.Fatalf("the error must name the user and not the password: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("took %s", took)
	}
}

func TestOpenSaysWhenTheVirtualHostIsMissing(t *testing.T) {
	t.Parallel()
	url := brokertest.Env(t, "PENSTOCK_AMQP_URL")

	_, err := penstock.Open(within(t, 20*time.Second), penstock.Options{URL: strings.TrimSuffix(url, "/") + "/nowhere"})

	mustBe(t, err, penstock.ErrDenied)
	if !strings.Contains(err.Error(), "nowhere") {
		t.Fatalf("the error must name the virtual host: %v", err)
	}
}

func TestOpenSaysWhenTheTopologyIsMissing(t *testing.T) {
	t.Parallel()
	url := brokertest.Env(t, "PENSTOCK_AMQP_URL")

	_, err := penstock.Open(within(t, 20*time.Second), penstock.Options{URL: url, Namespace: "missing"})

	mustBe(t, err, penstock.ErrTopology)
	if !strings.Contains(err.Error(), "missing.jobs") || !strings.Contains(err.Error(), "penstock topology apply") {
		t.Fatalf("the error must name the exchange and the remedy: %v", err)
	}
}

func TestOpenFailsAtOnceWhenNobodyListens(t *testing.T) {
	t.Parallel()

	_, err := penstock.Open(within(t, 20*time.Second), penstock.Options{URL: "amqp://localhost:1/"})

	mustBe(t, err, penstock.ErrUnavailable)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("it waited for the context")
	}
}

// silent accepts connections and never answers.
func silent(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	})
	t.Cleanup(func() { listener.Close(); group.Wait() })
	return "amqp://" + listener.Addr().String() + "/"
}

func TestOpenHeedsItsContext(t *testing.T) {
	t.Parallel()
	began := time.Now()

	_, err := penstock.Open(within(t, 100*time.Millisecond), penstock.Options{URL: silent(t)})

	mustBe(t, err, penstock.ErrUnavailable, context.DeadlineExceeded)
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("took %s", took)
	}
}

func TestOpenGivesUpAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()

	_, err := penstock.Open(within(t, 20*time.Second), penstock.Options{URL: silent(t), DialTimeout: 100 * time.Millisecond})

	mustBe(t, err, penstock.ErrUnavailable)
}

func TestCloseEndsEveryWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("q", nil) // nobody works on it
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() { waiting <- handle.Wait(b.ctx, nil) }()

	closed := b.client.Close(b.ctx)

	mustBe(t, <-waiting, penstock.ErrClosed)
	if closed != nil || b.client.Close(b.ctx) != nil {
		t.Fatalf("closing gave %v", closed)
	}
	_, err = b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	mustBe(t, err, penstock.ErrClosed)
	mustBe(t, handle.Wait(b.ctx, nil), penstock.ErrClosed)
}

func TestCloseWaitsForConfirmsUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	f, url := brokertest.Forward(t, b.URL)
	client := b.open(t, func(o *penstock.Options) { o.URL = url })
	f.Stall(brokertest.ToClient, true)
	enqueued := make(chan error)
	go func() {
		_, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
		enqueued <- err
	}()
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })

	closed := make(chan error)
	go func() { closed <- client.Close(b.ctx) }()
	select {
	case err := <-closed:
		t.Fatalf("Close did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	f.Stall(brokertest.ToClient, false)

	if err := <-enqueued; err != nil {
		t.Fatalf("the job was confirmed, but Enqueue says %v", err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	f, url := brokertest.Forward(t, b.URL)
	client := b.open(t, func(o *penstock.Options) { o.URL = url })
	f.Stall(brokertest.ToClient, true)
	enqueued := make(chan error)
	go func() {
		_, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
		enqueued <- err
	}()
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })

	err := client.Close(within(t, 100*time.Millisecond))

	mustBe(t, err, penstock.ErrUnknown, context.DeadlineExceeded)
	mustBe(t, <-enqueued, penstock.ErrUnknown)
}

func TestADroppedHandleIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("q", nil) // nobody answers
	for range 100 {
		if _, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"}); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}

	eventually(t, "only the kept handle's reply is awaited", func() bool {
		runtime.GC()
		return b.client.Stats().AwaitedReplies == 1
	})
	runtime.KeepAlive(kept)
}

func TestAThousandJobsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)
	var group sync.WaitGroup
	for i := range 1000 {
		group.Go(func() {
			handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: map[string]any{"i": i}})
			var out struct{ I int }
			if err == nil {
				err = handle.Wait(b.ctx, &out)
			}
			if err != nil || out.I != i {
				t.Errorf("job %d: got %d, %v", i, out.I, err)
			}
		})
	}
	group.Wait()
	if s := b.client.Stats(); s != (penstock.Stats{}) {
		t.Fatalf("counts: %+v", s)
	}
}
