package penstock_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
)

// What concerns the broker as a whole needs one of its own. There is one, and one queue, for all these tests:
// on RabbitMQ 3.10 a quorum queue that was made in the last seconds before a kill finds no leader afterwards,
// so the crash comes last, after a restart in good order.
func TestABrokerWithTroubles(t *testing.T) {
	t.Parallel()
	private := brokertest.NewPrivate(t)
	b := &bundle{Broker: brokertest.At(t, private.URL)}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // a broker starts slowly on a busy machine
	t.Cleanup(cancel)
	b.ctx = ctx
	queue := b.Queue("q", nil)
	for _, c := range []struct {
		name string
		test func(*testing.T, *bundle, *brokertest.Private, string)
	}{
		{"a memory alarm holds jobs back and loses none", memoryAlarm},
		{"a restart is waited for", restart},
		{"a crash loses no job that was accepted", crash},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.client = b.open(t)
			c.test(t, b, private, queue)
		})
	}
}

func memoryAlarm(t *testing.T, b *bundle, broker *brokertest.Private, queue string) {
	job := penstock.Job{Task: "q.f", Result: penstock.NoResult}
	broker.Alarm(true)
	t.Cleanup(func() { broker.Alarm(false) })

	// The broker says so to whoever publishes, and takes that first job when the alarm is over.
	first := b.enqueueing(b.ctx, job)
	eventually(t, "the client knows that the broker takes no jobs", func() bool {
		_, err := b.client.Enqueue(within(t, 50*time.Millisecond), job)
		mustBe(t, err, context.DeadlineExceeded)
		return strings.Contains(err.Error(), "RabbitMQ takes no messages at present")
	})
	_, err := b.client.Enqueue(within(t, 50*time.Millisecond), job)
	mustBe(t, err, penstock.ErrUnavailable)
	later := b.enqueueing(b.ctx, job)
	select {
	case err := <-first:
		t.Fatalf("during the alarm: %v", err)
	case err := <-later:
		t.Fatalf("during the alarm: %v", err)
	default:
	}

	broker.Alarm(false)

	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := <-later; err != nil {
		t.Fatal(err)
	}
	if b.client.Stats().Reconnects != 0 {
		t.Fatalf("the connection was given up: %+v", b.client.Stats())
	}
	if ids := b.Drain(queue); len(ids) < 2 {
		t.Fatalf("the queue has %v", ids)
	}
}

func restart(t *testing.T, b *bundle, broker *brokertest.Private, _ string) {
	queue := b.Queue("worked", nil) // its worker stays, and would take the jobs of the others
	inFlight, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "worked.f"})
	if err != nil {
		t.Fatal(err)
	}

	broker.Stop()
	_, err = b.client.Enqueue(within(t, 50*time.Millisecond), penstock.Job{Task: "worked.f"})
	mustBe(t, err, penstock.ErrUnavailable, context.DeadlineExceeded)
	waiting := b.enqueueing(b.ctx, penstock.Job{Task: "worked.f"})
	broker.Start()
	b.Connect()

	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	eventually(t, "both connections are made again", func() bool { return b.client.Stats().Reconnects >= 2 })
	b.Worker(queue, nil, brokertest.Echo)
	if err := inFlight.Wait(b.ctx, nil); err != nil {
		t.Fatalf("the job in flight: %v", err)
	}
}

func crash(t *testing.T, b *bundle, broker *brokertest.Private, queue string) {
	const callers = 8
	var mu sync.Mutex
	accepted := map[string]int{} // by ID: how often the queue has it
	enqueue := func() bool {
		handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", Result: penstock.NoResult})
		if err != nil {
			t.Errorf("a crash is no reason to give up: %v", err)
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		accepted[handle.ID()] = 0
		return true
	}
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range callers {
		group.Go(func() {
			for enqueue() {
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	eventually(t, "jobs are flowing", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(accepted) > 300
	})

	broker.Kill()
	broker.Start()
	b.Connect()
	enqueue() // waits for the connection
	close(stop)
	group.Wait()

	twice := 0
	for _, id := range b.Drain(queue) {
		times, known := accepted[id]
		if !known {
			t.Errorf("the queue has the job %s, which nobody was told of", id)
		}
		if accepted[id] = times + 1; times == 1 {
			twice++
		}
	}
	for id, times := range accepted {
		if times == 0 {
			t.Errorf("the job %s was accepted, and is lost", id)
		}
	}
	if twice > callers {
		t.Errorf("%d jobs are there twice, and only %d can have been unknown", twice, callers)
	}
}
