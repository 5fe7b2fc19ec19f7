package penstock_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

func TestLeavingALoopTellsTheWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 1, 0, 1, 2)
		y.mustHear(wire.Credit{Worker: "w", Fence: 1, Items: wire.NoReader})
		return 500
	})
	handle := b.enqueue(t, penstock.Job{})
	for _, err := range handle.Stream(b.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if err := handle.Wait(b.ctx, nil); err != nil {
		t.Fatal(err)
	}
}

func TestWaitWithoutALoopTellsTheWorkerOfTheFirstItem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 1, 0)
		y.mustHear(wire.Credit{Worker: "w", Fence: 1, Items: wire.NoReader})
		y.send("x", 2, 0) // another start hears it too
		y.mustHear(wire.Credit{Worker: "x", Fence: 2, Items: wire.NoReader})
		return 1
	})
	if err := b.enqueue(t, penstock.Job{}).Wait(b.ctx, nil); err != nil {
		t.Fatal(err)
	}
}

func TestADroppedHandleTellsTheWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	done := make(chan struct{})
	b.yields(t, func(y *yielding) int64 {
		defer close(done)
		y.send("w", 1, 0)
		y.mustHear(wire.Credit{Worker: "w", Fence: 1, Items: wire.NoReader})
		y.send("w", 1, 1) // one that comes all the same
		y.mustHear(wire.Credit{Worker: "w", Fence: 1, Items: wire.NoReader})
		return 2
	})
	b.enqueue(t, penstock.Job{})
	eventually(t, "the worker has heard it", func() bool {
		runtime.GC()
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

func TestCloseTellsTheWorkerAndEndsTheLoop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard, over := make(chan struct{}), make(chan struct{})
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 1, 0)
		y.mustHear(wire.Credit{Worker: "w", Fence: 1, Items: wire.NoReader})
		close(heard)
		<-over
		return 1
	})
	defer close(over)
	closed := make(chan error, 1)
	_, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx), func(int) {
		go func() { closed <- b.client.Close(b.ctx) }()
	})
	<-heard
	mustBe(t, err, penstock.ErrClosed)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestAReaderWithoutPermissionHearsWhichOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.client.Close(b.ctx)
	url := b.Producer("q")
	b.client = b.open(t, func(o *penstock.Options) { o.URL = url })
	over := make(chan struct{})
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 1, to(64)...)
		<-over
		return 64
	})
	defer close(over)

	_, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx))

	mustBe(t, err, penstock.ErrDenied)
	if !strings.Contains(err.Error(), "write permission to the exchange "+b.Name("control")) {
		t.Fatalf("got %v", err)
	}
}

// cut is a bundle whose client loses its connections when the returned function is called, which returns when it has
// new ones.
func cut(t *testing.T) (*bundle, func()) {
	t.Helper()
	b := setup(t)
	f, url := brokertest.Forward(t, b.URL)
	b.client = b.open(t, func(o *penstock.Options) { o.URL = url })
	return b, func() {
		before := b.client.Stats().Reconnects
		f.Cut()
		eventually(t, "both connections are there again", func() bool { return b.client.Stats().Reconnects == before+2 })
	}
}

func TestALoopSurvivesALostConnectionUnlessItemsWereLostWithIt(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]int64{"none was": 2, "one was": 3} {
		b, lose := cut(t)
		taken, again := make(chan struct{}), make(chan struct{})
		b.yields(t, func(y *yielding) int64 {
			y.send("w", 1, 0, 1)
			<-taken
			lose()
			close(again)
			y.send("w", 1, next)
			return next + 1
		})
		got, err := loop(t, b.enqueue(t, penstock.Job{}).Stream(b.ctx), func(n int) {
			if n == 1 {
				close(taken)
				<-again
			}
		})
		if next == 2 && (err != nil || !slices.Equal(got, []any{0, 1, 2})) {
			t.Fatalf("%s: got %v, %v", name, got, err)
		}
		if next == 3 {
			mustBe(t, err, penstock.ErrItemsLost)
		}
	}
}

func TestWithoutADeadlineALostConnectionEndsTheLoop(t *testing.T) {
	t.Parallel()
	b, lose := cut(t)
	over := make(chan struct{})
	b.yields(t, func(y *yielding) int64 {
		y.send("w", 1, 0)
		<-over
		return 1
	})
	defer close(over)
	_, err := loop(t, b.enqueue(t, penstock.Job{NoDeadline: true}).Stream(context.WithoutCancel(b.ctx)), func(int) { lose() })
	mustBe(t, err, penstock.ErrReplyLost)
}

func TestALoopWhoseContextEndsSaysHowOldTheJobIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Queue("q", nil)
	handle := b.enqueue(t, penstock.Job{NoDeadline: true})
	for _, mode := range []func(context.Context) error{
		func(ctx context.Context) (err error) { _, err = loop(t, handle.Stream(ctx)); return err },
		func(ctx context.Context) (err error) {
			for _, err = range handle.Progress(ctx) {
			}
			return err
		},
	} {
		err := mode(within(t, 30*time.Millisecond))
		mustBe(t, err, penstock.ErrNoResult, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "s after Enqueue") {
			t.Fatalf("got %v", err)
		}
	}
}
