package main

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

func TestMain(m *testing.M) {
	logging.Disable()
	goleak.VerifyTestMain(m)
}

// call runs the command with these servers in its environment.
func call(amqpURL, redisURL string, args ...string) (stdout, stderr string, status int) {
	var out, err bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	env := map[string]string{"PENSTOCK_AMQP_URL": amqpURL, "PENSTOCK_REDIS_URL": redisURL}
	status = run(ctx, args, func(name string) string { return env[name] }, &out, &err)
	return strings.TrimSpace(out.String()), strings.TrimSpace(err.String()), status
}

func TestEnqueueWaitsAndPrintsTheResult(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	b.Worker(b.Queue("q", nil), nil, brokertest.Echo)
	args := `{"i": 9007199254740993, "f": 1.5, "s": "<ü>", "b": {"$bin": "AP8="}, "n": null, "l": [true, {}]}`

	for _, line := range [][]string{
		{"enqueue", "q.f", "--args", args, "--wait", "--namespace", b.Namespace},
		{"enqueue", "--wait", "--args=" + args, "--namespace=" + b.Namespace, "q.f"},
	} {
		out, stderr, status := call(b.URL, "", line...)
		want := `{"b":{"$bin":"AP8="},"f":1.5,"i":9007199254740993,"l":[true,{}],"n":null,"s":"<ü>"}`
		if out != want || stderr != "" || status != wire.ExitOk {
			t.Errorf("%v: got %d\n%s\n%s", line, status, out, stderr)
		}
	}
}

func TestItemsArePrintedOneOnALine(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	b.Serve(b.Queue("q", nil), nil, func(job *wire.Job, d amqp.Delivery) []byte {
		items := []string{"\x01", "\x81\xa1x\x02"}
		for i, item := range items {
			b.SendItem(d, wire.Place{Worker: "w", Fence: 1, Seq: int64(i)}, []byte(item))
		}
		n := int64(len(items))
		if job.Task == "q.short" {
			n++
		}
		return brokertest.ResultOf(b, job, &wire.Result{Items: &n, Value: "end"})
	})
	for line, want := range map[string]string{"--stream": "1\n{\"x\":2}", "--stream --wait": "1\n{\"x\":2}\n\"end\""} {
		args := append([]string{"enqueue", "q.f", "--namespace", b.Namespace}, strings.Fields(line)...)
		if out, stderr, status := call(b.URL, "", args...); out != want || stderr != "" || status != wire.ExitOk {
			t.Errorf("%s: got %d\n%s\n%s", line, status, out, stderr)
		}
	}
	_, stderr, status := call(b.URL, "", "enqueue", "q.short", "--stream", "--namespace", b.Namespace)
	if status != wire.ExitTempfail || !strings.Contains(stderr, "items were lost") {
		t.Errorf("one is missing: %d %s", status, stderr)
	}
}

func TestAStoredResultIsFetchedByItsID(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	redis, store := b.Redis()
	queue := b.Queue("q", nil)
	id, stderr, status := call(b.URL, redis, "enqueue", "q.f", "--stored", "--args", `{"x": 1}`, "--namespace", b.Namespace)
	if status != wire.ExitOk || !wire.ValidJobID(id) {
		t.Fatalf("got %d %s %s", status, id, stderr)
	}

	_, stderr, status = call(b.URL, redis, "result", id, "--timeout", "1s", "--namespace", b.Namespace)
	if status != wire.ExitTempfail || !strings.HasPrefix(stderr, "penstock: TEMPFAIL: ") {
		t.Fatalf("before the job has ended: %d %s", status, stderr)
	}
	b.Worker(queue, store, brokertest.Echo)
	if out, stderr, status := call("", redis, "result", id, "--namespace", b.Namespace); out != `{"x":1}` || status != wire.ExitOk {
		t.Fatalf("got %d %s %s", status, out, stderr)
	}
	if out, stderr, status := call(b.URL, redis, "enqueue", "q.f", "--stored", "--wait", "--namespace", b.Namespace); out != `{}` || status != wire.ExitOk {
		t.Fatalf("stored and waited for: %d %s %s", status, out, stderr)
	}
}

func TestAJobIsRepeatedUnderItsID(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	queue := b.Queue("q", nil)
	id := wire.NewID()

	out, stderr, status := call(b.URL, "", "enqueue", "q.f", "--id", id, "--namespace", b.Namespace)

	if d := b.Get(queue); out != id || status != wire.ExitOk || d.MessageId != id || d.Headers["x-repeat"] != int64(1) {
		t.Fatalf("got %d %s %s, and published %v", status, out, stderr, d.Headers)
	}
}

func TestAJobThatIsNotAnsweredInTimeIsATemporaryFailure(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	b.Queue("q", nil) // nobody works on it

	_, stderr, status := call(b.URL, "", "enqueue", "q.f", "--wait", "--timeout", "300ms", "--namespace", b.Namespace)

	if status != wire.ExitTempfail || !strings.HasPrefix(stderr, "penstock: TEMPFAIL: job ") || !strings.Contains(stderr, "accepted") {
		t.Fatalf("got %d %s", status, stderr)
	}
}

func TestAFailedJobIsAnErrorWithItsCode(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	b.Worker(b.Queue("q", nil), nil, func(*wire.Job, amqp.Delivery) *wire.Result {
		return &wire.Result{Failure: &wire.Failure{Code: "TASK_ERROR", Message: "no such axis"}}
	})

	out, stderr, status := call(b.URL, "", "enqueue", "q.f", "--wait", "--namespace", b.Namespace)

	if out != "" || status != wire.ExitRemote || !strings.HasPrefix(stderr, "penstock: TASK_ERROR: no such axis (job ") || strings.Contains(stderr, "\n") {
		t.Fatalf("got %d %q %q", status, out, stderr)
	}
}

