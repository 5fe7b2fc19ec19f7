package kitchen_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/kitchen"
	"github.com/penstock-mq/penstock/producer_go/internal/kitchentest"
	"github.com/penstock-mq/penstock/producer_go/penstocktest"
	"github.com/penstock-mq/penstock/producer_go/typed"
)

// within returns a context that ends long after a test should have.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// collected returns what a loop gives, and its error.
func collected[T any](items iter.Seq2[T, error]) (all []T, last error) {
	for item, err := range items {
		if err != nil {
			last = err
			continue
		}
		all = append(all, item)
	}
	return all, last
}

// serve yields the courses as the task does.
func serve(_ context.Context, args kitchen.ServeArgs, yield func(kitchen.Course) error) (kitchen.Bill, error) {
	for _, name := range args.Names {
		if err := yield(kitchen.Course{Name: name, Plate: args.Plate.(kitchen.Box)}); err != nil {
			return kitchen.Bill{}, err
		}
	}
	return kitchen.Bill{Total: "20.00", Courses: int64(len(args.Names))}, nil
}

var (
	plate   = kitchen.Box{Width: 1, Height: 2}
	meal    = kitchen.ServeArgs{Names: []string{"soup", "pie"}, Plate: plate}
	courses = []kitchen.Course{{Name: "soup", Plate: plate}, {Name: "pie", Plate: plate}}
	bill    = kitchen.Bill{Total: "20.00", Courses: 2}
)

func TestTheItemsOfATaskComeTypedAndInOrder(t *testing.T) {
	t.Parallel()
	// Given a fake of a task that yields
	double := penstocktest.New(t)
	kitchentest.FakeServe(double, serve)

	// When it is called, then its items are there
	got, err := collected(kitchen.Serve(within(t), double.Client, meal))
	if err != nil || !reflect.DeepEqual(got, courses) {
		t.Errorf("got %+v, %v", got, err)
	}

	// And by its handle there is the result too
	handle, err := kitchen.EnqueueServe(within(t), double.Client, meal, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := collected(handle.Stream(within(t))); err != nil || !reflect.DeepEqual(got, courses) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := handle.Wait(within(t)); err != nil || got != bill || handle.ID() == "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestItemsMayBeValuesOfAnyTypeAndTheResultNothing(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	kitchentest.FakeHeat(double, func(_ context.Context, args kitchen.HeatArgs, yield func(float64) error) error {
		return errors.Join(yield(args.Start), yield(args.Start+1))
	})
	kitchentest.FakeStack(double, func(_ context.Context, args kitchen.StackArgs, yield func(kitchen.StackItem) error) (map[string][]int64, error) {
		return map[string][]int64{"places": {0}}, errors.Join(yield(kitchen.Circle{Radius: 1}), yield(nil))
	})
	if got, err := collected(kitchen.Heat(within(t), double.Client, kitchen.HeatArgs{Start: 20})); err != nil || !reflect.DeepEqual(got, []float64{20, 21}) {
		t.Errorf("got %v, %v", got, err)
	}
	want := []kitchen.StackItem{kitchen.Circle{Radius: 1}, nil}
	if got, err := collected(kitchen.Stack(within(t), double.Client, kitchen.StackArgs{})); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnItemThatBreaksItsContractEndsTheJob(t *testing.T) {
	t.Parallel()
	// Given a fake that yields what is too hot, and does not care
	double := penstocktest.New(t)
	var said error
	kitchentest.FakeHeat(double, func(_ context.Context, _ kitchen.HeatArgs, yield func(float64) error) error {
		_ = yield(300)
		said = yield(301)
		return nil
	})

	// When it is called
	got, err := collected(kitchen.Heat(within(t), double.Client, kitchen.HeatArgs{}))

	// Then the job ends as with a worker, after what was in order
	var remote *penstock.RemoteError
	if !errors.As(err, &remote) || remote.Code != penstock.CodeResultInvalid || !reflect.DeepEqual(got, []float64{300}) {
		t.Fatalf("got %v, %v", got, err)
	}
	want := map[string]any{"path": "item", "rule": "maximum", "kind": "float"}
	if !reflect.DeepEqual(remote.Details, want) || said == nil {
		t.Errorf("got %v; yield said %v", remote.Details, said)
	}
}

