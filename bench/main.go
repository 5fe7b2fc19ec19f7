// Command bench is the Go side of the benchmarks: it publishes and awaits jobs and prints one JSON object.
//
//	bench enqueue   -count N    raw client against Enqueue, confirms awaited
//	bench roundtrip -count N    Go to Go echo against Go to Python to Go, one at a time
//	bench fill      -count N    jobs for a worker that is not there yet
//	bench items     -count N    items of one job, read as they come, their order checked
//	bench long      -count N    8 MB there and back, one at a time, in messages or in Redis
//	bench through   -count N    every job has exactly one result, whatever happens to the worker meanwhile
//
// The servers are those of PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

// settings are the flags, shared by all measurements.
type settings struct {
	count     int
	namespace string
	task      string
	result    penstock.ResultMode
	delay     time.Duration
}

type measurement func(ctx context.Context, client *penstock.Client, s settings) (map[string]float64, error)

var measurements = map[string]measurement{
	"enqueue":   enqueue,
	"roundtrip": roundtrip,
	"fill":      fill,
	"items":     items,
	"long":      long,
	"through":   through,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || measurements[args[0]] == nil {
		return fmt.Errorf("usage: bench enqueue|roundtrip|fill|items|long|through [flags]")
	}
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.count, "count", 10000, "number of jobs")
	flags.StringVar(&s.namespace, "namespace", "penstock", "prefix of broker objects and keys")
	flags.StringVar(&s.task, "task", "bench.add", "the task to call")
	stored := flags.Bool("stored", false, "results in Redis instead of the reply queue")
	flags.DurationVar(&s.delay, "delay", 0, "how long the jobs of fill wait in the broker")
	maxBody := flags.Int("max-body", 0, "longest body in a message; 0 is the default")
	none := flags.Bool("none", false, "no results")
	timeout := flags.Duration("timeout", 5*time.Minute, "bound of the whole run")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case *stored:
		s.result = penstock.Stored
	case *none:
		s.result = penstock.NoResult
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	store, err := redisresults.New(os.Getenv("PENSTOCK_REDIS_URL"))
	if err != nil {
		return err
	}
	defer store.Close()
	client, err := penstock.Open(ctx, penstock.Options{
		URL: os.Getenv("PENSTOCK_AMQP_URL"), Results: store, Namespace: s.namespace, Name: "penstock bench",
		MaxBodyBytes: *maxBody,
	})
	if err != nil {
		return err
	}
	figures, err := measurements[args[0]](ctx, client, s)
	if err != nil {
		return err
	}
	if err := client.Close(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}
