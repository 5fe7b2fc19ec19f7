package wire

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// NewID returns a new UUIDv7 in lower case. Within a process ids are ordered by their time of making, to
// about a quarter of a microsecond.
func NewID() string { return newID(time.Now(), randoms.take()) }

// newID puts the milliseconds in front, then 12 bits of their fraction (RFC 9562, method 3), then 62 random bits.
func newID(now time.Time, random uint64) string {
	var id [16]byte
	millis := uint64(now.UnixMilli())
	fraction := uint64(now.Nanosecond()%1_000_000) * 4096 / 1_000_000
	binary.BigEndian.PutUint64(id[:8], millis<<16|7<<12|fraction)
	binary.BigEndian.PutUint64(id[8:], random>>2|2<<62)

	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// randoms draws random bytes in batches: a system call for each id would cost more than the id.
var randoms pool

type pool struct {
	mu    sync.Mutex
	bytes [1024]byte
	left  int
}

func (p *pool) take() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		rand.Read(p.bytes[:]) // never fails: crypto/rand ends the program instead
		p.left = len(p.bytes)
	}
	p.left -= 8
	return binary.BigEndian.Uint64(p.bytes[p.left:])
}

// NewInstance returns 16 random hex digits, which tell one connection of a user from another.
func NewInstance() string { return fmt.Sprintf("%016x", randoms.take()) }
