package wire

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// made is what a producer makes of names; of what only workers make, it knows nothing.
func made(of string, given map[string]any) (is any, known bool) {
	text := func(name string) string {
		s, _ := given[name].(string)
		return s
	}
	switch of {
	case "is_task":
		return ValidTask(text("text")), true
	case "is_namespace":
		return ValidWord(text("text"), 32), true
	case "is_queue":
		return ValidWord(text("text"), 64), true
	case "is_job_id":
		return ValidJobID(text("text")), true
	case "is_sha256":
		return isSHA256(text("text")), true
	case "exchange":
		return text("namespace") + "." + text("exchange"), true
	case "reply_queue":
		return text("namespace") + "." + Fill(QueueReply, "user", text("user"), "instance", text("instance")), true
	case "result_key":
		return Fill(ResultKey, "namespace", text("namespace"), "job_id", text("job_id")), true
	case "result_channel":
		return Fill(ResultChannel, "namespace", text("namespace"), "reply_to", text("reply_to")), true
	case "blob_key":
		return Blob{SHA256: text("sha256")}.Key(text("namespace"), text("job_id")), true
	}
	return nil, false
}

func TestNamesAreWhatTheVectorsSay(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "contracts", "vectors", "routing", "names.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name  string
			Of    string
			Given map[string]any
			Is    any
		}
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, v := range file.Vectors {
		if is, known := made(v.Of, v.Given); known {
			tested++
			if is != v.Is {
				t.Errorf("%s: got %v, not %v", v.Name, is, v.Is)
			}
		}
	}
	if tested < 60 {
		t.Errorf("%d vectors were tested", tested)
	}
}
