package wire

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHeadersOfItemsAndCreditsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	place := Place{Worker: "w", Fence: 1 << 40, Seq: 3}
	if got, ok := PlaceOf(place.Headers()); !ok || got != place {
		t.Fatalf("got %+v, %t", got, ok)
	}
	credit := Credit{JobID: "j", Worker: "w", Fence: 7, Items: NoReader}
	if got, ok := CreditOf(credit.Headers()); !ok || got != credit {
		t.Fatalf("got %+v, %t", got, ok)
	}
	short := map[string]any{HeaderWorker: "w", HeaderFence: int32(1), HeaderSeq: int32(0)}
	if got, ok := PlaceOf(short); !ok || got.Fence != 1 {
		t.Fatalf("integers of 32 bits: %+v, %t", got, ok)
	}
}

func TestAHeaderThatIsMissingOrWrongIsNoItem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{HeaderWorker, HeaderFence, HeaderSeq} {
		for _, wrong := range []any{nil, "x", int64(-1), 1.0} {
			headers := Place{Worker: "w", Fence: 1}.Headers()
			if headers[name] = wrong; name == HeaderWorker && wrong == "x" {
				continue
			}
			if p, ok := PlaceOf(headers); ok {
				t.Errorf("%s: %v is read as %+v", name, wrong, p)
			}
		}
	}
}

func TestAMessageHoldsItemsInTheirOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 15, 16, 70_000} {
		want := make([][]byte, n)
		for i := range want {
			want[i] = []byte{byte(i % 128)}
		}
		got, ok := Elements(AppendElements(nil, want...), MaxBodyBytes)
		if !ok || !slices.EqualFunc(got, want, func(a Raw, b []byte) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%d items: got %d, %t", n, len(got), ok)
		}
	}
	nested := []byte{0x92, 0x91, 0x01, 0x81, 0xa1, 'x', 0x02}
	if got, ok := Elements(nested, MaxBodyBytes); !ok || len(got) != 2 || !bytes.Equal(got[1], nested[3:]) {
		t.Errorf("got %x, %t", got, ok)
	}
}

func TestWhatIsNoArrayOfTheProfileHoldsNoItems(t *testing.T) {
	t.Parallel()
	for _, body := range [][]byte{nil, {0x01}, {0x80}, {0x91}, {0x91, 0xc1}, {0x91, 0x01, 0x02}, {0xc0}} {
		if got, ok := Elements(body, MaxBodyBytes); ok {
			t.Errorf("%x: got %x", body, got)
		}
	}
}

func TestProgressIsAFractionWithAText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in any
		ok bool
	}{
		{map[string]any{"fraction": 0.5, "text": "half"}, true},
		{map[string]any{"fraction": 1, "more": true}, true},
		{map[string]any{"fraction": 1.5}, false},
		{map[string]any{"fraction": -0.5}, false},
		{map[string]any{"fraction": "0.5"}, false},
		{[]any{0.5}, false},
	} {
		body, err := Marshal(c.in, MaxBodyBytes)
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := DecodeProgress(body); ok != c.ok {
			t.Errorf("%v is %+v, %t", c.in, p, ok)
		}
	}
	if _, ok := DecodeProgress(nil); ok {
		t.Error("nothing is a progress")
	}
}

// read feeds a log in parts and returns the items, until there is an error.
func read(log []byte, maxBytes int, size func() int) (items [][]byte, err error) {
	l := NewItemLog(maxBytes)
	for {
		at := min(l.Offset(), int64(len(log)))
		end := min(at+int64(size()), int64(len(log)))
		l.Feed(log[:min(len(log), FenceBytes)], log[at:end])
		for {
			item, err := l.Next()
			if err != nil {
				return items, err
			}
			if item == nil {
				break
			}
			items = append(items, item)
		}
		if end == int64(len(log)) {
			return items, nil
		}
	}
}

func TestALogIsReadAsItWasWrittenHoweverItComes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 2))
		var log []byte
		var want [][]byte
		for range random.IntN(50) {
			item, err := Marshal(make([]byte, random.IntN(300)), MaxBodyBytes)
			if err != nil {
				t.Fatal(err)
			}
			log, want = AppendItem(log, 5, item), append(want, item)
		}
		got, err := read(log, MaxBodyBytes, func() int { return 1 + random.IntN(100) })
		if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("seed %d: %d items became %d, %v", seed, len(want), len(got), err)
		}
	}
}

func TestALaterStartReplacesALogAndAnEarlierOneDoesNot(t *testing.T) {
	t.Parallel()
	l := NewItemLog(MaxBodyBytes)
	first, second := AppendItem(nil, 4, []byte{1}), AppendItem(nil, 6, []byte{2})
	if l.Feed(first[:FenceBytes], first[FenceBytes:]) {
		t.Fatal("the first start is none anew")
	}
	if item, err := l.Next(); err != nil || item[0] != 1 {
		t.Fatalf("got %v, %v", item, err)
	}
	if !l.Feed(second[:FenceBytes], []byte("of the other value")) {
		t.Fatal("the second start was not noticed")
	}
	if item, err := l.Next(); err != nil || item != nil {
		t.Fatalf("the part was of another offset, and gave %v, %v", item, err)
	}
	l.Feed(second[:FenceBytes], second[l.Offset():])
	l.Feed(first[:FenceBytes], first[FenceBytes:])
	if item, err := l.Next(); err != nil || item[0] != 2 {
		t.Fatalf("got %v, %v", item, err)
	}
	if item, err := l.Next(); item != nil || err != nil {
		t.Fatalf("the earlier start gave %v, %v", item, err)
	}
}

// Whatever the bytes are and however they come, reading them ends, gives the same items, and only such as keep the profile.
func FuzzItemLog(f *testing.F) {
	seed(f)
	f.Add(AppendItem(AppendItem(nil, 3, []byte{0xc0}), 3, []byte{0x93, 1, 2, 3}))
	f.Add(AppendItem(nil, 1, nil))
	f.Fuzz(func(t *testing.T, log []byte) {
		whole, wrong := read(log, 100, func() int { return len(log) + 1 })
		parts, wrongToo := read(log, 100, func() int { return 3 })
		if !slices.EqualFunc(whole, parts, bytes.Equal) || (wrong == nil) != (wrongToo == nil) {
			t.Fatalf("%x: %d items and %v, in parts %d and %v", log, len(whole), wrong, len(parts), wrongToo)
		}
		for _, item := range whole {
			if err := Check(item, 100); err != nil {
				t.Fatalf("%x: an item %x: %v", log, item, err)
			}
		}
	})
}
