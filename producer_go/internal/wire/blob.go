package wire

import (
	"crypto/sha256"
	"encoding/hex"
)

// Blob says which bytes a message stands for whose body is empty: they lie in the store.
type Blob struct {
	SHA256 string // of the bytes, 64 hex digits in lower case
	Size   int64  // how many they are
}

// BlobOf returns the blob that a body is.
func BlobOf(body []byte) Blob {
	sum := sha256.Sum256(body)
	return Blob{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(body))}
}

// NamedBlob returns the blob that headers name, nil when they name none. One that cannot be has the size -1.
func NamedBlob(headers map[string]any) *Blob {
	sum, named := headers[HeaderBlob].(string)
	if !named {
		return nil
	}
	size, _ := integerHeader(headers[HeaderBlobSize])
	if size <= 0 || !isSHA256(sum) {
		return &Blob{Size: -1}
	}
	return &Blob{SHA256: sum, Size: size}
}

// integerHeader returns an integer of whatever width it was sent in; ok is false for anything else.
func integerHeader(v any) (n int64, ok bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int32: // how pika sends what fits
		return int64(v), true
	case int16:
		return int64(v), true
	}
	return 0, false
}

func isSHA256(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Headers adds the headers that name the blob.
func (b Blob) Headers(to map[string]any) {
	to[HeaderBlob], to[HeaderBlobSize] = b.SHA256, b.Size
}

// Key returns where the blob of a job lies in Redis.
func (b Blob) Key(namespace, jobID string) string {
	return Fill(BlobKey, "namespace", namespace, "job_id", jobID, "sha256", b.SHA256)
}

// Is tells whether these are the blob's bytes.
func (b Blob) Is(body []byte) bool {
	return int64(len(body)) == b.Size && BlobOf(body) == b
}
