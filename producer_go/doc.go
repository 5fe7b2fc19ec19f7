// Package penstock lets Go services call functions of Python workers through RabbitMQ.
//
//	client, err := penstock.Open(ctx, penstock.Options{URL: "amqp://app:secret@localhost/"})
//	if err != nil {
//		return err
//	}
//	defer client.Close(ctx)
//
//	handle, err := client.Enqueue(ctx, penstock.Job{Task: "stats.norm", Args: map[string]any{"x": []float64{3, 4}}})
//	if err != nil {
//		return err
//	}
//	var norm float64
//	err = handle.Wait(ctx, &norm) // 5
//
// # What happens
//
// Enqueue encodes the job, publishes it to the exchange penstock.jobs under the task's name, and returns when
// the broker has confirmed that it keeps it. The broker routes it to the queue named by the first word of
// the task, here stats. A Python worker runs the function and answers over this client's reply queue, or by
// a key in Redis, and Wait hands the answer to whoever holds the job's handle. Every accepted job ends in
// exactly one result: a value, or a [RemoteError].
//
// # When things go wrong
//
// An enqueue has three outcomes, never two: accepted, not accepted, and unknown. A connection that is lost
// between a job and its confirm leaves it unknown; Enqueue then publishes the same job, under the same ID,
// until it is accepted or the context ends, and only then returns [ErrUnknown]. What is published again says
// so, and workers look for a stored result before they run it: repeating a job is safe.
//
// The client reconnects by itself: at once, then after 0.1 to 10 seconds with jitter. Meanwhile Enqueue
// waits, until its context ends. What no waiting will heal, such as a wrong password or a missing exchange,
// is returned at once, unless the job's outcome is unknown, and tried again in the background.
//
// # Contexts and deadlines
//
// A context bounds the call it is given to. A job given to Enqueue with a context that has a deadline ends
// shortly before it, unless [Job] says otherwise: work that nobody waits for any longer is not started, and
// the error that says where the time went (see [RemoteError.Spent]) still finds its caller. Cancelling a
// context does not cancel a job; [Handle.Cancel] does.
//
// # Replies or stored results
//
// A [Reply] is fast and lives in memory. All replies of a client come to one address; those that arrive
// while its connection is lost are lost, and Wait says so with [ErrReplyLost] when it has waited in vain. A
// [Stored] result is kept in Redis for a day, where any process finds it by the job's ID with
// [Client.Result]; while Redis cannot be reached Wait asks again, until its context ends.
//
// # Items and progress
//
// A task may yield items while it runs, and say how far it is. [Handle.Stream] is a loop over the items,
// [Handle.Progress] one over the newest progress, and Wait still returns the result. In mode Reply the task runs at
// most 64 items ahead of the loop, so a slow caller slows it down; stored items wait in Redis, where
// [Client.Stream] finds them from any process. A job that begins anew yields its items again from the first, and
// the loop says so with [ErrRestarted].
//
// # Memory
//
// A job whose reply is awaited takes an entry in the client until the reply has come, or the garbage
// collector has found that nobody holds the [Handle] any more. Handles may be dropped. Of the items of a job at most 64
// that nobody has taken are kept.
package penstock
