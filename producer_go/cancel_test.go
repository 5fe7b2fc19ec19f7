package penstock_test

import (
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

func TestACommandIsHeardByEveryWorkerAsItIsSpecified(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard := make(chan amqp.Delivery, 4)
	for range 2 {
		b.Commands(func(d amqp.Delivery) { heard <- d })
	}
	b.Queue("q", nil)
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err != nil {
		t.Fatal(err)
	}

	if err := handle.Cancel(b.ctx); err != nil {
		t.Fatal(err)
	}

	for range 2 {
		d := <-heard
		if d.Exchange != b.Name("control") || d.RoutingKey != "" || d.Type != "cancel.v1" || d.UserId == "" || d.ReplyTo != "" ||
			d.DeliveryMode != amqp.Transient || len(d.Body) != 0 || len(d.Headers) != 1 || d.Headers["x-job"] != handle.ID() {
			t.Errorf("got %+v", d)
		}
	}
}

func TestACommandThatIsDeniedLeavesJobsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)
	b.Commands(func(amqp.Delivery) {})
	url := b.Producer("q") // who may write jobs and nothing else
	client := b.open(t, func(o *penstock.Options) { o.URL = url })
	errs := make(chan error)
	for i := range 40 {
		go func() {
			if i%4 > 0 {
				handle, err := client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
				if err == nil {
					err = handle.Wait(b.ctx, nil)
				}
				errs <- err
				return
			}
			err := client.Cancel(b.ctx, wire.NewID())
			if errors.Is(err, penstock.ErrDenied) && !errors.Is(err, penstock.ErrUnknown) {
				err = nil
			} else {
				err = errors.Join(errors.New("the command should have been denied"), err)
			}
			errs <- err
		}()
	}
	for range 40 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestAControlExchangeThatIsMissingIsReportedAndLeavesJobsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)
	b.DropExchange(wire.ExchangeControl)

	mustBe(t, b.client.Cancel(b.ctx, wire.NewID()), penstock.ErrTopology)

	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f"})
	if err == nil {
		err = handle.Wait(b.ctx, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}
