package double

import (
	"context"
	"sync"
	"time"
)

// Store keeps results in memory, as Redis does: the first writer of a key wins. Its methods Get, GetRange,
// Listen and Put are those of penstock.ItemStore and penstock.BlobStore.
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

// GetRange returns the first head bytes of a value and those from the offset from up to before to.
func (s *Store) GetRange(ctx context.Context, key string, head, from, to int64) (first, part []byte, err error) {
	value, err := s.Get(ctx, key)
	size := int64(len(value))
	return value[:min(head, size)], value[min(from, size):min(to, size)], err
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
	s.tell(channel, message)
}

// Replace writes a key, whether it is there or not, and sends a message to a channel.
func (s *Store) Replace(key string, value []byte, channel, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	s.set(key, value)
	s.tell(channel, message)
}

// tell sends a message to a channel; under the lock, for the calls must not be concurrent.
func (s *Store) tell(channel, message string) {
	for l := range s.listeners {
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
