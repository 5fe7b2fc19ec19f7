package amqpconn

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/penstock-mq/penstock/producer_go/internal/fault"
)

func TestDelaysGrowToALimitAndDependOnTheSeedAlone(t *testing.T) {
	t.Parallel()
	for failure, ceiling := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		ceiling *= time.Millisecond
		if got := Delay(failure, 0.5); got != ceiling/2 {
			t.Errorf("after failure %d: %s, not %s", failure, got, ceiling/2)
		}
	}
	if Delay(3, 0) != 0 || Delay(1000, 0.999) > longestDelay {
		t.Error("the seed chooses between 0 and the limit")
	}
}

// pair is a socket and the other end of its connection.
func pair(t *testing.T, timeout time.Duration) (*socket, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(near, timeout)
	t.Cleanup(func() { far.Close(); s.Close(); <-s.done })
	return s, far
}

func TestASocketSendsEverythingInOrderBeforeItCloses(t *testing.T) {
	t.Parallel()
	s, far := pair(t, time.Minute)
	var want []byte
	for i := range 3000 {
		chunk := make([]byte, i%500)
		for j := range chunk {
			chunk[j] = byte(i + j)
		}
		want = append(want, chunk...)
		if n, err := s.Write(chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	s.Close()
	got, err := io.ReadAll(far)
	if err != nil || string(got) != string(want) {
		t.Fatalf("%d bytes of %d arrived, %v", len(got), len(want), err)
	}
	<-s.done
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("a write after the end: %v", err)
	}
}

func TestASocketThatMakesNoProgressEnds(t *testing.T) {
	t.Parallel()
	s, _ := pair(t, 50*time.Millisecond) // nobody reads
	began := time.Now()
	s.Write(make([]byte, 16<<20)) // more than the system's buffers take
	if took := time.Since(began); took > time.Second {
		t.Fatalf("a write waited %s", took)
	}
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Fatal("a write to a broken socket succeeded")
	}
}

func TestAClosedSocketDoesNotWaitForAServerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	s, _ := pair(t, time.Hour)
	s.Write(make([]byte, 16<<20))
	s.Close()
	select {
	case <-s.done:
	case <-time.After(farewell + 5*time.Second):
		t.Fatal("it goes on")
	}
}

func TestABlockedLinkIsReadyWhenTheBrokerTakesMessagesAgain(t *testing.T) {
	t.Parallel()
	closed, blocked := make(chan *amqp.Error, 1), make(chan amqp.Blocking)
	l := &Link{done: make(chan struct{})}
	go l.watch(closed, blocked)
	if err := l.Ready(context.Background()); err != nil {
		t.Fatal(err)
	}
	blocked <- amqp.Blocking{Active: true, Reason: "low on memory"}
	blocked <- amqp.Blocking{Active: true, Reason: "low on disk"}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	err := l.Ready(ended)
	if !errors.Is(err, fault.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	ready := make(chan error)
	go func() { ready <- l.Ready(context.Background()) }()
	blocked <- amqp.Blocking{Active: false}
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	blocked <- amqp.Blocking{Active: true}
	go func() { ready <- l.Ready(context.Background()) }()
	close(closed) // a connection that has ended blocks nobody
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	<-l.Done()
}

func TestASupervisorThatNeverStartedIsClosed(t *testing.T) {
	t.Parallel()
	s := New(Config{URL: "amqp://localhost:1/", DialTimeout: time.Second}, nil)
	for range 2 {
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	if _, err := s.Link(context.Background(), false); !errors.Is(err, fault.ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestASupervisorIsClosedWhileItTriesToConnect(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := New(Config{URL: "amqp://" + listener.Addr().String() + "/", DialTimeout: time.Hour, WriteTimeout: time.Hour}, nil)
	s.Start()
	waiting := make(chan error)
	go func() {
		_, err := s.Link(context.Background(), false)
		waiting <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, fault.ErrClosed) {
		t.Fatalf("got %v", err)
	}
}
