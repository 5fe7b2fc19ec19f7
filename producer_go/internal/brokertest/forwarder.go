package brokertest

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// Forwarder stands between a client and a server and breaks what passes: it cuts, refuses and stalls.
type Forwarder struct {
	target   string
	listener net.Listener
	tasks    sync.WaitGroup

	mu       sync.Mutex
	changed  sync.Cond
	conns    map[net.Conn]int // their numbers, in the order in which they were made
	made     int
	refusing bool
	stalled  map[Direction]bool
	closed   bool
}

// Direction is a way through a forwarder.
type Direction int

const (
	ToServer Direction = iota
	ToClient
)

// Forward puts a forwarder in front of the server of an URL, and returns the URL that goes through it.
func Forward(t testing.TB, address string) (*Forwarder, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return forward(t, address, listener)
}

func forward(t testing.TB, address string, listener net.Listener) (*Forwarder, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	f := &Forwarder{target: u.Host, listener: listener, conns: map[net.Conn]int{}, stalled: map[Direction]bool{}}
	f.changed.L = &f.mu
	f.tasks.Go(f.accept)
	t.Cleanup(f.close)
	u.Host = listener.Addr().String()
	return f, u.String()
}

// Cut closes every connection.
func (f *Forwarder) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		conn.Close()
	}
}

// CutOldest closes the connection that was made first.
func (f *Forwarder) CutOldest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldest := f.made
	for _, number := range f.conns {
		oldest = min(oldest, number)
	}
	for conn, number := range f.conns {
		if number == oldest {
			conn.Close()
		}
	}
}

// Made returns how many connections there have been.
func (f *Forwarder) Made() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made
}

// Refuse lets new connections end at once, or no longer.
func (f *Forwarder) Refuse(refuse bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusing = refuse
}

// Stall stops all traffic of a direction, or lets it go on.
func (f *Forwarder) Stall(d Direction, stall bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled[d] = stall
	f.changed.Broadcast()
}

func (f *Forwarder) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", f.target)
		if err != nil || !f.add(client, server) {
			client.Close()
			if err == nil {
				server.Close()
			}
			continue
		}
		f.tasks.Go(func() { f.copy(server, client, ToServer) })
		f.tasks.Go(func() { f.copy(client, server, ToClient) })
	}
}

func (f *Forwarder) add(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusing || f.closed {
		return false
	}
	f.made++
	for _, conn := range conns {
		f.conns[conn] = f.made
	}
	return true
}

func (f *Forwarder) copy(to, from net.Conn, d Direction) {
	defer f.drop(to, from)
	buffer := make([]byte, 32<<10)
	for {
		f.pass(d) // before reading too, so that a stalled direction fills the sender's buffers
		n, err := from.Read(buffer)
		f.pass(d)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the direction is stalled.
func (f *Forwarder) pass(d Direction) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.stalled[d] && !f.closed {
		f.changed.Wait()
	}
}

func (f *Forwarder) drop(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
		delete(f.conns, conn)
	}
}

func (f *Forwarder) close() {
	f.mu.Lock()
	f.closed = true
	f.changed.Broadcast()
	f.mu.Unlock()
	f.listener.Close()
	f.Cut()
	f.tasks.Wait()
}