func TestAnItemOfAnotherContractEndsTheLoopAndTheResultIsStillThere(t *testing.T) {
	t.Parallel()
	// Given a worker whose items have a property of another type, and one more
	double := penstocktest.New(t)
	penstocktest.Handle(double, "kitchen.serve", func(ctx context.Context, _ map[string]any) (any, error) {
		plate := map[string]any{"kind": "box", "width": 1.0, "height": 2.0}
		err := errors.Join(
			penstocktest.Yield(ctx, map[string]any{"name": "soup", "plate": plate, "new": true}),
			penstocktest.Yield(ctx, map[string]any{"name": 1, "plate": plate}),
			penstocktest.Yield(ctx, map[string]any{"name": "pie", "plate": plate}),
		)
		return map[string]any{"total": "20.00", "courses": 2}, err
	})
	handle, err := kitchen.EnqueueServe(within(t), double.Client, meal, nil)
	if err != nil {
		t.Fatal(err)
	}

	// When they are read, then the first is, and the second ends the loop with its place
	got, err := collected(handle.Stream(within(t)))
	if !errors.Is(err, penstock.ErrResultType) || !contains(err, "item 1") || !contains(err, "item.name") || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := handle.Wait(within(t)); err != nil || got != bill {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestArgumentsThatBreakTheContractAreTheOnlyRoundOfTheLoop(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	rounds := 0
	for _, err := range kitchen.Serve(within(t), double.Client, kitchen.ServeArgs{}) {
		rounds++
		if invalid := (*typed.InvalidError)(nil); !errors.As(err, &invalid) || invalid.Path != "plate" {
			t.Errorf("got %v", err)
		}
	}
	if rounds != 1 || len(double.Jobs()) != 0 {
		t.Errorf("%d rounds, %d jobs", rounds, len(double.Jobs()))
	}
}

func TestTheItemsOfAStoredJobAreReadByAnyProcess(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	kitchentest.FakeServe(double, serve)
	handle, err := kitchen.EnqueueServe(within(t), double.Client, meal, &typed.Options{Result: penstock.Stored})
	if err != nil {
		t.Fatal(err)
	}
	other := double.Open()
	for range 2 { // they are not used up
		got, err := collected(kitchen.ServeTask.StoredItems(within(t), other, handle.ID()))
		if err != nil || !reflect.DeepEqual(got, courses) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if got, err := kitchen.ServeTask.Stored(within(t), other, handle.ID()); err != nil || got != bill {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAJobThatBeginsAnewYieldsItsItemsFromTheFirst(t *testing.T) {
	t.Parallel()
	// Given a task whose first attempt fails in the middle
	double := penstocktest.New(t)
	double.Retry("kitchen.serve", 2)
	read := make(chan struct{})
	kitchentest.FakeServe(double, func(ctx context.Context, args kitchen.ServeArgs, yield func(kitchen.Course) error) (kitchen.Bill, error) {
		if penstocktest.JobOf(ctx).Attempt == 1 {
			err := yield(courses[0])
			<-read
			return kitchen.Bill{}, errors.Join(err, &penstock.RemoteError{Message: "the oven is cold", Retryable: true})
		}
		return serve(ctx, args, yield)
	})

	// When its items are read
	var got []string
	for course, err := range kitchen.Serve(within(t), double.Client, meal) {
		switch {
		case errors.Is(err, penstock.ErrRestarted):
			got = append(got, "again")
		case err != nil:
			t.Fatal(err)
		default:
			if len(got) == 0 {
				close(read)
			}
			got = append(got, course.Name)
		}
	}

	// Then the loop says that they begin anew, and goes on
	if want := []string{"soup", "again", "soup", "pie"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestWhoLeavesTheLoopStopsTheFake(t *testing.T) {
	t.Parallel()
	// Given a task that yields without end
	double := penstocktest.New(t)
	ended := make(chan error, 1)
	kitchentest.FakeHeat(double, func(ctx context.Context, args kitchen.HeatArgs, yield func(float64) error) error {
		for ctx.Err() == nil {
			if err := yield(args.Start); err != nil {
				ended <- err
				return err
			}
		}
		ended <- ctx.Err()
		return ctx.Err()
	})
	handle, err := kitchen.EnqueueHeat(within(t), double.Client, kitchen.HeatArgs{Start: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}

	// When the loop is left and the job is cancelled
	for range handle.Stream(within(t)) {
		break
	}
	if err := handle.Cancel(within(t)); err != nil {
		t.Fatal(err)
	}

	// Then it ends
	select {
	case <-ended:
	case <-within(t).Done():
		t.Error("it goes on")
	}
	if _, err := handle.Wait(within(t)); !errors.Is(err, &penstock.RemoteError{Code: penstock.CodeCancelled}) {
		t.Errorf("got %v", err)
	}
}

func TestAnyJobSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	double := penstocktest.New(t)
	seen := make(chan struct{})
	kitchentest.FakeServe(double, func(ctx context.Context, args kitchen.ServeArgs, yield func(kitchen.Course) error) (kitchen.Bill, error) {
		penstocktest.Report(ctx, penstock.Progress{Fraction: 0.5, Text: "soup"})
		select {
		case <-seen:
		case <-ctx.Done():
		}
		return bill, nil
	})
	handle, err := kitchen.EnqueueServe(within(t), double.Client, meal, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := penstock.Progress{}, error(nil)
	for got, err = range handle.Progress(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if got.Fraction == 0.5 {
			close(seen)
		}
	}
	if got.Text != "soup" {
		t.Errorf("got %+v", got)
	}
}
