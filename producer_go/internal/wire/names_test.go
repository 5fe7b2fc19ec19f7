package wire

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The functions are for speed; the grammars of the registry say what they mean.
func TestNamesAreJudgedAsTheGrammarsSay(t *testing.T) {
	t.Parallel()
	word, task, id := regexp.MustCompile(GrammarQueue), regexp.MustCompile(GrammarTask), regexp.MustCompile(GrammarJobID)
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "Z", "0", "_", "-", ".", ".", "f", "7", "8", "é", " ", "\n", "", strings.Repeat("x", 63)}
	for range 20_000 {
		var b strings.Builder
		for range random.IntN(8) {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		name := b.String()
		if ValidWord(name, 64) != word.MatchString(name) {
			t.Errorf("word %q", name)
		}
		if ValidTask(name) != (task.MatchString(name) && len(name) <= MaxTaskBytes) {
			t.Errorf("task %q", name)
		}
		letters := []byte(NewID())
		letters[random.IntN(36)] = "0af7-g"[random.IntN(6)]
		if other := string(letters); ValidJobID(other) != id.MatchString(other) {
			t.Errorf("id %q", other)
		}
	}
}

func TestIDsAreOrderedAndUnlike(t *testing.T) {
	t.Parallel()
	var ids []string
	now := time.Now()
	for i := range 2000 {
		ids = append(ids, newID(now.Add(time.Duration(i)*time.Microsecond), randoms.take()))
	}
	for _, id := range ids {
		if !ValidJobID(id) {
			t.Fatalf("%s is no job's ID", id)
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 2000 {
		t.Error("the IDs are not in order or not unlike")
	}
}

func TestTemplatesAreFilled(t *testing.T) {
	t.Parallel()
	if key := Fill(ResultKey, "namespace", "penstock", "job_id", "X"); key != "penstock:result:{X}" {
		t.Error(key)
	}
	if channel := Fill(ResultChannel, "namespace", "penstock", "reply_to", "u.i"); channel != "penstock:results:u.i" {
		t.Error(channel)
	}
}
