package penstock_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// long is longer than any message by default.
var long = map[string]any{"x": bytes.Repeat([]byte("long "), 1_000_000)}

func TestALongJobLiesInTheStoreForLongerThanItMayWait(t *testing.T) {
	t.Parallel()
	b, _ := withStore(t)
	queue := b.Queue("q", nil)
	for name, c := range map[string]struct {
		job    penstock.Job
		atMost time.Duration
	}{
		"a deadline":    {penstock.Job{Deadline: time.Now().Add(time.Hour)}, time.Hour + 5*time.Minute},
		"no deadline":   {penstock.Job{NoDeadline: true}, 7 * 24 * time.Hour},
		"a later start": {penstock.Job{NoDeadline: true, NotBefore: time.Now().Add(time.Hour)}, 7*24*time.Hour + time.Hour},
	} {
		c.job.Task, c.job.Args = "q.f", long
		handle, err := b.client.Enqueue(b.ctx, c.job)
		if err != nil {
			t.Fatal(err)
		}
		d := b.Get(queue)
		blob := wire.NamedBlob(d.Headers)
		if len(d.Body) != 0 || blob == nil || d.Headers[wire.HeaderMaxResult] != int64(wire.MaxBlobBytes) {
			t.Fatalf("the message has %d bytes and the headers %v", len(d.Body), d.Headers)
		}
		if body := b.Blob(handle.ID(), *blob); !blob.Is(body) {
			t.Fatalf("the store has %d bytes, the message says %+v", len(body), blob)
		}
		if left := b.BlobLifetime(handle.ID(), *blob); left > c.atMost || left < c.atMost-time.Minute {
			t.Errorf("%s: the body is kept for %s", name, left)
		}
	}
}

func TestACompressedBodyIsShorterInTheMessageAndInTheStore(t *testing.T) {
	t.Parallel()
	b, _ := withStore(t)
	compressing := b.open(t, func(o *penstock.Options) { o.Compress, o.Results = true, b.store })
	queue := b.Queue("q", nil)
	enqueue := func(args map[string]any) amqp.Delivery {
		if _, err := compressing.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: args}); err != nil {
			t.Fatal(err)
		}
		return b.Get(queue)
	}

	d := enqueue(map[string]any{"x": make([]byte, 100_000)})
	if job, err := wire.DecodeJob(d.Body, wire.MaxBodyBytes); err != nil || len(d.Body) > 1000 || job.Task != "q.f" {
		t.Fatalf("%d bytes arrived, %v", len(d.Body), err)
	}

	d = enqueue(long)
	if blob := wire.NamedBlob(d.Headers); blob == nil || blob.Size > 100_000 {
		t.Fatalf("a long body is named %+v", blob)
	}
}

// answered is what Wait returns of a job whose reply is this message.
func answered(b *bundle, t *testing.T, job penstock.Job, reply func(id string) amqp.Publishing) error {
	t.Helper()
	queue := b.Queue("q", nil)
	job.Task = "q.f"
	handle, err := b.client.Enqueue(b.ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	d := b.Get(queue)
	b.Publish(wire.ExchangeReplies, d.ReplyTo, reply(handle.ID()))
	return handle.Wait(within(t, 10*time.Second), nil)
}

func TestAResultThatIsNotWhatItsReplySaysIsNone(t *testing.T) {
	t.Parallel()
	b, _ := withStore(t)
	blob := wire.BlobOf([]byte("announced"))
	err := answered(b, t, penstock.Job{}, func(id string) amqp.Publishing {
		b.PutBlob(id, blob, []byte("different"))
		return brokertest.Claim(id, blob)
	})
	mustBe(t, err, penstock.ErrBadResult)
	if !strings.Contains(err.Error(), blob.SHA256) {
		t.Fatalf("the error must name the hash: %v", err)
	}
}

func TestAResultThatIsNoLongerInTheStoreIsLost(t *testing.T) {
	t.Parallel()
	b, _ := withStore(t)
	err := answered(b, t, penstock.Job{}, func(id string) amqp.Publishing {
		return brokertest.Claim(id, wire.BlobOf([]byte("announced")))
	})
	mustBe(t, err, penstock.ErrReplyLost)
}

// away is a store that fails for a while, or denies everything.
type away struct {
	penstock.BlobStore
	failures atomic.Int64
	denied   bool
}

func (a *away) Put(ctx context.Context, key string, body []byte, ttl time.Duration) error {
	if a.denied {
		return penstock.ErrDenied
	}
	if a.failures.Add(-1) >= 0 {
		return errors.New("away")
	}
	return a.BlobStore.Put(ctx, key, body, ttl)
}

func TestALongJobWaitsForTheStoreAsLongAsItsContextLets(t *testing.T) {
	t.Parallel()
	b, _ := withStore(t)
	store := &away{BlobStore: b.store}
	client := b.open(t, func(o *penstock.Options) { o.Blobs = store })
	queue := b.Queue("q", nil)

	store.failures.Store(3)
	if _, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: long}); err != nil {
		t.Fatal(err)
	}
	if d := b.Get(queue); wire.NamedBlob(d.Headers) == nil {
		t.Fatalf("got the headers %v", d.Headers)
	}

	store.failures.Store(1 << 30)
	_, err := client.Enqueue(within(t, 300*time.Millisecond), penstock.Job{Task: "q.f", Args: long})
	mustBe(t, err, penstock.ErrUnavailable)

	store.denied = true
	_, err = client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: long})
	mustBe(t, err, penstock.ErrDenied)
	if n := b.Messages(queue); n != 0 {
		t.Fatalf("%d jobs were sent without a body", n)
	}
}

func TestWhatIsTooLongForTheStoreIsNotSent(t *testing.T) {
	t.Parallel()
	b, _ := withStore(t)
	client := b.open(t, func(o *penstock.Options) { o.Results, o.MaxBlobBytes = b.store, 2_000_000 })
	b.Queue("q", nil)
	_, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Args: long})
	mustBe(t, err, penstock.ErrTooLarge)
	if !strings.Contains(err.Error(), "the limit is 2000000") || strings.Contains(err.Error(), "Options.Results") {
		t.Fatalf("got %v", err)
	}
}
