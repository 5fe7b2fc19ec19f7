package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"sync"
)

// A compressed body is one gzip member (RFC 1952) without optional fields; no map begins with its first byte.
const (
	gzipID1, gzipID2 = 0x1f, 0x8b
	gzipFlags        = 3  // position of the byte that says which optional fields there are
	gzipOverhead     = 18 // of a member: header and trailer
)

// IsCompressed tells whether a body is compressed.
func IsCompressed(body []byte) bool {
	return len(body) >= 2 && body[0] == gzipID1 && body[1] == gzipID2
}

// Compress returns the body compressed, or as it is when it is shorter than CompressFromBytes or would not
// become shorter.
func Compress(body []byte) []byte {
	if len(body) < CompressFromBytes {
		return body
	}
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	var short bytes.Buffer
	short.Grow(len(body) / 2)
	w.Reset(&short)
	w.Write(body) // a Buffer takes everything
	w.Close()
	if short.Len() >= len(body) {
		return body
	}
	return short.Bytes()
}

// BestSpeed: the result is a tenth longer than the best, in a quarter of the time.
var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for no such level
	return w
}}

// Inflate returns what a compressed body stands for, at most maxBytes of it, and any other body as it is.
// Errors are of type [*Error].
func Inflate(body []byte, maxBytes int) ([]byte, error) {
	if !IsCompressed(body) {
		return body, nil
	}
	if len(body) > gzipFlags && body[gzipFlags] != 0 {
		return nil, bad("the gzip body has optional fields")
	}
	rest := bytes.NewReader(body)
	r, err := gzip.NewReader(rest)
	if err != nil {
		return nil, bad("the gzip body is broken: %v", err)
	}
	r.Multistream(false)
	// The last bytes say how many there are: a hint, which costs no more than the limit when it lies.
	size := gzipOverhead
	if len(body) >= gzipOverhead {
		size += int(min(uint64(binary.LittleEndian.Uint32(body[len(body)-4:])), uint64(maxBytes)))
	}
	inflated := bytes.NewBuffer(make([]byte, 0, size))
	_, err = inflated.ReadFrom(io.LimitReader(r, int64(maxBytes)+1))
	switch {
	case inflated.Len() > maxBytes:
		return nil, &Error{CodeTooLarge, "the gzip body inflates to more than the limit"}
	case err != nil:
		return nil, bad("the gzip body is broken: %v", err)
	case rest.Len() > 0:
		return nil, bad("%d bytes follow the gzip body", rest.Len())
	}
	return inflated.Bytes(), nil
}
