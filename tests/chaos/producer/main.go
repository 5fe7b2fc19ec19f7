// Command producer is the Go side of the fault suite: it enqueues the jobs of a plan, awaits their results, and
// writes down what it learns of each in a journal, line by line, before it goes on.
//
//	producer -plan FILE -journal FILE -rate N
//
// Killed and started again with the same files it goes on where it was: what is in the journal is not enqueued
// again, and the stored results of jobs that an earlier life enqueued are awaited. A job whose enqueue was cut off
// stays as it is, unknown. SIGUSR1 ends the waiting for replies that were lost with their connection.
//
// The servers are those of PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

// settings are the flags.
type settings struct {
	plan      string
	journal   string
	namespace string
	rate      float64       // jobs per second
	callers   int           // goroutines that enqueue
	bound     time.Duration // of the whole run
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
}

func flags() settings {
	var s settings
	flag.StringVar(&s.plan, "plan", "", "the jobs, one JSON object a line")
	flag.StringVar(&s.journal, "journal", "", "where it is written what became of them")
	flag.StringVar(&s.namespace, "namespace", "penstock", "prefix of broker objects and keys")
	flag.Float64Var(&s.rate, "rate", 1000, "jobs per second")
	flag.IntVar(&s.callers, "callers", 64, "how many jobs are enqueued at once")
	flag.DurationVar(&s.bound, "bound", 2*time.Minute, "after which results are no longer awaited")
	flag.Parse()
	return s
}

func run(ctx context.Context) error {
	s := flags()
	// Without a deadline, which a context would hand on; see load.await.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(s.bound, cancel).Stop()
	hope, giveUp := signal.NotifyContext(ctx, syscall.SIGUSR1)
	defer giveUp()
	jobs, err := readPlan(s.plan)
	if err != nil {
		return err
	}
	past, err := readJournal(s.journal)
	if err != nil {
		return err
	}
	journal, err := openJournal(s.journal)
	if err != nil {
		return err
	}
	defer journal.close()
	store, err := redisresults.New(os.Getenv("PENSTOCK_REDIS_URL"))
	if err != nil {
		return err
	}
	defer store.Close()
	client, err := open(ctx, penstock.Options{
		URL: os.Getenv("PENSTOCK_AMQP_URL"), Results: store, Namespace: s.namespace, Name: "penstock chaos",
	})
	if err != nil {
		return err
	}
	load := &load{client: client, journal: journal, settings: s, hope: hope}
	load.run(ctx, jobs, past)
	stats := client.Stats()
	journal.write(line{
		Event: "end", Dropped: stats.DroppedReplies, Reconnects: stats.Reconnects, Refusals: load.refusals.Load(),
	})
	closing, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	return client.Close(closing)
}

// open tries until there is a connection: a service that starts during an outage is started again, too.
func open(ctx context.Context, options penstock.Options) (*penstock.Client, error) {
	for {
		client, err := penstock.Open(ctx, options)
		if err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
