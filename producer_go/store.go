package penstock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/amqpconn"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
)

// ResultStore reads what workers have stored. Package redisresults has the one for Redis.
//
// Its errors wrap [ErrDenied] when the store refuses this user, which ends every wait; after any other error
// it is asked again.
type ResultStore interface {
	// Get returns the bytes under a key, or nil without error while there are none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Listen subscribes to a channel. It calls live when the subscription has begun, and again whenever
	// messages may have been missed, then hint with each message. It returns when ctx ends or the
	// subscription is lost for good. The calls must not be concurrent.
	Listen(ctx context.Context, channel string, live func(), hint func(message string)) error
}

// ItemStore is a [ResultStore] that can read a value while it grows, for [Client.Stream]. The store of package
// redisresults is one. Errors are as for a ResultStore.
type ItemStore interface {
	ResultStore

	// GetRange returns the first head bytes under a key and those from the offset from up to before to, all as they
	// were at the same moment; fewer where the value is shorter, none while there is no such key.
	GetRange(ctx context.Context, key string, head, from, to int64) (first, part []byte, err error)
}

// How long to wait before the store is asked again, without and with a live subscription to its hints.
const (
	firstPoll     = 5 * time.Millisecond
	slowestPoll   = 250 * time.Millisecond
	firstBackup   = 250 * time.Millisecond
	slowestBackup = 2 * time.Second
)

// stored waits for stored results. The key counts: a hint only makes it look sooner.
type stored struct {
	store     ResultStore // nil: there is none
	namespace string
	channel   string
	ctx       context.Context // ended by close
	cancel    context.CancelFunc

	mu        sync.Mutex
	listening chan struct{} // closed by listen at its end; nil before the first hinted wait
	live      bool
	waiting   map[string][]chan struct{} // by job id; each holds one wake-up
}

func newStored(store ResultStore, namespace, replyTo string) *stored {
	s := &stored{
		store: store, namespace: namespace,
		channel: wire.Fill(wire.ResultChannel, "namespace", namespace, "reply_to", replyTo),
		waiting: make(map[string][]chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// await returns the stored body of a job's result. With hinted it expects a hint for this job.
func (s *stored) await(ctx context.Context, id string, hinted bool) (body []byte, err error) {
	err = s.follow(ctx, id, hinted, func() (found sight, err error) {
		if body, err = s.store.Get(ctx, s.key(wire.ResultKey, id)); body != nil {
			found = last
		}
		return found, err
	})
	return body, err
}

// sight is what a look into the store has found.
type sight uint8

const (
	nothing sight = iota // new: look again later
	more                 // there may be more at once
	last                 // there is nothing more to look for
)

// follow looks again and again until a look has found the last. With hinted it expects hints for this job.
func (s *stored) follow(ctx context.Context, id string, hinted bool, look func() (sight, error)) error {
	if s.store == nil {
		return ErrNoStore
	}
	wake := make(chan struct{}, 1)
	s.add(id, wake, hinted)
	defer s.remove(id, wake)
	var problem error // why the store could not be asked, the last time
	for polls := 0; ; polls++ {
		found, err := look()
		if err == nil || ctx.Err() == nil {
			problem = err
		}
		switch {
		case s.ctx.Err() != nil:
			return ErrClosed
		case err == nil && found == last:
			return nil
		case errors.Is(err, ErrDenied):
			return err
		case err == nil && found == more && ctx.Err() == nil:
			polls = -1
		case !s.pause(ctx, wake, s.interval(polls, hinted)):
			if problem != nil {
				problem = fmt.Errorf("the store cannot be asked: %w", problem)
			}
			return noResult(ctx, problem)
		}
	}
}

// key fills a template of the registry for a job.
func (s *stored) key(template, id string) string {
	return wire.Fill(template, "namespace", s.namespace, "job_id", id)
}

// pause waits for a hint or the time of the next poll; it returns false when ctx has ended.
func (s *stored) pause(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	case <-s.ctx.Done():
	case <-ctx.Done():
		return false
	}
	return true
}

func (s *stored) interval(polls int, hinted bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, slowest := firstPoll, slowestPoll
	if hinted && s.live {
		first, slowest = firstBackup, slowestBackup
	}
	return min(first<<min(polls, 10), slowest)
}

// add registers a waiter, and begins to listen when it is the first that expects a hint.
func (s *stored) add(id string, wake chan struct{}, hinted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[id] = append(s.waiting[id], wake)
	if hinted && s.listening == nil && s.ctx.Err() == nil {
		s.listening = make(chan struct{})
		go s.listen()
	}
}

func (s *stored) remove(id string, wake chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[id] = slices.DeleteFunc(s.waiting[id], func(w chan struct{}) bool { return w == wake })
	if len(s.waiting[id]) == 0 {
		delete(s.waiting, id)
	}
}

// listen keeps the subscription until the client is closed.
func (s *stored) listen() {
	defer close(s.listening)
	for failures := 0; s.ctx.Err() == nil; failures++ {
		began := time.Now()
		s.store.Listen(s.ctx, s.channel, s.subscribed, s.hint) // why it ended is told by Get, if it lasts
		s.setLive(false)
		if time.Since(began) > time.Minute {
			failures = 0
		}
		s.pause(s.ctx, nil, amqpconn.Delay(failures, rand.Float64()))
	}
}

// subscribed wakes everybody: their hints may have come before anybody listened.
func (s *stored) subscribed() {
	s.setLive(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.waiting {
		s.wake(id)
	}
}

func (s *stored) setLive(live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = live
}

func (s *stored) hint(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake(id)
}

func (s *stored) wake(id string) {
	for _, wake := range s.waiting[id] {
		select {
		case wake <- struct{}{}:
		default: // it has a wake-up already
		}
	}
}

// close ends every wait and the subscription; a second call waits too.
func (s *stored) close(ctx context.Context) error {
	s.cancel()
	s.mu.Lock()
	listening := s.listening
	s.mu.Unlock()
	if listening == nil {
		return nil
	}
	select {
	case <-listening:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
