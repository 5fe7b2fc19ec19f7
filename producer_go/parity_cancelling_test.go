package penstock_test

import (
	"maps"
	"reflect"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Go's side of tests/parity/cancelling: it gives the command, and takes no answer to it for a result.
func TestParityCancelling(t *testing.T) {
	t.Parallel()
	type message struct {
		Exchange      string
		RoutingKey    string `json:"routing_key"`
		Type          string
		MessageID     string `json:"message_id"`
		CorrelationID string `json:"correlation_id"`
		DeliveryMode  uint8  `json:"delivery_mode"`
		Headers       amqp.Table
	}
	var file struct {
		Job                      string
		Command, Acknowledgement message
		Steps                    []string
	}
	expected(t, "cancelling", &file)
	steps := []string{
		wire.CancelNeverStarted, wire.CancelException, wire.CancelKilled, wire.CancelEnded, wire.CancelUnknownHere,
	}
	if !reflect.DeepEqual(steps, file.Steps) {
		t.Errorf("the steps are %v, not %v", steps, file.Steps)
	}
	b := setup(t)
	queue := b.Queue("q", nil)
	heard := make(chan amqp.Delivery, 1)
	b.Commands(func(d amqp.Delivery) { heard <- d })
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: "q.f", ID: file.Job})
	if err != nil {
		t.Fatal(err)
	}

	if err := handle.Cancel(b.ctx); err != nil {
		t.Fatal(err)
	}

	got, want := <-heard, file.Command
	if got.Exchange != b.Name(want.Exchange) || got.RoutingKey != want.RoutingKey || got.Type != want.Type ||
		got.MessageId != want.MessageID || got.CorrelationId != want.CorrelationID || got.DeliveryMode != want.DeliveryMode ||
		got.ContentType != "" || got.UserId == "" || len(got.Body) != 0 || !reflect.DeepEqual(got.Headers, want.Headers) {
		t.Errorf("published %+v, not %+v", got, want)
	}

	// Somebody may have the command answered where the result is awaited.
	replyTo := b.Get(queue).ReplyTo
	for _, step := range file.Steps {
		answer := file.Acknowledgement
		headers := maps.Clone(answer.Headers)
		headers[wire.HeaderStep] = step
		b.Publish(answer.Exchange, replyTo, amqp.Publishing{
			Type: answer.Type, CorrelationId: answer.CorrelationID, DeliveryMode: answer.DeliveryMode, Headers: headers,
		})
	}
	body := brokertest.ResultOf(b.Broker, &wire.Job{ID: file.Job, Task: "q.f", Version: 1}, &wire.Result{})
	b.Publish(wire.ExchangeReplies, replyTo, brokertest.Reply(file.Job, body))
	if err := handle.Wait(b.ctx, nil); err != nil {
		t.Errorf("an acknowledgement was taken for the result: %v", err)
	}
}
