package wire

import (
	"encoding/hex"
	"strings"
	"testing"
)

// The example of PROFILE.md section 2, byte by byte.
func TestTheJobOfTheSpecificationHasItsBytes(t *testing.T) {
	t.Parallel()
	want := strings.ReplaceAll("88 a17601 a46b696e64 a36a6f62 a26964 d924"+hex.EncodeToString([]byte("0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"))+
		"a47461736b aa73746174732e6e6f726d a27476 01 a461726773 81 a178 92 cb4008000000000000 cb4010000000000000"+
		"aa637265617465645f6174 cf00000192cc091400 a8646561646c696e65 cf00000192cc098930", " ", "")
	deadline := int64(1730000030000)
	job := &Job{
		ID: "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6", Task: "stats.norm", Version: 1,
		Args:      map[string]any{"x": []float64{3, 4}},
		CreatedAt: 1730000000000, Deadline: &deadline,
	}

	body, err := EncodeJob(job, MaxBodyBytes)

	if err != nil || hex.EncodeToString(body) != want {
		t.Fatalf("got %x, %v\nwant %s", body, err, want)
	}
	read, err := DecodeJob(body, MaxBodyBytes)
	if err != nil || read.ID != job.ID || *read.Deadline != deadline {
		t.Fatalf("read back %+v, %v", read, err)
	}
}
