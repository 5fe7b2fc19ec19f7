package wire

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Seconds of the years 1 to 9999.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
	maxNanos   = 999_999_999
)

// appendTime writes t as the shortest timestamp; the zone is lost. ok is false outside the years 1 to 9999.
func appendTime(b []byte, t time.Time) (_ []byte, ok bool) {
	s, ns := t.Unix(), uint64(t.Nanosecond())
	switch {
	case s < minSeconds || s > maxSeconds:
		return b, false
	case ns == 0 && s >= 0 && s < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 0xd6, 0xff), uint32(s)), true
	case s >= 0 && s < 1<<34:
		return binary.BigEndian.AppendUint64(append(b, 0xd7, 0xff), ns<<34|uint64(s)), true
	}
	b = binary.BigEndian.AppendUint32(append(b, 0xc7, 12, 0xff), uint32(ns))
	return binary.BigEndian.AppendUint64(b, uint64(s)), true
}

// timestamp splits the payload of a timestamp: its type byte, then 4, 8 or 12 bytes.
func timestamp(payload []byte) (seconds int64, nanos uint32) {
	data := payload[1:]
	switch len(data) {
	case 4:
		return int64(binary.BigEndian.Uint32(data)), 0
	case 8:
		v := binary.BigEndian.Uint64(data)
		return int64(v & (1<<34 - 1)), uint32(v >> 34)
	}
	return int64(binary.BigEndian.Uint64(data[4:])), binary.BigEndian.Uint32(data)
}

// checkTimestamp returns what is wrong with the payload of an extension, or "".
func checkTimestamp(payload []byte) string {
	if payload[0] != 0xff {
		return fmt.Sprintf("extension %d; the only one allowed is -1, timestamp", int8(payload[0]))
	}
	if n := len(payload) - 1; n != 4 && n != 8 && n != 12 {
		return fmt.Sprintf("a timestamp has %d bytes, not 4, 8 or 12", n)
	}
	seconds, nanos := timestamp(payload)
	switch {
	case nanos > maxNanos:
		return "a timestamp has more than 999,999,999 nanoseconds"
	case seconds < minSeconds || seconds > maxSeconds:
		return "a timestamp lies outside the years 1 to 9999"
	}
	return ""
}

func decodeTime(payload []byte) time.Time {
	seconds, nanos := timestamp(payload)
	return time.Unix(seconds, int64(nanos)).UTC()
}
