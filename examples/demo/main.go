// Command demo is a Go service in miniature. It calls the Python functions of tasks.py through RabbitMQ,
// checks what comes back, and ends with an error if anything is not as it should be.
//
//	demo -data DIR     run all of it; DIR is the datasets folder of scikit-learn
//	demo fetch ID...   print stored thumbnails: a process that knows nothing but the jobs' ids
//
// The servers are those of PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL. run.py does everything around it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience bounds the whole program.
const patience = 60 * time.Second

func main() {
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(interrupted, patience)
	defer cancel()

	err := run(ctx, os.Args[1:])
	switch {
	case err == nil:
	case interrupted.Err() != nil:
		os.Exit(130)
	case errors.Is(err, flag.ErrHelp):
		os.Exit(64)
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "fetch" {
		return fetch(ctx, newScreen(os.Stdout), args[1:])
	}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	data := flags.String("data", "", "the datasets `folder` of scikit-learn (required)")
	batch := flags.Int("batch", 4, "images in a job")
	inFlight := flags.Int("in-flight", 4, "classification jobs at a time")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp
	}
	if *data == "" || *batch < 1 || *inFlight < 1 {
		flags.Usage()
		return flag.ErrHelp
	}
	return show(ctx, *data, *batch, *inFlight)
}

// show runs the acts one after the other and closes with the table.
func show(ctx context.Context, data string, batch, inFlight int) (err error) {
	set, err := readDigits(data)
	if err != nil {
		return err
	}
	client, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.close()) }()

	d := &demo{screen: newScreen(os.Stdout), client: client, tally: newTally()}
	for _, act := range []func() error{
		func() error { return d.classifyAll(ctx, set, batch, inFlight) },
		func() error { return d.thumbnails(ctx, data) },
		func() error { return d.norms(ctx, set) },
		func() error { return d.typed(ctx, set) },
		func() error { return d.troubles(ctx) },
	} {
		if err := act(); err != nil {
			return err
		}
		d.screen.line("")
	}
	if err := d.onlyOneResultEach(); err != nil {
		return err
	}
	d.tally.print(d.screen)
	return nil
}
