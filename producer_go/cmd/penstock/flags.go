package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

// common are the options of every verb.
type common struct {
	set       *flag.FlagSet
	help      func()
	env       environment
	url       string
	redis     string
	namespace string
	timeout   time.Duration
}

func newCommon(env environment, synopsis string) *common {
	c := &common{set: flag.NewFlagSet("penstock", flag.ContinueOnError), env: env}
	c.set.SetOutput(io.Discard) // a wrong option gets a sentence, not a page
	c.help = func() {
		c.set.SetOutput(env.stdout)
		fmt.Fprintf(env.stdout, "usage: penstock %s\n\n", synopsis)
		c.set.PrintDefaults()
	}
	c.set.Usage = func() {} // flag would call it for every mistake
	c.set.StringVar(&c.redis, "redis", "", "`URL` of Redis (default $PENSTOCK_REDIS_URL)")
	c.set.StringVar(&c.namespace, "namespace", "", "first word of all names (default \"penstock\")")
	c.set.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long all may take")
	return c
}

// parse reads options before and after the one word that the verb is about.
func (c *common) parse(what string) (string, error) {
	var words []string
	for rest := c.env.args; len(rest) > 0; {
		if err := c.set.Parse(rest); err == flag.ErrHelp {
			c.help()
			return "", err
		} else if err != nil {
			return "", usageError(err.Error())
		}
		if rest = c.set.Args(); len(rest) > 0 {
			words, rest = append(words, rest[0]), rest[1:]
		}
	}
	if len(words) != 1 {
		return "", usageError(fmt.Sprintf("one %s is expected, not %d words; see penstock --help", what, len(words)))
	}
	if c.timeout <= 0 {
		return "", usageError("--timeout must be more than 0")
	}
	if c.redis == "" {
		c.redis = c.env.getenv("PENSTOCK_REDIS_URL")
	}
	return words[0], nil
}

// store returns the result store, which must be closed. It is asked for a sign of life first: waiting for a
// result from a server that is not there would only take long.
func (c *common) store(ctx context.Context) (*redisresults.Store, error) {
	if c.redis == "" {
		return nil, usageError("no Redis is named; use --redis or set PENSTOCK_REDIS_URL to redis://localhost:6379/0")
	}
	store, err := redisresults.New(c.redis)
	if err != nil {
		return nil, usageError(err.Error())
	}
	if err := store.Ping(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}
