package wire

import (
	"bytes"
	"slices"
)

// keyStack holds where the keys of the open maps are; those of an inner map lie above those of the outer.
type keyStack struct{ spans []span }

// span is an encoded key, header included.
type span struct{ start, end uint32 }

func (k *keyStack) push(start, end int) {
	k.spans = append(k.spans, span{uint32(start), uint32(end)})
}

func (k *keyStack) reset() {
	if cap(k.spans) > 1024 {
		k.spans = nil
	}
	k.spans = k.spans[:0]
}

// pop removes the keys of a map, which begin at base, and returns where one of them stands a second time.
//
// Canonical maps are in order, and one comparison for each key tells; others are sorted first. Sorting
// bounds the work by n log n whatever the keys are, which a hash table does not.
func (k *keyStack) pop(b []byte, base int) (at int, found bool) {
	keys := k.spans[base:]
	k.spans = k.spans[:base]
	order := func(x, y span) int { return bytes.Compare(payload(b, x), payload(b, y)) }
	if !ascending(keys, order) {
		slices.SortFunc(keys, order)
	}
	for i := 1; i < len(keys); i++ {
		if order(keys[i-1], keys[i]) == 0 {
			return int(max(keys[i-1].start, keys[i].start)), true
		}
	}
	return 0, false
}

func ascending(keys []span, order func(x, y span) int) bool {
	for i := 1; i < len(keys); i++ {
		if order(keys[i-1], keys[i]) > 0 {
			return false
		}
	}
	return true
}

// payload returns the characters of a key: the same key may have headers of different length.
func payload(b []byte, s span) []byte {
	_, at, size := header(b, int(s.start))
	return b[at : at+size]
}
