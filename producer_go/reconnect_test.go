package penstock_test

import (
	"errors"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
)

// Ways to lose a connection other than a cut, which outage_test.go has.

func TestAConnectionThatIsHalfOpenIsGivenUp(t *testing.T) {
	t.Parallel()
	b, f := broken(t, func(o *penstock.Options) { o.Heartbeat, o.DialTimeout = time.Second, 500*time.Millisecond })
	queue := b.Queue("q", nil)
	f.Stall(brokertest.ToServer, true)
	f.Stall(brokertest.ToClient, true)

	enqueued := b.enqueueing(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
	eventually(t, "the client dials again", func() bool { return f.Made() > 1 }) // nobody has told it anything
	f.Stall(brokertest.ToServer, false)
	f.Stall(brokertest.ToClient, false)

	if err := <-enqueued; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) > 0 })
}

func TestABrokerThatClosesTheConnectionsIsConnectedToAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	url := b.Producer("q")
	client := b.open(t, func(o *penstock.Options) { o.URL = url })
	handle, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}

	closed := 0
	eventually(t, "both connections are closed", func() bool { // the management plugin learns of them late
		closed += b.CloseConnections(url)
		return closed >= 2
	})
	eventually(t, "both are made again", func() bool { return client.Stats().Reconnects >= 2 })

	b.Worker(queue, nil, brokertest.Echo)
	if err := handle.Wait(b.ctx, nil); err != nil {
		t.Fatalf("the job in flight: %v", err)
	}
	if _, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f"}); err != nil {
		t.Fatalf("the next job: %v", err)
	}
}

func TestAPasswordThatIsWrongForAWhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queue := b.Queue("q", nil)
	producer := b.Producer("q")
	f, url := brokertest.Forward(t, producer)
	b.client = b.open(t, func(o *penstock.Options) { o.URL = url })
	job := penstock.Job{Task: "q.f", Result: penstock.NoResult}
	f.Stall(brokertest.ToClient, true)
	unknown := b.enqueueing(b.ctx, job)
	eventually(t, "the job is in the queue", func() bool { return b.Messages(queue) == 1 })

	b.SetPassword(producer, "rotated")
	f.Cut()
	f.Stall(brokertest.ToClient, false)

	eventually(t, "another job is denied", func() bool {
		_, err := b.client.Enqueue(within(t, time.Second), job)
		return errors.Is(err, penstock.ErrDenied) && !errors.Is(err, penstock.ErrUnknown)
	})
	select {
	case err := <-unknown:
		t.Fatalf("the job whose outcome is unknown was given up: %v", err)
	default:
	}

	b.SetPassword(producer, "secret")

	if err := <-unknown; err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Enqueue(b.ctx, job); err != nil {
		t.Fatalf("the next job: %v", err)
	}
	first, second := b.Get(queue), b.Get(queue)
	if first.MessageId != second.MessageId || second.Headers["x-repeat"] != int64(1) {
		t.Fatalf("the copies are %s and %s, %v", first.MessageId, second.MessageId, second.Headers)
	}
}
