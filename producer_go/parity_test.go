package penstock_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// Go's side of tests/parity: both languages are held to one expected.json for each feature.

func expected(t *testing.T, feature string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "tests", "parity", feature, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestParityNames(t *testing.T) {
	t.Parallel()
	var file struct {
		Cases []struct {
			Kind, Text string
			Valid      bool
		}
	}
	expected(t, "names", &file)
	checks := map[string]func(string) bool{
		"task":   wire.ValidTask,
		"job_id": wire.ValidJobID,
		"word":   func(name string) bool { return wire.ValidWord(name, 64) },
	}
	for _, c := range file.Cases {
		if got := checks[c.Kind](c.Text); got != c.Valid {
			t.Errorf("%s %q: valid is %t, not %t", c.Kind, c.Text, got, c.Valid)
		}
	}
}

func TestParityPublishedJob(t *testing.T) {
	var file struct {
		Job struct {
			ID, Task  string
			Version   int
			Args      map[string]any
			Deadline  int64
			NotBefore int64 `json:"not_before"`
			Meta      map[string]string
		}
		Message struct {
			Exchange      string
			RoutingKey    string `json:"routing_key"`
			Type          string
			ContentType   string `json:"content_type"`
			MessageID     string `json:"message_id"`
			CorrelationID string `json:"correlation_id"`
			DeliveryMode  uint8  `json:"delivery_mode"`
			Headers       map[string]any
		}
	}
	expected(t, "published_job", &file)
	b := setup(t)
	queue := b.Queue("q", nil)
	job, want := file.Job, file.Message
	handle, err := b.client.Enqueue(b.ctx, penstock.Job{
		Task: job.Task, Args: job.Args, Version: job.Version, ID: job.ID, Meta: job.Meta, Result: penstock.ReplyAndStored,
		Deadline: time.UnixMilli(job.Deadline), NotBefore: time.UnixMilli(job.NotBefore),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := b.Get(queue)
	delete(got.Headers, "x-delivery-count") // the broker's
	headers := map[string]any{}
	for key, value := range got.Headers {
		if n, ok := value.(int64); ok {
			value = float64(n) // as encoding/json reads it
		}
		headers[key] = value
	}
	if got.Exchange != b.Name(want.Exchange) || got.RoutingKey != want.RoutingKey || got.Type != want.Type ||
		got.ContentType != want.ContentType || got.MessageId != want.MessageID || got.CorrelationId != want.CorrelationID ||
		got.DeliveryMode != want.DeliveryMode || got.MessageId != handle.ID() {
		t.Errorf("published %+v, not %+v", got, want)
	}
	if !reflect.DeepEqual(headers, want.Headers) {
		t.Errorf("headers %v, not %v", headers, want.Headers)
	}
	checkBody(t, got, job.Args, job.Meta, job.Deadline)
}

func checkBody(t *testing.T, got amqp.Delivery, args map[string]any, meta map[string]string, deadline int64) {
	t.Helper()
	body, err := wire.DecodeJob(got.Body, wire.MaxBodyBytes)
	if err != nil {
		t.Fatal(err)
	}
	var seen map[string]any
	if err := body.Args.(wire.Raw).Decode(&seen); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(seen, args) || !reflect.DeepEqual(body.Meta, meta) || *body.Deadline != deadline {
		t.Errorf("the body says %v, %v, %d", seen, body.Meta, *body.Deadline)
	}
	if user, _, _ := strings.Cut(got.ReplyTo, "."); user != got.UserId || got.UserId == "" {
		t.Errorf("reply_to %q does not belong to user_id %q", got.ReplyTo, got.UserId)
	}
}

func TestParityRemoteError(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Hex string
			Error     struct {
				Code, Message string
				Retryable     bool
				ExcType       string `json:"exc_type"`
				Details       map[string]any
				Attempt       int
				Task          string
				JobID         string `json:"job_id"`
				Worker        string
			}
		}
	}
	expected(t, "remote_error", &file)
	b := setup(t)
	queue := b.Queue("stats", nil)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			body, err := hex.DecodeString(c.Hex)
			if err != nil {
				t.Fatal(err)
			}
			handle, err := b.client.Enqueue(b.ctx, penstock.Job{Task: c.Error.Task, ID: c.Error.JobID})
			if err != nil {
				t.Fatal(err)
			}
			request := b.Get(queue)
			b.Publish("replies", request.ReplyTo, brokertest.Reply(handle.ID(), body))
			var remote *penstock.RemoteError
			if err := handle.Wait(b.ctx, nil); !errors.As(err, &remote) {
				t.Fatalf("got %v", err)
			}
			want := c.Error
			if remote.Code != want.Code || remote.Message != want.Message || remote.Retryable != want.Retryable ||
				remote.ExcType != want.ExcType || remote.Attempt != want.Attempt || remote.Task != want.Task ||
				remote.JobID != want.JobID || remote.Worker != want.Worker {
				t.Errorf("got %+v, not %+v", remote, want)
			}
			for key, value := range remote.Details {
				if n, ok := value.(int64); ok {
					remote.Details[key] = float64(n) // as encoding/json reads it
				}
			}
			if len(remote.Details)+len(want.Details) > 0 && !reflect.DeepEqual(remote.Details, want.Details) {
				t.Errorf("details %v, not %v", remote.Details, want.Details)
			}
		})
	}
}
