package amqpconn

import (
	"net"
	"sync"
	"time"
)

const (
	// chunk is how much is sent under one deadline, so that the deadline is about progress, not about size.
	chunk = 64 << 10
	// keep is the largest buffer that is used again.
	keep = 1 << 20
	// farewell is how long a closed socket tries to send what is left.
	farewell = time.Second
)

// socket is a net.Conn that gathers what is written while an earlier write is under way and sends it in one.
//
// amqp091-go makes a system call for each message and holds its locks meanwhile, with no deadline. Here
// Write only copies; one goroutine sends, and a write that makes no progress within timeout ends the
// connection, so a broker that has stopped reading cannot hold a publisher for ever. It also halves the CPU
// time of a publish. What is unsent is bounded by whoever writes: see the window in package confirm.
type socket struct {
	net.Conn
	timeout time.Duration
	done    chan struct{} // closed by send when the connection is closed

	mu      sync.Mutex
	wake    sync.Cond // unsent has grown, or closing is set
	unsent  []byte
	closing time.Time // when Close was called; zero before
	err     error     // why nothing more can be written
}

func newSocket(conn net.Conn, timeout time.Duration) *socket {
	s := &socket{Conn: conn, timeout: timeout, done: make(chan struct{})}
	s.wake.L = &s.mu
	go s.send()
	return s
}

// Write takes b over; it never waits.
func (s *socket) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.unsent = append(s.unsent, b...)
	s.wake.Signal()
	return len(b), nil
}

// Close returns at once; the connection ends when what was written has been sent, or after farewell.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.IsZero() {
		s.closing = time.Now()
		s.wake.Signal()
		s.Conn.SetWriteDeadline(s.closing.Add(farewell)) // for the write that is under way
	}
	return nil
}

// SetDeadline and SetWriteDeadline leave writes alone, whose deadline is the socket's own.
func (s *socket) SetDeadline(t time.Time) error { return s.Conn.SetReadDeadline(t) }

func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// send writes until the socket is closed or broken.
func (s *socket) send() {
	defer close(s.done)
	defer s.Conn.Close()
	var sent []byte
	for {
		sending := s.take(sent)
		for rest := sending; len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
			s.setDeadline()
			if _, err := s.Conn.Write(rest[:min(chunk, len(rest))]); err != nil {
				s.fail(err)
				return
			}
		}
		if len(sending) == 0 {
			return
		}
		sent = sending
	}
}

// take waits for bytes to send and leaves an empty buffer in their place; none means that the end has come.
func (s *socket) take(empty []byte) []byte {
	if cap(empty) > keep {
		empty = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.unsent) == 0 && s.closing.IsZero() {
		s.wake.Wait()
	}
	full := s.unsent
	s.unsent = empty[:0]
	if len(full) == 0 {
		s.err = net.ErrClosed
	}
	return full
}

func (s *socket) setDeadline() {
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := time.Now().Add(s.timeout)
	if !s.closing.IsZero() {
		deadline = s.closing.Add(farewell)
	}
	s.Conn.SetWriteDeadline(deadline)
}

func (s *socket) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.unsent = err, nil
}
