package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Each would take gigabytes, the whole stack or hours if it were believed.
func TestHostileBodiesAreRefusedQuicklyAndInLittleMemory(t *testing.T) {
	half := bytes.Repeat([]byte{0x91}, MaxBodyBytes/2)
	for name, body := range map[string][]byte{
		"an array of 2^32-1":           {0xdd, 0xff, 0xff, 0xff, 0xff},
		"a map of 2^32-1":              {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a bin of 2^32-1":              {0xc6, 0xff, 0xff, 0xff, 0xff},
		"an extension of 2^32-1":       {0xc9, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a million levels":             bytes.Repeat([]byte{0x91}, MaxBodyBytes),
		"arrays that claim the rest":   bytes.Repeat([]byte{0xdd, 0, 1, 0, 0}, MaxBodyBytes/5),
		"a million empty maps":         append([]byte{0xdd, 0, 0x0f, 0xff, 0}, bytes.Repeat([]byte{0x80}, 0x0fff00)...),
		"half of a deep array":         half,
		"the same key a hundred times": sameKey(100),
		"80,000 keys with one twice":   manyKeys(80_000),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		err := Check(body, MaxBodyBytes)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		mustHaveCode(t, err, CodeBadEnvelope)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4*MaxBodyBytes {
			t.Errorf("%s: took %d bytes", name, used)
		}
		if took > time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

func sameKey(n int) []byte {
	body := []byte{0xde, 0, byte(n)}
	return append(body, bytes.Repeat([]byte{0xa1, 'k', 0xc0}, n)...)
}

// manyKeys is a map in falling order, the worst for a check that compares neighbours.
func manyKeys(n int) []byte {
	body := binary.BigEndian.AppendUint32([]byte{0xdf}, uint32(n+1))
	for i := n; i > 0; i-- {
		body = fmt.Appendf(append(body, 0xa8), "%08x", i)
		body = append(body, 0xc0)
	}
	return append(append(body, 0xa8), "00000001\xc0"...)
}

func TestTheLargestMapIsAccepted(t *testing.T) {
	t.Parallel()
	whole := manyKeys(80_000)
	body := append(binary.BigEndian.AppendUint32([]byte{0xdf}, 80_000), whole[5:len(whole)-10]...)
	if err := Check(body, MaxBodyBytes); err != nil {
		t.Fatal(err)
	}
}

func TestTheLimitOfBytesComesFirst(t *testing.T) {
	t.Parallel()
	mustHaveCode(t, Check([]byte{0xc1, 0xc1}, 1), CodeTooLarge)
	mustHaveCode(t, Check(nil, 1), CodeBadEnvelope)
}

// The scan allocates nothing for the bodies of every day.
func TestASmallBodyTakesNoAllocation(t *testing.T) {
	job := Job{ID: NewID(), Task: "stats.norm", Version: 1, Args: map[string]any{"x": []float64{1, 2, 3}, "name": "n"}}
	body, err := EncodeJob(&job, MaxBodyBytes)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { Check(body, MaxBodyBytes) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheckSmallJob(b *testing.B) {
	job := Job{ID: NewID(), Task: "stats.norm", Version: 1, Args: map[string]any{"x": []float64{1, 2, 3}, "name": "n"}}
	body, _ := EncodeJob(&job, MaxBodyBytes)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		Check(body, MaxBodyBytes)
	}
}

func BenchmarkFloats(b *testing.B) {
	values := make([]float64, 100_000)
	body, _ := Marshal(values, MaxBodyBytes)
	b.Run("Marshal", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			Marshal(values, MaxBodyBytes)
		}
	})
	b.Run("Check", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			Check(body, MaxBodyBytes)
		}
	})
	b.Run("Decode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		var out []float64
		for b.Loop() {
			Raw(body).Decode(&out)
		}
	})
}

func BenchmarkEncodeJob(b *testing.B) {
	job := Job{ID: NewID(), Task: "stats.norm", Version: 1, Args: map[string]any{"x": []float64{1, 2, 3}, "name": "n"}}
	b.ReportAllocs()
	for b.Loop() {
		EncodeJob(&job, MaxBodyBytes)
	}
}
