// Package wire turns values into penstock bodies and back: the msgpack profile v1 and the envelopes job.v1
// and result.v1. Its specification is contracts/PROFILE.md; the Python side has files of the same names.
//
// Reading is always in two steps. [Check] scans a body against every rule of the profile without decoding
// anything; only then is it decoded, by code that may rely on the rules.
package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Error says why a body cannot be written or read. Code is from the registry, Message is one sentence.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func bad(format string, args ...any) *Error {
	return &Error{Code: CodeBadEnvelope, Message: fmt.Sprintf(format, args...)}
}

func tooLarge(size, limit int) *Error {
	return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("the body has %d bytes or more, the limit is %d", size, limit)}
}

// Raw is one msgpack value, already encoded. When written it is checked and copied as it is.
type Raw []byte

// kind is what a format byte announces.
type kind uint8

const (
	kindIllegal   kind = iota // c1
	kindTruncated             // the length of the value is cut off
	kindNil
	kindBool
	kindInt
	kindFloat
	kindStr
	kindBin
	kindArray
	kindMap
	kindExt
)

var kindNames = [...]string{"illegal", "truncated", "nil", "bool", "int", "float", "str", "bin", "array", "map", "timestamp"}

func (k kind) String() string { return kindNames[k] }

// format describes one of the bytes c0 to df.
type format struct {
	kind   kind
	length int // bytes of the length that follows the format byte; 0 when the size is fixed
	size   int // fixed size, or what is added to the length (the type byte of an extension)
}

var formats = [0x20]format{
	0x00: {kindNil, 0, 0}, 0x01: {kindIllegal, 0, 0}, 0x02: {kindBool, 0, 0}, 0x03: {kindBool, 0, 0},
	0x04: {kindBin, 1, 0}, 0x05: {kindBin, 2, 0}, 0x06: {kindBin, 4, 0},
	0x07: {kindExt, 1, 1}, 0x08: {kindExt, 2, 1}, 0x09: {kindExt, 4, 1},
	0x0a: {kindFloat, 0, 4}, 0x0b: {kindFloat, 0, 8},
	0x0c: {kindInt, 0, 1}, 0x0d: {kindInt, 0, 2}, 0x0e: {kindInt, 0, 4}, 0x0f: {kindInt, 0, 8},
	0x10: {kindInt, 0, 1}, 0x11: {kindInt, 0, 2}, 0x12: {kindInt, 0, 4}, 0x13: {kindInt, 0, 8},
	0x14: {kindExt, 0, 2}, 0x15: {kindExt, 0, 3}, 0x16: {kindExt, 0, 5}, 0x17: {kindExt, 0, 9}, 0x18: {kindExt, 0, 17},
	0x19: {kindStr, 1, 0}, 0x1a: {kindStr, 2, 0}, 0x1b: {kindStr, 4, 0},
	0x1c: {kindArray, 2, 0}, 0x1d: {kindArray, 4, 0}, 0x1e: {kindMap, 2, 0}, 0x1f: {kindMap, 4, 0},
}

// header reads the header of the value that starts at b[i], which must exist. It returns where the payload
// starts and its size: bytes of a scalar, elements of an array, pairs of a map. The size may be a lie.
func header(b []byte, i int) (k kind, at, size int) {
	c := b[i]
	i++
	switch {
	case c <= 0x7f, c >= 0xe0:
		return kindInt, i, 0
	case c <= 0x8f:
		return kindMap, i, int(c & 0x0f)
	case c <= 0x9f:
		return kindArray, i, int(c & 0x0f)
	case c <= 0xbf:
		return kindStr, i, int(c & 0x1f)
	}
	f := &formats[c-0xc0]
	if f.length == 0 {
		return f.kind, i, f.size
	}
	if len(b)-i < f.length {
		return kindTruncated, i, 0
	}
	switch f.length {
	case 1:
		size = int(b[i])
	case 2:
		size = int(binary.BigEndian.Uint16(b[i:]))
	default: // no body is longer than 2^31, so cutting keeps the lie a lie where int has 32 bits
		size = int(min(binary.BigEndian.Uint32(b[i:]), math.MaxInt32-1))
	}
	return f.kind, i + f.length, size + f.size
}

// integer returns the int that starts at b[i] and ends before b[end]; checked bytes only.
func integer(b []byte, i, end int) int64 {
	signed := b[i] >= 0xd0
	p := b[i+1 : end]
	switch len(p) {
	case 0:
		return int64(int8(b[i]))
	case 1:
		if signed {
			return int64(int8(p[0]))
		}
		return int64(p[0])
	case 2:
		v := binary.BigEndian.Uint16(p)
		if signed {
			return int64(int16(v))
		}
		return int64(v)
	case 4:
		v := binary.BigEndian.Uint32(p)
		if signed {
			return int64(int32(v))
		}
		return int64(v)
	}
	return int64(binary.BigEndian.Uint64(p))
}

// float returns the float with this payload of 4 or 8 bytes.
func float(p []byte) float64 {
	if len(p) == 4 {
		return float64(math.Float32frombits(binary.BigEndian.Uint32(p)))
	}
	return math.Float64frombits(binary.BigEndian.Uint64(p))
}

// skip returns the index behind the value that starts at b[i]; checked bytes only.
func skip(b []byte, i int) int {
	for left := 1; left > 0; left-- {
		k, at, size := header(b, i)
		i = at
		switch k {
		case kindArray:
			left += size
		case kindMap:
			left += 2 * size
		default:
			i += size
		}
	}
	return i
}