func TestEveryMistakeHasItsSentenceAndStatus(t *testing.T) {
	t.Parallel()
	b := brokertest.New(t)
	wrong := strings.Replace(b.URL, "guest:guest@", "guest:wrong@", 1)
	ns := b.Namespace
	for _, c := range []struct {
		url    string
		args   []string
		status int
		says   string
	}{
		{b.URL, nil, wire.ExitUsage, "usage:"},
		{b.URL, []string{"dance"}, wire.ExitUsage, "usage:"},
		{b.URL, []string{"enqueue"}, wire.ExitUsage, "one TASK is expected"},
		{b.URL, []string{"enqueue", "q.f", "q.g"}, wire.ExitUsage, "not 2 words"},
		{b.URL, []string{"enqueue", "q.f", "--wat"}, wire.ExitUsage, "not defined: -wat"},
		{b.URL, []string{"enqueue", "q.f", "--timeout", "0s"}, wire.ExitUsage, "--timeout"},
		{b.URL, []string{"enqueue", "q.f", "--id", "1", "--namespace", ns}, wire.ExitUsage, "UUIDv7"},
		{b.URL, []string{"enqueue", "noqueue", "--namespace", ns}, wire.ExitUsage, "no task's name"},
		{b.URL, []string{"enqueue", "q.f", "--stored", "--wait"}, wire.ExitUsage, "PENSTOCK_REDIS_URL"},
		{"", []string{"enqueue", "q.f"}, wire.ExitUsage, "PENSTOCK_AMQP_URL"},
		{"http://localhost", []string{"enqueue", "q.f"}, wire.ExitUsage, "amqp://"},
		{b.URL, []string{"result", "1", "--redis", "redis://localhost:1"}, wire.ExitUsage, "UUIDv7"},
		{b.URL, []string{"result", wire.NewID(), "--redis", "redis//"}, wire.ExitUsage, "redis://"},
		{b.URL, []string{"result", wire.NewID(), "--redis", "redis://localhost:1", "--timeout", "100ms"}, wire.ExitUnavailable, "Redis does not answer"},
		{b.URL, []string{"enqueue", "q.f", "--args", "[1]"}, wire.ExitData, "JSON object"},
		{b.URL, []string{"enqueue", "q.f", "--args", "{"}, wire.ExitData, "--args: unexpected"},
		{b.URL, []string{"enqueue", "q.f", "--args", `{"x": 1e999}`}, wire.ExitData, "1e999"},
		{b.URL, []string{"enqueue", "q.f", "--args", `{"x": 9223372036854775808}`}, wire.ExitData, "send it as a string"},
		{b.URL, []string{"enqueue", "q.f", "--args", `{"x": 1, "x": 2}`}, wire.ExitData, `"x" is there twice`},
		{b.URL, []string{"enqueue", "q.f", "--args", `{} {}`}, wire.ExitData, "more after"},
		{b.URL, []string{"enqueue", "q.f", "--args", strings.Repeat(`{"a":[`, 40) + strings.Repeat("]}", 40), "--namespace", ns}, wire.ExitData, "nested deeper"},
		{b.URL, []string{"enqueue", "q.f", "--args", `{"x": "` + strings.Repeat("x", 1<<20) + `"}`, "--namespace", ns}, wire.ExitData, "TOO_LARGE"},
		{b.URL, []string{"enqueue", "nobody.f", "--namespace", ns}, wire.ExitUnroutable, "UNROUTABLE"},
		{b.URL, []string{"enqueue", "q.f", "--namespace", "missing"}, wire.ExitConfig, "penstock topology apply"},
		{wrong, []string{"enqueue", "q.f", "--namespace", ns}, wire.ExitNoperm, "NOPERM"},
		{"amqp://localhost:1", []string{"enqueue", "q.f"}, wire.ExitUnavailable, "does not answer"},
	} {
		out, stderr, status := call(c.url, "", c.args...)
		if out != "" || status != c.status || !strings.Contains(stderr, c.says) {
			t.Errorf("%.80v: got %d (not %d)\n%s%s", c.args, status, c.status, out, stderr)
		}
		if c.says != "usage:" && (strings.Contains(stderr, "\n") || !strings.HasPrefix(stderr, "penstock: ")) {
			t.Errorf("%.80v: this is not one sentence: %s", c.args, stderr)
		}
	}
}

func TestHelpIsNoMistake(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"help"}, {"enqueue", "--help"}, {"result", "-h"}} {
		if out, stderr, status := call("", "", args...); status != wire.ExitOk || stderr != "" || !strings.Contains(out, "usage:") {
			t.Errorf("%v: got %d %s %s", args, status, out, stderr)
		}
	}
}

func TestWhatJSONHasNoWordsForIsPrintedAllTheSame(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	value := map[string]any{"b": []byte{0}, "l": []any{math.NaN(), math.Inf(-1), 2.0}, "t": time.Unix(0, 5).UTC()}
	if err := printJSON(&out, value); err != nil {
		t.Fatal(err)
	}
	want := `{"b":{"$bin":"AA=="},"l":[{"$float":"NaN"},{"$float":"-Inf"},2],"t":{"$time":"1970-01-01T00:00:00.000000005Z"}}` + "\n"
	if out.String() != want {
		t.Errorf("got %s", out.String())
	}
}
