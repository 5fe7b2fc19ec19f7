package redisresults_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/brokertest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
)

func open(t *testing.T, address string) *redisresults.Store {
	t.Helper()
	store, err := redisresults.New(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func admin(t *testing.T) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestURLsThatCannotBeUsedAreRefusedWithoutShowingThePassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "localhost:6379", "http://localhost", "redis://:secret@localhost:port/", "redis://localhost/x", "redis://localhost?nonsense=1"} {
		_, err := redisresults.New(address)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "redis://") {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func TestGetReturnsWhatIsStored(t *testing.T) {
	t.Parallel()
	client, store := admin(t), open(t, brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	ctx, key := within(t, 10*time.Second), "test:"+wire.NewID()

	if body, err := store.Get(ctx, key); body != nil || err != nil {
		t.Fatalf("nothing is there: %x, %v", body, err)
	}
	if err := client.Set(ctx, key, "\x00\xff", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if body, err := store.Get(ctx, key); string(body) != "\x00\xff" || err != nil {
		t.Fatalf("got %x, %v", body, err)
	}
}

func TestARangeComesWithTheHeadOfTheSameValue(t *testing.T) {
	t.Parallel()
	client, store := admin(t), open(t, brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	ctx, key := within(t, 10*time.Second), "test:"+wire.NewID()

	if head, part, err := store.GetRange(ctx, key, 8, 8, 100); len(head) > 0 || len(part) > 0 || err != nil {
		t.Fatalf("nothing is there: %q %q, %v", head, part, err)
	}
	values := []string{strings.Repeat("a", 40), strings.Repeat("b", 40)}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 500 {
			if err := client.Set(ctx, key, values[i%2], time.Minute).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 500 {
		head, part, err := store.GetRange(ctx, key, 8, 30, 100)
		if err != nil || len(part) > 0 && (len(head) != 8 || len(part) != 10 || head[0] != part[0]) {
			t.Fatalf("got %q %q, %v", head, part, err)
		}
	}
	writer.Wait()
}

func TestAWrongPasswordIsDenied(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("nobody", "secret")

	_, err = open(t, u.String()).Get(within(t, 10*time.Second), "k")

	if !errors.Is(err, penstock.ErrDenied) || strings.Contains(err.Error(), "secret") {
		t.Fatalf("got %v", err)
	}
}

func TestAServerThatIsNotThereIsUnavailable(t *testing.T) {
	t.Parallel()
	_, err := open(t, "redis://127.0.0.1:1/0").Get(within(t, 10*time.Second), "k")
	if !errors.Is(err, penstock.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

func TestGetHeedsACancelledContext(t *testing.T) {
	t.Parallel()
	f, address := brokertest.Forward(t, brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	store := open(t, address)
	if _, err := store.Get(within(t, 10*time.Second), "k"); err != nil {
		t.Fatal(err)
	}
	f.Stall(brokertest.ToClient, true)
	ctx, cancel := context.WithCancel(context.Background())
	began := time.Now()
	time.AfterFunc(50*time.Millisecond, cancel)

	_, err := store.Get(ctx, "k")

	if took := time.Since(began); !errors.Is(err, context.Canceled) || took > 2*time.Second {
		t.Fatalf("got %v after %s", err, took)
	}
	f.Stall(brokertest.ToClient, false)
}

func TestListenPassesHintsOnUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	client, store := admin(t), open(t, brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	ctx, cancel := context.WithCancel(within(t, 10*time.Second))
	channel := "test:" + wire.NewID()
	live, hints, ended := make(chan struct{}, 1), make(chan string, 2), make(chan error)
	go func() {
		ended <- store.Listen(ctx, channel, func() { live <- struct{}{} }, func(m string) { hints <- m })
	}()
	<-live
	for _, message := range []string{"a", "b"} {
		if err := client.Publish(ctx, channel, message).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := <-hints, <-hints; a != "a" || b != "b" {
		t.Fatalf("got %q, %q", a, b)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestListenEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	f, address := brokertest.Forward(t, brokertest.Env(t, "PENSTOCK_REDIS_URL"))
	store := open(t, address)
	live, ended := make(chan struct{}, 1), make(chan error)
	go func() {
		ended <- store.Listen(within(t, 10*time.Second), "test:c", func() { live <- struct{}{} }, func(string) {})
	}()
	<-live

	f.Refuse(true)
	f.Cut()

	if err := <-ended; !errors.Is(err, penstock.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}
