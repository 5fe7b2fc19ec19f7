package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// wrongArgs has a name that numpy.linalg.norm does not know, and lacks one that it needs.
type wrongArgs struct {
	Vector []float64 `msgpack:"vector"`
}

// troubles shows a job that needs three attempts, one that is refused, and one that ends dead.
func (d *demo) troubles(ctx context.Context) error {
	before, err := deadJobs("penstock.dead.stats")
	if err != nil {
		return err
	}
	hopeless := make(chan error, 1)
	go func() { hopeless <- d.call(ctx, "stats.hopeless", nil, nil) }()
	if err := d.refused(ctx); err != nil {
		return err
	}
	if err := d.retried(ctx); err != nil {
		return err
	}
	return d.dead(<-hopeless, before)
}

func (d *demo) refused(ctx context.Context) error {
	err := d.call(ctx, "stats.norm", wrongArgs{Vector: []float64{3, 4}}, nil)
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != penstock.CodeInvalidArgs {
		return fmt.Errorf("stats.norm with wrong arguments gave %v, not %s", err, penstock.CodeInvalidArgs)
	}
	d.screen.say("refused", "stats.norm with wrong arguments is answered, not tried:")
	d.screen.say("", "%s", d.screen.bad(remote.Code)+" "+remote.Message)
	return nil
}

func (d *demo) retried(ctx context.Context) error {
	began := time.Now()
	wipe := d.screen.meanwhile("stats.flaky fails, waits 1 s in the broker, fails, waits 2 s ...")
	var attempt int
	err := d.call(ctx, "stats.flaky", nil, &attempt)
	wipe()
	if err != nil {
		return err
	}
	if attempt != 3 {
		return fmt.Errorf("stats.flaky succeeded at attempt %d, not 3", attempt)
	}
	d.tally.retried("stats.flaky")
	d.screen.say("retried", "stats.flaky failed twice and %s, after %.1f s. It spent its waits of 1 s and 2 s in "+
		"RabbitMQ, not in the worker.",
		d.screen.good(fmt.Sprintf("succeeded at attempt %d", attempt)), time.Since(began).Seconds())
	return nil
}

func (d *demo) dead(err error, before int) error {
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != penstock.CodeTaskError || remote.Attempt != 2 {
		return fmt.Errorf("stats.hopeless gave %v, not %s at attempt 2", err, penstock.CodeTaskError)
	}
	after, err := deadJobs("penstock.dead.stats")
	if err != nil {
		return err
	}
	if after <= before {
		return fmt.Errorf("the dead queue holds %d jobs, as many as before: %d", after, before)
	}
	d.screen.say("dead", "stats.hopeless failed at both of its %d attempts:", remote.Attempt)
	d.screen.say("", "%s %s", d.screen.bad(remote.Code), remote.Message)
	d.screen.say("", "The queue penstock.dead.stats keeps the job: it held %d and holds %d now.", before, after)
	return nil
}

// deadJobs asks the broker how many jobs a dead queue holds, as any AMQP client may.
func deadJobs(queue string) (int, error) {
	connection, err := amqp.DialConfig(os.Getenv("PENSTOCK_AMQP_URL"), amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return 0, err
	}
	found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	return found.Messages, err
}
