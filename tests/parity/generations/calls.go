package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// outcomes are what the calls came to, by their names.
type outcomes map[string]any

// main makes all calls and prints what they came to.
func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := penstock.Open(ctx, penstock.Options{URL: os.Getenv("PENSTOCK_AMQP_URL"), Namespace: os.Args[1]})
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())
	made := outcomes{}
	calls(ctx, client, made)
	if err := json.NewEncoder(os.Stdout).Encode(made); err != nil {
		panic(err)
	}
}

// add keeps a result, or the error's code and details.
func (o outcomes) add(name string, value any, err error) {
	var remote *penstock.RemoteError
	switch {
	case err == nil:
		o[name] = value
	case errors.As(err, &remote):
		o[name] = map[string]any{"code": remote.Code, "details": remote.Details}
	default:
		_, o[name], _ = strings.Cut(err.Error(), ": ") // before it stands the job's id
	}
}

func pointer[T any](v T) *T { return &v }
