package kitchen_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/kitchen"
	"github.com/penstock-mq/penstock/producer_go/internal/kitchentest"
	"github.com/penstock-mq/penstock/producer_go/internal/wire"
	"github.com/penstock-mq/penstock/producer_go/penstocktest"
	"github.com/penstock-mq/penstock/producer_go/typed"
)

// everything is one value of each type.
func everything() kitchen.EverythingArgs {
	maybe, trim := int64(7), 0.25
	return kitchen.EverythingArgs{
		Flag: true, Count: -1, Ratio: 1.5, Name: "Grüße", Blob: []byte{0, 255},
		At: time.Date(2024, 5, 3, 12, 0, 0, 1000, time.UTC), Price: "12.50",
		UserID: "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6", Day: "2024-02-29",
		Mode: kitchen.ModeSlow, Level: kitchen.LevelBelow, Choice: kitchen.EverythingArgsChoiceBC,
		Shape:   kitchen.Circle{Radius: 2},
		Shapes:  []kitchen.EverythingArgsShapes{kitchen.Box{Width: 1, Height: 2}, kitchen.Circle{}},
		Tree:    kitchen.Tree{Value: 1, Children: []kitchen.Tree{{Value: 2, Children: []kitchen.Tree{}}}, Left: &kitchen.Tree{Value: 3}},
		Options: kitchen.Options{Depth: 3},
		Pair:    kitchen.EverythingArgsPair{Item0: 1, Item1: kitchen.Circle{Radius: 1}},
		Numbers: []float64{1, 2.5}, Names: []string{""}, Table: map[string][]int64{"b": {1}, "a": {}},
		Matrix: typed.Matrix(2, 1, []float64{1, 2}), Maybe: &maybe, MaybeList: []int64{},
		Nested: [][]*int64{{nil, &maybe}}, Trim: &trim,
	}
}

