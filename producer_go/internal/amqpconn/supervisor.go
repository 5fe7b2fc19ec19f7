// Package amqpconn keeps one connection to RabbitMQ open: it is the only place that dials, and the only
// reconnect loop. The recovery that amqp091-go offers is left off, for it hides which connection a confirm
// or a queue belonged to.
package amqpconn

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

const (
	// healthy is how long a connection lives before its loss is followed by an attempt at once.
	healthy = time.Second
	// closeWithin bounds the closing handshake.
	closeWithin = 2 * time.Second
)

// Setup makes a new connection ready for use, before anybody else gets it. An error ends the connection and
// counts as a failed attempt.
type Setup func(context.Context, *Link) error

// Supervisor keeps one connection open from Start to Close.
type Supervisor struct {
	config Config
	setup  Setup
	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	done   chan struct{} // closed by run

	mu       sync.Mutex
	started  bool
	closeBy  time.Time
	link     *Link // nil while there is none
	err      error // why there is none; nil before the first attempt has ended
	connects int
	changed  chan struct{} // closed and replaced whenever link or err changes
}

// New returns a supervisor that has not been started.
func New(config Config, setup Setup) *Supervisor {
	s := &Supervisor{config: config, setup: setup, done: make(chan struct{}), changed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start begins to connect; a second call does nothing.
func (s *Supervisor) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started && s.ctx.Err() == nil {
		s.started = true
		go s.run()
	}
}

// Close ends the connection and waits until nothing of it is left, or until ctx ends; the rest then happens
// within a few seconds. A second call waits too.
func (s *Supervisor) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closeBy = time.Now().Add(closeWithin)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(s.closeBy) {
		s.closeBy = deadline
	}
	s.cancel()
	if !s.started {
		s.started = true
		close(s.done)
	}
	s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Link returns the present connection. While there is none it waits for the next, unless trying again is
// hopeless: a wrong password or a missing exchange is returned at once, although the attempts go on. Who
// insists waits all the same, for what is hopeless now may be mended before ctx ends.
func (s *Supervisor) Link(ctx context.Context, insist bool) (*Link, error) {
	return s.wait(ctx, func(err error) bool { return !insist && hopeless(err) })
}

// First is like Link but returns the failure of any attempt, the first one included.
func (s *Supervisor) First(ctx context.Context) (*Link, error) {
	return s.wait(ctx, func(error) bool { return true })
}

// Connects returns how many connections there have been.
func (s *Supervisor) Connects() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connects
}

func (s *Supervisor) wait(ctx context.Context, giveUp func(error) bool) (*Link, error) {
	for {
		s.mu.Lock()
		link, err, changed := s.link, s.err, s.changed
		s.mu.Unlock()
		switch {
		case s.ctx.Err() != nil:
			return nil, fault.ErrClosed
		case link != nil:
			return link, nil
		case err != nil && giveUp(err):
			return nil, err
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("%w: not connected yet", fault.ErrUnavailable)
			}
			return nil, fmt.Errorf("%w; gave up waiting: %w", err, ctx.Err())
		}
	}
}

func (s *Supervisor) set(link *Link, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if link != nil {
		s.connects++
	}
	s.link, s.err = link, err
	close(s.changed)
	s.changed = make(chan struct{})
}

// run makes one connection after the other. The first attempt, and the first after a connection that was
// healthy, is made at once.
func (s *Supervisor) run() {
	defer close(s.done)
	for failures := 0; s.ctx.Err() == nil; failures++ {
		link, err := s.connect()
		if err != nil {
			s.set(nil, err)
		} else if lived := s.hold(link); lived >= healthy {
			failures = -1
			continue
		}
		s.pause(Delay(failures, rand.Float64()))
	}
}

func (s *Supervisor) connect() (*Link, error) {
	conn, socket, err := dial(s.ctx, s.config)
	if err != nil {
		return nil, err
	}
	link := newLink(conn, socket)
	// What setup asks of the broker knows no context: when ours ends, the connection is ended under it.
	stop := context.AfterFunc(s.ctx, link.Drop)
	err = s.setup(s.ctx, link)
	stop()
	if err != nil {
		link.close(time.Now().Add(closeWithin))
		return nil, err
	}
	return link, nil
}

// hold gives the connection to whoever waits for it until it ends, or ends it when the supervisor is closed;
// it returns how long that was.
func (s *Supervisor) hold(link *Link) time.Duration {
	since := time.Now()
	s.set(link, nil)
	deadline := since
	select {
	case <-link.done:
		s.set(nil, link.lost())
	case <-s.ctx.Done():
		s.mu.Lock()
		deadline = s.closeBy
		s.mu.Unlock()
	}
	lived := time.Since(since)
	link.close(deadline)
	return lived
}

func (s *Supervisor) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}
