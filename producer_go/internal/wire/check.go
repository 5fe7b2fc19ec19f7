package wire

import (
	"sync"
	"unicode/utf8"
)

// Check returns nil when body keeps every rule of the profile (P1 to P9), and an *[Error] otherwise.
// maxBytes is the longest body allowed.
//
// It does not recurse, and besides the body it needs at most 8 bytes for each map key.
func Check(body []byte, maxBytes int) error {
	if len(body) > maxBytes {
		return tooLarge(len(body), maxBytes)
	}
	if _, err := scan(body, MaxDepth, MaxNodes); err != nil {
		return err
	}
	return nil
}

// scan checks that b is exactly one value of at most maxDepth levels and maxNodes values; it returns how
// many values there are.
func scan(b []byte, maxDepth, maxNodes int) (int, *Error) {
	s := scanners.Get().(*scanner)
	defer s.release()
	s.b, s.pos, s.nodes, s.depth, s.maxDepth, s.maxNodes = b, 0, 0, 0, maxDepth, maxNodes
	if err := s.run(); err != nil {
		return 0, err
	}
	if s.pos < len(b) {
		return 0, bad("byte %d: %d more bytes after the value", s.pos, len(b)-s.pos)
	}
	return s.nodes, nil
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

// release lets go of the body, and of memory that only a hostile one needs.
func (s *scanner) release() {
	s.b = nil
	s.keys.reset()
	scanners.Put(s)
}

// scanner walks over the values of a body in their order, keeping one level for each open container.
type scanner struct {
	b        []byte
	pos      int
	nodes    int
	maxDepth int
	maxNodes int
	depth    int
	levels   [MaxDepth]level
	keys     keyStack
}

// level is an array or map whose end has not been reached.
type level struct {
	left    int // elements or pairs to come, the present one included
	isMap   bool
	atKey   bool // the next value is a key
	keyBase int  // where this map's keys begin in the key stack
}

func (s *scanner) run() *Error {
	for {
		k, size, err := s.value()
		if err != nil {
			return err
		}
		if k == kindArray || k == kindMap {
			if err := s.open(k, size); err != nil {
				return err
			}
			if size > 0 {
				continue
			}
		}
		if err := s.finish(); err != nil {
			return err
		}
		if s.depth == 0 {
			return nil
		}
	}
}

// value reads one header, and the payload of a scalar.
func (s *scanner) value() (kind, int, *Error) {
	if s.pos >= len(s.b) {
		return 0, 0, bad("byte %d: the body ends inside a value", s.pos)
	}
	if s.nodes++; s.nodes > s.maxNodes {
		return 0, 0, bad("byte %d: more than %d values", s.pos, MaxNodes)
	}
	start := s.pos
	k, at, size := header(s.b, start)
	room := len(s.b) - at
	if k == kindMap {
		room /= 2
	}
	if k == kindTruncated || size > room {
		return 0, 0, bad("byte %d: the body is too short for the %s that is announced", start, announced(s.b[start]))
	}
	if s.depth > 0 && s.levels[s.depth-1].atKey && k != kindStr {
		return 0, 0, bad("byte %d: a map key is a %s, not a str", start, k)
	}
	s.pos = at
	if k != kindArray && k != kindMap {
		s.pos += size
		return k, size, s.scalar(k, start, s.b[at:s.pos])
	}
	return k, size, nil
}

func announced(c byte) kind {
	if c >= 0xc0 && c <= 0xdf {
		return formats[c-0xc0].kind
	}
	k, _, _ := header([]byte{c}, 0)
	return k
}

// scalar checks the payload of a value that is no container.
func (s *scanner) scalar(k kind, start int, payload []byte) *Error {
	switch k {
	case kindIllegal:
		return bad("byte %d: c1 is no format", start)
	case kindInt:
		if s.b[start] == 0xcf && payload[0] >= 0x80 {
			return bad("byte %d: an integer above 2^63-1; larger numbers travel as decimal strings", start)
		}
	case kindStr:
		if !utf8.Valid(payload) {
			return bad("byte %d: a str is not valid UTF-8", start)
		}
		if s.depth > 0 && s.levels[s.depth-1].atKey {
			s.keys.push(start, s.pos)
		}
	case kindExt:
		if reason := checkTimestamp(payload); reason != "" {
			return bad("byte %d: %s", start, reason)
		}
	}
	return nil
}

// open enters an array or map; an empty one is left at once by finish.
func (s *scanner) open(k kind, size int) *Error {
	if s.depth == s.maxDepth {
		return bad("byte %d: nested deeper than %d levels", s.pos, MaxDepth)
	}
	if size > 0 {
		s.levels[s.depth] = level{left: size, isMap: k == kindMap, atKey: k == kindMap, keyBase: len(s.keys.spans)}
		s.depth++
	}
	if size > 1 && k == kindArray {
		s.floats()
	}
	return nil
}

// floats steps over the float 64s that an array begins with, but for its last element: there is nothing to
// check in them, and long arrays consist of nothing else.
func (s *scanner) floats() {
	l := &s.levels[s.depth-1]
	room := min(l.left-1, (len(s.b)-s.pos)/9, s.maxNodes-s.nodes)
	n := 0
	for n < room && s.b[s.pos+9*n] == 0xcb {
		n++
	}
	l.left -= n
	s.nodes += n
	s.pos += 9 * n
}

// finish notes that a value is complete, and with it the containers that it is the last value of.
func (s *scanner) finish() *Error {
	for s.depth > 0 {
		l := &s.levels[s.depth-1]
		if l.atKey {
			l.atKey = false
			return nil
		}
		if l.left--; l.left > 0 {
			l.atKey = l.isMap
			return nil
		}
		if l.isMap {
			if at, found := s.keys.pop(s.b, l.keyBase); found {
				return bad("byte %d: a map has the same key twice", at)
			}
		}
		s.depth--
	}
	return nil
}
