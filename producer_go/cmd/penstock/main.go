// Command penstock enqueues a job, or fetches a stored result, from a shell.
//
//	penstock enqueue stats.norm --args '{"x": [3, 4]}' --wait
//	penstock result 0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6
//
// The servers are those of --url and --redis, or else of PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL. Results
// are printed as JSON; the exit statuses are those of contracts/registry/errors.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9/logging"

	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

const usage = `usage:
  penstock enqueue TASK [--args JSON] [--stream] [--wait] [--stored] [--id ID] [--timeout 30s]
  penstock result ID [--timeout 30s]

penstock COMMAND --help shows all options.
`

func main() {
	logging.Disable() // go-redis would print what our one sentence says
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// environment is what a verb gets from outside.
type environment struct {
	args   []string
	getenv func(string) string
	stdout io.Writer
	stderr io.Writer
}

// run is main without the process around it.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	verbs := map[string]func(context.Context, environment) error{"enqueue": enqueue, "result": result}
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	act, known := verbs[verb]
	switch {
	case verb == "-h" || verb == "-help" || verb == "--help" || verb == "help":
		fmt.Fprint(stdout, usage)
		return wire.ExitOk
	case !known:
		fmt.Fprint(stderr, usage)
		return wire.ExitUsage
	}
	err := act(ctx, environment{args[1:], getenv, stdout, stderr})
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return wire.ExitOk
	}
	name, status := classify(err)
	fmt.Fprintf(stderr, "penstock: %s\n", sentence(name, err))
	return status
}
