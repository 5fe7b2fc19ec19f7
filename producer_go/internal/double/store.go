package double

import (
	"context"
	"sync"
	"time"
)

// Store keeps results in memory, as Redis does: the first writer of a key wins. Its methods Get, Listen and Put
// are those of penstock.ResultStore and penstock.BlobStore.
type Store struct {
	mu        sync.Mutex
	values    map[string][]byte
	listeners map[*listener]struct{}
}

type listener struct {
	channel string
	hint    func(string)
}

// Get returns the value of a key, nil while there is none.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key], nil
}

// Listen calls hint with every message to a channel until ctx ends.
func (s *Store) Listen(ctx context.Context, channel string, live func(), hint func(string)) error {
	l := &listener{channel, hint}
	s.mu.Lock()
	if s.listeners == nil {
		s.listeners = make(map[*listener]struct{})
	}
	s.listeners[l] = struct{}{}
	live()
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	return ctx.Err()
}

// Keep writes a key that is not there yet, and sends a message to a channel.
func (s *Store) Keep(key string, value []byte, channel, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value)
	for l := range s.listeners { // under the lock: the calls must not be concurrent
		if l.channel == channel {
			l.hint(message)
		}
	}
}

// Put writes a key; it is kept for as long as the store.
func (s *Store) Put(ctx context.Context, key string, value []byte, _ time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value)
	return nil
}

// set writes a key that is not there yet; under the lock.
func (s *Store) set(key string, value []byte) {
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	if _, there := s.values[key]; !there {
		s.values[key] = value
	}
}
