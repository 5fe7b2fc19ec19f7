package penstock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

// A job is handed in, and its result waited for.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := penstock.Open(ctx, penstock.Options{URL: os.Getenv("PENSTOCK_AMQP_URL")})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)

	handle, err := client.Enqueue(ctx, penstock.Job{Task: "stats.norm", Args: map[string]any{"x": []float64{3, 4}}})
	if err != nil {
		log.Fatal(err)
	}
	var norm float64
	if err := handle.Wait(ctx, &norm); err != nil {
		log.Fatal(err)
	}
	fmt.Println(norm)
}

// Arguments and results can be structs; a failure of the task tells its code.
func ExampleHandle_Wait() {
	type args struct {
		Values []float64 `msgpack:"values"`
		Axis   *int      `msgpack:"axis,omitempty"`
	}
	type summary struct {
		Mean float64 `msgpack:"mean"`
		Std  float64 `msgpack:"std"`
	}
	describe := func(ctx context.Context, client *penstock.Client, values []float64) (s summary, err error) {
		handle, err := client.Enqueue(ctx, penstock.Job{Task: "stats.describe", Args: args{Values: values}})
		if err != nil {
			return s, err
		}
		err = handle.Wait(ctx, &s)
		var failed *penstock.RemoteError
		switch {
		case errors.Is(err, &penstock.RemoteError{Code: penstock.CodeInvalidArgs}):
			return s, fmt.Errorf("these values cannot be described: %w", err)
		case errors.As(err, &failed) && failed.Retryable:
			return s, fmt.Errorf("try again later: %w", err)
		}
		return s, err
	}
	_ = describe
}

// The items of a task are read as they come, and its result after them.
func ExampleHandle_Stream() {
	type hit struct {
		Line int    `msgpack:"line"`
		Text string `msgpack:"text"`
	}
	grep := func(ctx context.Context, client *penstock.Client, pattern string) (hits []hit, err error) {
		handle, err := client.Enqueue(ctx, penstock.Job{Task: "logs.grep", Args: map[string]any{"pattern": pattern}})
		if err != nil {
			return nil, err
		}
		for item, err := range handle.Stream(ctx) {
			if errors.Is(err, penstock.ErrRestarted) {
				hits = nil // what came so far is void, and comes again
				continue
			}
			if err != nil {
				return nil, err
			}
			var h hit
			if err := item.Decode(&h); err != nil {
				return nil, err
			}
			hits = append(hits, h)
		}
		return hits, nil
	}
	_ = grep
}

// How far a job is, for a bar on the screen.
func ExampleHandle_Progress() {
	show := func(ctx context.Context, handle *penstock.Handle) error {
		for p, err := range handle.Progress(ctx) {
			if err != nil {
				return err
			}
			fmt.Printf("%3.0f %% %s\n", 100*p.Fraction, p.Text)
		}
		return handle.Wait(ctx, nil)
	}
	_ = show
}

// A stored result is fetched by any process that knows the job's ID.
func ExampleClient_Result() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	store, err := redisresults.New(os.Getenv("PENSTOCK_REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	client, err := penstock.Open(ctx, penstock.Options{URL: os.Getenv("PENSTOCK_AMQP_URL"), Results: store})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)

	job := penstock.Job{Task: "images.thumbnail", Args: map[string]any{"image": []byte("...")}, Result: penstock.Stored}
	handle, err := client.Enqueue(ctx, job)
	if err != nil {
		log.Fatal(err)
	}
	var thumbnail []byte
	if err := client.Result(ctx, handle.ID(), &thumbnail); err != nil {
		log.Fatal(err)
	}
}

// An enqueue whose outcome is not known is repeated under the same ID.
func ExampleEnqueueError() {
	enqueue := func(client *penstock.Client, job penstock.Job) (*penstock.Handle, error) {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			handle, err := client.Enqueue(ctx, job)
			cancel()
			var failed *penstock.EnqueueError
			if !errors.Is(err, penstock.ErrUnknown) || !errors.As(err, &failed) {
				return handle, err
			}
			job.ID = failed.JobID
		}
	}
	_ = enqueue
}
