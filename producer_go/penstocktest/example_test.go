package penstocktest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/penstocktest"
)

// distance is the code under test: it needs a client, and does not know of the double.
func distance(ctx context.Context, client *penstock.Client, x, y float64) (string, error) {
	handle, err := client.Enqueue(ctx, penstock.Job{Task: "stats.norm", Args: map[string]any{"x": []float64{x, y}}})
	if err != nil {
		return "", err
	}
	var norm float64
	if err := handle.Wait(ctx, &norm); errors.Is(err, &penstock.RemoteError{Code: penstock.CodeTaskError}) {
		return "unknown", nil
	} else if err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f m", norm), nil
}

func TestTheDistanceIsTheNorm(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	penstocktest.Handle(double, "stats.norm", func(_ context.Context, args struct{ X []float64 }) (float64, error) {
		return math.Hypot(args.X[0], args.X[1]), nil
	})

	if text, err := distance(t.Context(), double.Client, 3, 4); text != "5.0 m" || err != nil {
		t.Fatalf("got %q, %v", text, err)
	}
}

func TestADistanceThatCannotBeComputedIsUnknown(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	penstocktest.Handle(double, "stats.norm", func(context.Context, struct{ X []float64 }) (float64, error) {
		return 0, errors.New("no such axis")
	})

	if text, err := distance(t.Context(), double.Client, 3, 4); text != "unknown" || err != nil {
		t.Fatalf("got %q, %v", text, err)
	}
}

// firstWords is the code under test: it reads items until it has enough.
func firstWords(ctx context.Context, client *penstock.Client, n int) (words []string, err error) {
	handle, err := client.Enqueue(ctx, penstock.Job{Task: "text.words"})
	if err != nil {
		return nil, err
	}
	for item, err := range handle.Stream(ctx) {
		if err != nil {
			return nil, err
		}
		var word string
		if err := item.Decode(&word); err != nil {
			return nil, err
		}
		if words = append(words, word); len(words) == n {
			break
		}
	}
	return words, nil
}

func TestTheFirstWordsAreEnough(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	penstocktest.Handle(double, "text.words", func(ctx context.Context, _ struct{}) (int, error) {
		words := []string{"penstock", "turbine", "reservoir"}
		for _, word := range words {
			if err := penstocktest.Yield(ctx, word); err != nil {
				return 0, err
			}
		}
		return len(words), nil
	})

	if words, err := firstWords(t.Context(), double.Client, 2); err != nil || !slices.Equal(words, []string{"penstock", "turbine"}) {
		t.Fatalf("got %v, %v", words, err)
	}
}
