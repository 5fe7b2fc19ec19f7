package wire

import (
	"bytes"
	"runtime"
	"testing"
	"time"
)

// Bodies that are made to hurt; Python has the same test.
func TestBombsAreRefusedQuicklyAndInLittleMemory(t *testing.T) {
	for name, body := range map[string][]byte{
		"an array of 4 billion in 5 bytes":       {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a map of 4 billion in 5 bytes":          {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a bin of 4 GB in 5 bytes":               {0xc6, 0xff, 0xff, 0xff, 0xff},
		"a str of 4 GB in 5 bytes":               {0xdb, 0xff, 0xff, 0xff, 0xff},
		"a million levels":                       append(bytes.Repeat([]byte{0x91}, MaxBodyBytes-1), 0xc0),
		"a million levels of maps":               bytes.Repeat([]byte{0x81, 0xa0}, MaxBodyBytes/2),
		"array headers that each claim the rest": bytes.Repeat([]byte{0xdd, 0, 3, 0, 0}, MaxBodyBytes/5),
		"a million empty maps":                   append([]byte{0xdd, 0, 0x0f, 0xff, 0xf0}, bytes.Repeat([]byte{0x80}, 0xffff0)...),
		"half a million equal keys":              append([]byte{0xdf, 0, 1, 0, 0}, bytes.Repeat([]byte{0xa1, 'a', 0xc0}, 0x10000)...),
		"a body above the limit":                 bytes.Repeat([]byte{0xc0}, MaxBodyBytes+1),
		"nesting in a field that nobody knows":   append(append([]byte{0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 1000)...), 0xc0),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fastest := time.Hour
		const times = 5
		for range times {
			began := time.Now()
			var out any
			if Unmarshal(body, MaxBodyBytes, &out) == nil {
				t.Errorf("%s: it was accepted", name)
			}
			fastest = min(fastest, time.Since(began))
		}
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) / times; took > 16<<20 {
			t.Errorf("%s: %d bytes were allocated", name, took)
		}
		if fastest > slower*50*time.Millisecond {
			t.Errorf("%s: it took %s", name, fastest)
		}
	}
}
