package wire

import (
	"bytes"
	"encoding/binary"
)

// The layout of the items of a job in Redis: the fence, and for each item its length and its body.
const (
	FenceBytes  = 8
	lengthBytes = 4
)

// ItemLog reads the items of a job in Redis, part by part while they come.
type ItemLog struct {
	maxBytes int    // longest item
	fence    uint64 // of the start whose items are read; 0 before there are any
	offset   int64  // of the part that is wanted next
	rest     []byte // what has come and not been handed out
	next     int64  // number of the item that is handed out next
}

// NewItemLog returns a reader of items of at most maxBytes each.
func NewItemLog(maxBytes int) *ItemLog { return &ItemLog{maxBytes: maxBytes, offset: FenceBytes} }

// Offset is where the part begins that [ItemLog.Feed] wants next.
func (l *ItemLog) Offset() int64 { return l.offset }

// Taken is how many items of the present start have been handed out.
func (l *ItemLog) Taken() int64 { return l.next }

// Feed takes the first FenceBytes of the value and the part at Offset, as they were at one moment. Where a later start
// has replaced what was read, it begins anew; restarted tells whether items of the earlier one had been handed out.
func (l *ItemLog) Feed(first, part []byte) (restarted bool) {
	if len(first) < FenceBytes {
		return false // nothing has been yielded, or the value has expired
	}
	fence := binary.BigEndian.Uint64(first)
	if fence < l.fence {
		return false
	}
	if fence > l.fence {
		restarted = l.next > 0
		fresh := l.offset == FenceBytes // then the part is from the beginning of this one
		*l = ItemLog{maxBytes: l.maxBytes, fence: fence, offset: FenceBytes}
		if !fresh {
			return restarted
		}
	}
	l.rest = append(l.rest, part...)
	l.offset += int64(len(part))
	return restarted
}

// Next hands the next item out, nil while it has not come whole. The error is an [*Error].
func (l *ItemLog) Next() (Raw, error) {
	if len(l.rest) < lengthBytes {
		return nil, nil
	}
	size := int64(binary.BigEndian.Uint32(l.rest))
	if size > int64(l.maxBytes) {
		return nil, tooLarge(int(size), l.maxBytes)
	}
	if int64(len(l.rest)) < lengthBytes+size {
		return nil, nil
	}
	// A copy, for the item may be kept for longer than what it came with.
	item := bytes.Clone(l.rest[lengthBytes : lengthBytes+size])
	if err := Check(item, l.maxBytes); err != nil {
		return nil, err
	}
	l.rest = l.rest[lengthBytes+size:]
	l.next++
	return item, nil
}

// AppendItem appends an item to a log, which begins with its fence.
func AppendItem(log []byte, fence int64, item []byte) []byte {
	if len(log) == 0 {
		log = binary.BigEndian.AppendUint64(log, uint64(fence))
	}
	return append(binary.BigEndian.AppendUint32(log, uint32(len(item))), item...)
}

// Elements are the items of the body item.v1; ok is false when it is none.
func Elements(body []byte, maxBytes int) (items []Raw, ok bool) {
	if Check(body, maxBytes) != nil {
		return nil, false
	}
	k, pos, count := header(body, 0)
	if k != kindArray {
		return nil, false
	}
	items = make([]Raw, count)
	for i := range items {
		end := skip(body, pos)
		items[i], pos = body[pos:end:end], end
	}
	return items, true
}

// AppendElements appends the body item.v1 of these items.
func AppendElements(body []byte, items ...[]byte) []byte {
	body = appendArrayHeader(body, len(items))
	for _, item := range items {
		body = append(body, item...)
	}
	return body
}

// Progress is the body progress.v1.
type Progress struct {
	Fraction float64
	Text     string
}

// DecodeProgress reads a progress; ok is false when it is none, and is to be ignored.
func DecodeProgress(body []byte) (p Progress, ok bool) {
	err := Unmarshal(body, MaxBodyBytes, &p)
	return p, err == nil && p.Fraction >= 0 && p.Fraction <= 1
}
