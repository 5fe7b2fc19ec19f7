package penstock_test

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Rates drift with the machine: compare figures of one run only.
//
//	python3 ops/dev/servers.py -- go test -run - -bench . -benchtime 20000x

var benchArgs = map[string]any{"x": []float64{1, 2, 3, 4, 5, 6, 7, 8}, "name": "a name", "count": 42}

// callers is how many goroutines enqueue at once; each waits for its own confirm.
const callers = 512

func BenchmarkEnqueue(b *testing.B) {
	bundle := setup(b)
	bundle.Queue("q", nil)
	b.ReportAllocs()
	concurrently(b, func() error {
		_, err := bundle.client.Enqueue(bundle.ctx, penstock.Job{Task: "q.f", Args: benchArgs})
		return err
	})
}

// BenchmarkRaw is the same message by amqp091-go alone: one goroutine, 1024 confirms outstanding.
func BenchmarkRaw(b *testing.B) {
	broker := brokertest.New(b)
	broker.Queue("q", nil)
	ch, err := broker.Conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		b.Fatal(err)
	}
	id := wire.NewID()
	body, err := wire.EncodeJob(&wire.Job{ID: id, Task: "q.f", Version: 1, Args: benchArgs, CreatedAt: 1}, wire.MaxBodyBytes)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	var window [1024]*amqp.DeferredConfirmation
	for i := range b.N + len(window) {
		if c := window[i%len(window)]; c != nil && !c.Wait() {
			b.Fatal("nacked")
		}
		window[i%len(window)] = nil
		if i >= b.N {
			continue
		}
		window[i%len(window)], err = ch.PublishWithDeferredConfirm(broker.Name(wire.ExchangeJobs), "q.f", true, false, amqp.Publishing{
			Type: wire.TypeJob, ContentType: wire.ContentType, MessageId: id, CorrelationId: id, DeliveryMode: amqp.Persistent,
			UserId: "guest", ReplyTo: "guest.0123456789abcdef",
			Headers: amqp.Table{wire.HeaderResultMode: "reply", wire.HeaderTaskVersion: int64(1)}, Body: body,
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	measured(b, cpu)
}

// BenchmarkRoundTrip is one job after the other, to a worker in Go that sends the arguments back.
func BenchmarkRoundTrip(b *testing.B) {
	bundle := setup(b)
	bundle.Worker(bundle.Queue("q", nil), nil, brokertest.Echo)
	b.ResetTimer()
	for range b.N {
		handle, err := bundle.client.Enqueue(bundle.ctx, penstock.Job{Task: "q.f", Args: benchArgs})
		if err == nil {
			err = handle.Wait(bundle.ctx, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRawRoundTrip is the same by amqp091-go alone, without a confirm.
func BenchmarkRawRoundTrip(b *testing.B) {
	broker := brokertest.New(b)
	broker.Worker(broker.Queue("q", nil), nil, brokertest.Echo)
	replyTo := "guest." + wire.NewInstance()
	ch, err := broker.Conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	replies, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err == nil {
		err = ch.QueueBind(replies.Name, replyTo, broker.Name(wire.ExchangeReplies), false, nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	deliveries, err := ch.Consume(replies.Name, "", true, true, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	id := wire.NewID()
	body, err := wire.EncodeJob(&wire.Job{ID: id, Task: "q.f", Version: 1, Args: benchArgs, CreatedAt: 1}, wire.MaxBodyBytes)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		broker.Publish(wire.ExchangeJobs, "q.f", amqp.Publishing{
			Type: wire.TypeJob, MessageId: id, CorrelationId: id, DeliveryMode: amqp.Persistent, ReplyTo: replyTo,
			Headers: amqp.Table{wire.HeaderResultMode: "reply"}, Body: body,
		})
		<-deliveries
	}
}

// concurrently calls f b.N times from many goroutines.
func concurrently(b *testing.B, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	b.ResetTimer()
	cpu := cpuTime()
	for range min(callers, b.N) {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	measured(b, cpu)
}

func measured(b *testing.B, cpu time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/1000, "cpu-us/op")
}

// cpuTime is what this process has used, which drifts less than the rates do.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
