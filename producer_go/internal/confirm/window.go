package confirm

import (
	"context"
	"sync"
)

// maxBytes bounds the bodies of all messages whose outcome is not known, and with them what a socket holds
// unsent. A single body is at most wire.HardMaxBodyBytes, half of it.
const maxBytes = 32 << 20

// window has room for so many messages and bytes. Places are given in the order in which they were asked for.
type window struct {
	capacity int // messages

	mu       sync.Mutex
	messages int // taken
	bytes    int // taken
	queue    []*place
}

// place is what one message takes, or waits for.
type place struct {
	messages, bytes int
	granted         chan struct{} // closed under the window's lock
}

// take waits for room.
func (w *window) take(ctx context.Context, messages, bytes int) error {
	w.mu.Lock()
	if len(w.queue) == 0 && w.fits(messages, bytes) {
		w.add(messages, bytes)
		w.mu.Unlock()
		return nil
	}
	p := &place{messages, bytes, make(chan struct{})}
	w.queue = append(w.queue, p)
	w.mu.Unlock()
	select {
	case <-p.granted:
		return nil
	case <-ctx.Done():
		return w.giveUp(ctx, p)
	}
}

// giveUp leaves the queue, unless the place was granted in the same moment.
func (w *window) giveUp(ctx context.Context, p *place) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, waiting := range w.queue {
		if waiting == p {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			w.grant()
			return ctx.Err()
		}
	}
	return nil
}

// leave gives room back.
func (w *window) leave(messages, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(-messages, -bytes)
	w.grant()
}

func (w *window) grant() {
	for len(w.queue) > 0 {
		p := w.queue[0]
		if !w.fits(p.messages, p.bytes) {
			return
		}
		w.add(p.messages, p.bytes)
		close(p.granted)
		w.queue[0] = nil
		w.queue = w.queue[1:]
	}
}

func (w *window) fits(messages, bytes int) bool {
	return w.messages+messages <= w.capacity && w.bytes+bytes <= maxBytes
}

func (w *window) add(messages, bytes int) {
	w.messages += messages
	w.bytes += bytes
}

// taken returns how many messages have a place.
func (w *window) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages
}