func roundTrip[T any](t *testing.T, codec typed.Codec[T], value T) T {
	t.Helper()
	if invalid := codec.Validate(&value); invalid != nil {
		t.Fatal(invalid)
	}
	body, err := wire.MarshalAppender(codec.Value(&value), wire.MaxBodyBytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.Check(body, wire.MaxBodyBytes); err != nil {
		t.Fatal(err)
	}
	read, invalid := codec.Read(body)
	if invalid != nil {
		t.Fatal(invalid)
	}
	return read
}

func TestEveryTypeSurvivesTheRoundTrip(t *testing.T) {
	t.Parallel()
	want := everything()
	if got := roundTrip(t, kitchen.EverythingTask.Args, want); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func limits() kitchen.LimitsArgs {
	return kitchen.LimitsArgs{
		Whole: 5, Real: -1.5, Above: 1, Text: "äö", Data: []byte{1}, Items: []int64{1}, Keys: map[string]int64{"a": 1},
		Vector: typed.Vector[int16](1), Free: math.Inf(1), Frees: typed.Array[float32]{Data: []float32{float32(math.NaN())}},
	}
}

func TestABrokenRuleIsToldByPlaceRuleAndKind(t *testing.T) {
	t.Parallel()
	valid := limits()
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change           func(*kitchen.LimitsArgs)
		path, rule, kind string
	}{
		{func(a *kitchen.LimitsArgs) { a.Whole = 6 }, "whole", "maximum", "int"},
		{func(a *kitchen.LimitsArgs) { a.Whole = -6 }, "whole", "minimum", "int"},
		{func(a *kitchen.LimitsArgs) { a.Real = 1.5 }, "real", "exclusiveMaximum", "float"},
		{func(a *kitchen.LimitsArgs) { a.Real = math.NaN() }, "real", "finite", "float"},
		{func(a *kitchen.LimitsArgs) { a.Above = 0 }, "above", "exclusiveMinimum", "float"},
		{func(a *kitchen.LimitsArgs) { a.Text = "ä" }, "text", "minLength", "str"},
		{func(a *kitchen.LimitsArgs) { a.Text = "äöüßx" }, "text", "maxLength", "str"},
		{func(a *kitchen.LimitsArgs) { a.Data = nil }, "data", "minLength", "bin"},
		{func(a *kitchen.LimitsArgs) { a.Items = nil }, "items", "minItems", "array"},
		{func(a *kitchen.LimitsArgs) { a.Items = make([]int64, 4) }, "items", "maxItems", "array"},
		{func(a *kitchen.LimitsArgs) { a.Keys = nil }, "keys", "minProperties", "map"},
		{func(a *kitchen.LimitsArgs) { a.Vector = typed.Matrix(1, 1, []int16{1}) }, "vector.shape", "shape", "array"},
		{func(a *kitchen.LimitsArgs) { a.Vector.Shape[0] = 2 }, "vector.data", "shape", "bin"},
		{func(a *kitchen.LimitsArgs) { a.Vector = typed.Vector[int16]() }, "vector", "minItems", "map"},
		{func(a *kitchen.LimitsArgs) { a.Vector = typed.Vector(make([]int16, 5)...) }, "vector", "maxItems", "map"},
		{func(a *kitchen.LimitsArgs) { a.Frees.Shape = []int{-1} }, "frees.shape", "shape", "array"},
	} {
		args := limits()
		c.change(&args)
		var invalid *typed.InvalidError
		if err := args.Validate(); !errors.As(err, &invalid) {
			t.Errorf("%s %s: got %v", c.path, c.rule, err)
		} else if invalid.Path != c.path || invalid.Rule != c.rule || invalid.Kind != c.kind {
			t.Errorf("got %s %s %s, want %s %s %s", invalid.Path, invalid.Rule, invalid.Kind, c.path, c.rule, c.kind)
		}
	}
}

func TestAMistakeDeepInsideHasItsWholePath(t *testing.T) {
	t.Parallel()
	args := everything()
	args.Shapes[1] = kitchen.Circle{Radius: -1}
	args.Tree.Children[0].Value = 1
	var invalid *typed.InvalidError
	if !errors.As(args.Validate(), &invalid) || invalid.Path != "shapes[1].radius" {
		t.Errorf("got %v", args.Validate())
	}
	args = everything()
	args.Shape = nil
	if !errors.As(args.Validate(), &invalid) || invalid.Path != "shape" || invalid.Rule != "missing" {
		t.Errorf("got %v", args.Validate())
	}
	args = everything()
	args.Mode = "other"
	if !errors.As(args.Validate(), &invalid) || invalid.Path != "mode" || invalid.Rule != "enum" {
		t.Errorf("got %v", args.Validate())
	}
}

func TestAFakeGetsTheArgumentsAndItsResultComesBack(t *testing.T) {
	t.Parallel()
	// Given fakes of two tasks
	double := penstocktest.New(t)
	kitchentest.FakeEverything(double, func(_ context.Context, args kitchen.EverythingArgs) (*kitchen.Tree, error) {
		if args.Count == 0 {
			return nil, kitchen.ErrEmpty
		}
		return &args.Tree, nil
	})
	kitchentest.FakeNothing(double, func(context.Context, kitchen.NothingArgs) error { return nil })
	ctx := t.Context()

	// When they are called, then results and errors are those of the fakes
	tree, err := kitchen.Everything(ctx, double.Client, everything())
	if err != nil || !reflect.DeepEqual(*tree, everything().Tree) {
		t.Errorf("got %v, %v", tree, err)
	}
	args := everything()
	args.Count = 0
	if _, err := kitchen.Everything(ctx, double.Client, args); !errors.Is(err, kitchen.ErrEmpty) || errors.Is(err, kitchen.ErrTooHot) {
		t.Errorf("got %v", err)
	}
	if err := kitchen.Nothing(ctx, double.Client, kitchen.NothingArgs{}); err != nil {
		t.Error(err)
	}
}

func TestAResultThatBreaksItsContractIsNoResult(t *testing.T) {
	t.Parallel()
	// Given a worker that answers something else than the contract says
	double := penstocktest.New(t)
	penstocktest.Handle(double, "kitchen.limits", func(context.Context, map[string]any) ([]any, error) {
		return []any{1.5, "no float"}, nil
	})
	penstocktest.Handle(double, "kitchen.weather", func(context.Context, map[string]any) (string, error) {
		return "hail", nil
	})

	// When it is called
	_, err := kitchen.Limits(t.Context(), double.Client, limits())

	// Then the caller learns where it is wrong
	if !errors.Is(err, penstock.ErrResultType) || !contains(err, "result[1]: must be a float") {
		t.Errorf("got %v", err)
	}

	// And a value that an open enum has not had so far is kept
	weather, err := kitchen.Weather(t.Context(), double.Client, kitchen.WeatherArgs{City: "Ulm"})
	if err != nil || weather != "hail" || weather.Known() {
		t.Errorf("got %v, %v", weather, err)
	}
}

func TestAStoredResultIsReadWithItsType(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	kitchentest.FakeArrays(double, func(_ context.Context, args kitchen.ArraysArgs) (typed.Array[float64], error) { return args.F64, nil })
	args := kitchen.ArraysArgs{
		I8: typed.Vector[int8](-1), I16: typed.Vector[int16](-1), I32: typed.Vector[int32](-1), I64: typed.Vector[int64](-1),
		U8: typed.Vector[uint8](1), U16: typed.Vector[uint16](1), U32: typed.Vector[uint32](1), U64: typed.Vector[uint64](1 << 63),
		F32: typed.Vector[float32](1), F64: typed.Matrix(1, 2, []float64{1, 2}),
	}
	handle, err := kitchen.EnqueueArrays(t.Context(), double.Client, args, &typed.Options{Result: penstock.Stored})
	if err != nil {
		t.Fatal(err)
	}
	got, err := kitchen.ArraysTask.Stored(t.Context(), double.Client, handle.ID())
	if err != nil || !reflect.DeepEqual(got, args.F64) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAFakeOfAnotherVersionSaysSo(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	kitchentest.FakeNothing(double, func(context.Context, kitchen.NothingArgs) error { return nil })
	_, err := kitchen.NothingV2(t.Context(), double.Client, kitchen.NothingArgsV2{})
	if !errors.Is(err, &penstock.RemoteError{Code: penstock.CodeUnsupportedTaskVersion}) {
		t.Errorf("got %v", err)
	}
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// FuzzEverything: what is accepted is written and read again without a change.
func FuzzEverything(f *testing.F) {
	args := everything()
	body, err := wire.MarshalAppender(kitchen.EverythingTask.Args.Value(&args), wire.MaxBodyBytes)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		if wire.Check(body, wire.MaxBodyBytes) != nil {
			return
		}
		read, invalid := kitchen.EverythingTask.Args.Read(body)
		if invalid != nil {
			return
		}
		first, err := wire.MarshalAppender(kitchen.EverythingTask.Args.Value(&read), wire.MaxBodyBytes)
		if err != nil {
			t.Fatal(err)
		}
		again, invalid := kitchen.EverythingTask.Args.Read(first)
		if invalid != nil {
			t.Fatal(invalid)
		}
		second, err := wire.MarshalAppender(kitchen.EverythingTask.Args.Value(&again), wire.MaxBodyBytes)
		if err != nil || string(first) != string(second) {
			t.Errorf("%x became %x, %v", first, second, err)
		}
	})
}

// The benchmarks compare generated code with reflection, and arrays with a copy of their bytes.

func BenchmarkEncode(b *testing.B) {
	args := everything()
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := wire.MarshalAppender(kitchen.EverythingTask.Args.Value(&args), wire.MaxBodyBytes); err != nil {
				b.Fatal(err)
			}
		}
	})
	circles := make([]kitchen.Tree, 100)
	tree := kitchen.Tree{Value: 1, Children: circles}
	b.Run("tree/generated", func(b *testing.B) {
		b.ReportAllocs()
		value := &tree
		for b.Loop() {
			if _, err := wire.MarshalAppender(kitchen.EverythingTask.Result.Value(&value), wire.MaxBodyBytes); err != nil {
				b.Fatal(err)
			}
		}
	})
	type node struct {
		Value    int64
		Children []struct{ Value int64 }
	}
	plain := node{Value: 1, Children: make([]struct{ Value int64 }, 100)}
	b.Run("tree/reflection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := wire.Marshal(plain, wire.MaxBodyBytes); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkArray8MB(b *testing.B) {
	const limit = wire.HardMaxBodyBytes
	data := make([]float64, 1_000_000)
	for i := range data {
		data[i] = float64(i)
	}
	array := typed.Vector(data...)
	codec := kitchen.ArraysTask.Result
	body, err := wire.MarshalAppender(codec.Value(&array), limit)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("memcpy", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			_ = append([]byte(nil), body...)
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if codec.Validate(&array) != nil {
				b.Fatal("invalid")
			}
			if _, err := wire.MarshalAppender(codec.Value(&array), limit); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if err := wire.Check(body, limit); err != nil {
				b.Fatal(err)
			}
			if _, invalid := codec.Read(body); invalid != nil {
				b.Fatal(invalid)
			}
		}
	})
}

func TestAnArrayThatWasForgottenIsSaidToHaveNoShape(t *testing.T) {
	t.Parallel()
	for _, array := range []typed.Array[float32]{{}, {Data: []float32{1, 2}}} {
		args := limits()
		args.Frees = array
		want := "frees.data: has no shape; make the array with typed.Vector or typed.Matrix"
		if err := args.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	}
}
