// Every example task, called from Go with real data, against a real worker: see tests/integration/test_examples.py.
package clients

import (
	"bytes"
	"context"
	"errors"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/redisresults"
	"github.com/penstock-mq/penstock/producer_go/typed"

	"github.com/penstock-mq/penstock/examples/clients/algebra"
	"github.com/penstock-mq/penstock/examples/clients/dates"
	"github.com/penstock-mq/penstock/examples/clients/frames"
	"github.com/penstock-mq/penstock/examples/clients/inference"
	"github.com/penstock-mq/penstock/examples/clients/learning"
	"github.com/penstock-mq/penstock/examples/clients/pictures"
	"github.com/penstock-mq/penstock/examples/clients/texts"
)

// open returns a client of the broker whose worker runs the example tasks.
func open(t *testing.T, change ...func(*penstock.Options)) (context.Context, *penstock.Client) {
	t.Helper()
	url := os.Getenv("PENSTOCK_EXAMPLES_URL")
	if url == "" {
		t.Skip("PENSTOCK_EXAMPLES_URL names no broker with a worker of the example tasks")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	options := penstock.Options{URL: url, Namespace: os.Getenv("PENSTOCK_EXAMPLES_NAMESPACE")}
	for _, c := range change {
		c(&options)
	}
	client, err := penstock.Open(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	return ctx, client
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
}

// column returns one column of a matrix.
func column(a typed.Array[float64], index int) []float64 {
	var values []float64
	for i := index; i < len(a.Data); i += a.Shape[1] {
		values = append(values, a.Data[i])
	}
	return values
}

func TestAlgebra(t *testing.T) {
	ctx, client := open(t)
	norm := must[float64](t)(algebra.Norm(ctx, client, algebra.NormArgs{X: typed.Vector(3.0, 4.0)}))
	near(t, "the norm of (3, 4)", norm, 5, 1e-12)

	x := must[typed.Array[float64]](t)(algebra.Solve(ctx, client, algebra.SolveArgs{
		A: typed.Matrix(2, 2, []float64{2, 1, 1, 3}), B: typed.Vector(3.0, 5.0),
	}))
	near(t, "x[0]", x.Data[0], 0.8, 1e-12)
	near(t, "x[1]", x.Data[1], 1.4, 1e-12)

	_, err := algebra.Solve(ctx, client, algebra.SolveArgs{A: typed.Matrix(2, 2, make([]float64, 4)), B: typed.Vector(1.0, 1.0)})
	if !errors.Is(err, algebra.ErrSingular) {
		t.Errorf("a singular matrix gave %v", err)
	}
}

func TestEightMegabytesGoBothWaysThroughRedis(t *testing.T) {
	const n = 1000
	a := make([]float64, n*n) // 8 MB
	for i := range n {
		a[i*n+i] = float64(i + 1)
	}
	args := algebra.InverseArgs{A: typed.Matrix(n, n, a)}
	store, err := redisresults.New(os.Getenv("PENSTOCK_REDIS_URL"))
	if err != nil {
		t.Skip(err)
	}
	defer store.Close()

	for name, compress := range map[string]bool{"as they are": false, "compressed": true} {
		ctx, client := open(t, func(o *penstock.Options) { o.Results, o.Compress = store, compress })
		inverse := must[typed.Array[float64]](t)(algebra.Inverse(ctx, client, args))
		if !slices.Equal(inverse.Shape, []int{n, n}) {
			t.Fatalf("%s: a matrix of %v came back", name, inverse.Shape)
		}
		near(t, name+": the last of them", inverse.Data[n*n-1], 1.0/n, 1e-15)
	}

	ctx, client := open(t) // without Redis
	_, err = algebra.Inverse(ctx, client, args)
	if !errors.Is(err, penstock.ErrTooLarge) || !strings.Contains(err.Error(), "the limit is 1048576") {
		t.Errorf("without Redis: %v", err)
	}
}

func TestArgumentsThatBreakTheContractAreNotSent(t *testing.T) {
	ctx, client := open(t)
	_, err := algebra.Solve(ctx, client, algebra.SolveArgs{A: typed.Vector(1.0), B: typed.Vector(math.NaN())})
	var invalid *typed.InvalidError
	if !errors.As(err, &invalid) || invalid.Path != "a.shape" || invalid.Rule != "shape" {
		t.Errorf("got %v", err)
	}
	var refused *penstock.InvalidJobError
	if !errors.As(err, &refused) || refused.Code != penstock.CodeInvalidArgs {
		t.Errorf("got %v", err)
	}
}

func TestLearning(t *testing.T) {
	ctx, client := open(t)
	digits := must[learning.Labelled](t)(learning.Sample(ctx, client, learning.SampleArgs{Dataset: learning.DatasetDigits}))
	// The model was trained with the first thousand.
	unseen := typed.Matrix(500, 64, digits.Points.Data[1000*64:1500*64])
	read := must[typed.Array[int64]](t)(learning.ReadDigits(ctx, client, learning.ReadDigitsArgs{Images: unseen}))
	right := 0
	for i, digit := range read.Data {
		if digit == digits.Labels.Data[1000+i] {
			right++
		}
	}
	if right < 470 {
		t.Errorf("%d of 500 digits were read right", right)
	}

	iris := must[learning.Labelled](t)(learning.Sample(ctx, client, learning.SampleArgs{Dataset: learning.DatasetIris}))
	if !slices.Equal(iris.Classes, []string{"setosa", "versicolor", "virginica"}) || !slices.Equal(iris.Points.Shape, []int{150, 4}) {
		t.Errorf("iris is %v of %v", iris.Points.Shape, iris.Classes)
	}
	found := must[learning.Clusters](t)(learning.Cluster(ctx, client, learning.ClusterArgs{Points: iris.Points, Groups: 3}))
	near(t, "the inertia of three groups of irises", found.Inertia, 78.85, 0.01)
	if len(found.Labels.Data) != 150 || !slices.Equal(found.Centers.Shape, []int{3, 4}) {
		t.Errorf("%d labels, centers of %v", len(found.Labels.Data), found.Centers.Shape)
	}
}

func TestInference(t *testing.T) {
	ctx, client := open(t)
	iris := must[learning.Labelled](t)(learning.Sample(ctx, client, learning.SampleArgs{Dataset: learning.DatasetIris}))
	sepals := column(iris.Points, 0)
	test := must[inference.TTest](t)(inference.Compare(ctx, client, inference.CompareArgs{
		First: typed.Vector(sepals[:50]...), Second: typed.Vector(sepals[50:100]...),
	}))
	near(t, "t of setosa and versicolor", test.Statistic, -10.521, 0.001)
	near(t, "the degrees of freedom", test.Degrees, 86.538, 0.001)

	longley := must[inference.Table](t)(inference.Longley(ctx, client, inference.LongleyArgs{}))
	y, names := column(longley.Rows, 0), longley.Names[1:]
	var x []float64
	for row := range longley.Rows.Shape[0] {
		x = append(x, longley.Rows.Data[row*7+1:row*7+7]...)
	}
	fitted := must[inference.Regression](t)(inference.Regress(ctx, client, inference.RegressArgs{
		Y: typed.Vector(y...), X: typed.Matrix(len(y), 6, x), Names: names,
	}))
	near(t, "R squared", fitted.RSquared, 0.995479, 1e-6)
	// The certified values of NIST's Longley data.
	want := map[string]float64{"constant": -3482258.63459582, "GNPDEFL": 15.0618722713733, "YEAR": 1829.15146461355}
	for _, term := range fitted.Terms {
		if value, known := want[term.Name]; known {
			near(t, term.Name, term.Value, value, math.Abs(value)*1e-6)
		}
		if term.Low > term.Value || term.Value > term.High {
			t.Errorf("%s: %v is not from %v to %v", term.Name, term.Value, term.Low, term.High)
		}
	}
}

func TestPictures(t *testing.T) {
	ctx, client := open(t)
	photo := must[[]byte](t)(pictures.Photo(ctx, client, pictures.PhotoArgs{Name: pictures.PhotoArgsNameChina}))
	small := must[pictures.Picture](t)(pictures.Thumbnail(ctx, client, pictures.ThumbnailArgs{Data: photo, Side: 64}))
	picture, format, err := image.Decode(bytes.NewReader(small.Data))
	if err != nil || format != "jpeg" || picture.Bounds().Dx() != 64 || small.Height != 43 {
		t.Errorf("the thumbnail is a %s of %v, %v", format, picture.Bounds(), err)
	}
	_, err = pictures.Thumbnail(ctx, client, pictures.ThumbnailArgs{Data: []byte("no picture"), Side: 64})
	if !errors.Is(err, pictures.ErrNotAnImage) {
		t.Errorf("what is no picture gave %v", err)
	}

	drawn := must[pictures.Picture](t)(pictures.Draw(ctx, client, pictures.DrawArgs{Width: 40, Height: 20, Shapes: []pictures.DrawArgsShapes{
		pictures.Box{X: 0, Y: 0, Width: 20, Height: 20, Color: "red"},
		pictures.Circle{X: 30, Y: 10, Radius: 5, Color: "blue"},
	}}))
	picture, _, err = image.Decode(bytes.NewReader(drawn.Data))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[image.Point][3]uint32{{X: 5, Y: 5}: {0xffff, 0, 0}, {X: 30, Y: 10}: {0, 0, 0xffff}, {X: 39, Y: 0}: {0xffff, 0xffff, 0xffff}} {
		if r, g, b, _ := picture.At(at.X, at.Y).RGBA(); [3]uint32{r, g, b} != want {
			t.Errorf("the color at %v is %v", at, [3]uint32{r, g, b})
		}
	}
}

func TestFrames(t *testing.T) {
	ctx, client := open(t)
	iris := must[learning.Labelled](t)(learning.Sample(ctx, client, learning.SampleArgs{Dataset: learning.DatasetIris}))
	var by []string
	for _, label := range iris.Labels.Data {
		by = append(by, iris.Classes[label])
	}
	groups := must[[]frames.GroupType](t)(frames.Group(ctx, client, frames.GroupArgs{
		Columns: map[string][]float64{"sepal": column(iris.Points, 0), "petal": column(iris.Points, 2)}, By: by,
	}))
	if len(groups) != 3 || groups[0].Name != "setosa" || groups[0].Rows != 50 {
		t.Fatalf("the groups are %v", groups)
	}
	near(t, "the mean sepal of setosa", groups[0].Means["sepal"], 5.006, 1e-9)

	noon := time.Date(2024, 5, 3, 12, 0, 0, 0, time.UTC)
	one, three := 1.0, 3.0
	hours := must[[]frames.Reading](t)(frames.Resample(ctx, client, frames.ResampleArgs{Readings: []frames.Reading{
		{At: noon.Add(2*time.Hour + time.Minute), Value: &three}, {At: noon, Value: &one}, {At: noon.Add(30 * time.Minute), Value: nil},
	}}))
	if len(hours) != 3 || *hours[0].Value != 1 || hours[1].Value != nil || *hours[2].Value != 3 || !hours[1].At.Equal(noon.Add(time.Hour)) {
		t.Errorf("the hours are %v", hours)
	}
}

func TestATableIsReadPieceByPiece(t *testing.T) {
	ctx, client := open(t)
	args := frames.ReadArgs{Table: frames.ReadArgsTableBreastCancer}
	rows := 0
	for piece, err := range frames.Read(ctx, client, args) {
		if err != nil {
			t.Fatal(err)
		}
		if rows == 0 {
			near(t, "the first radius", piece.Points.Data[0], 17.99, 1e-12)
		}
		if piece.First != int64(rows) || piece.Points.Shape[1] != 30 {
			t.Fatalf("after %d rows came %v from row %d", rows, piece.Points.Shape, piece.First)
		}
		rows += len(piece.Labels.Data)
	}
	if rows != 569 {
		t.Errorf("%d of 569 rows came", rows)
	}

	// One row each: more than the worker may send ahead of us.
	args.Rows = new(int64(1))
	handle := must[*typed.StreamHandle[frames.Piece, frames.Whole]](t)(frames.EnqueueRead(ctx, client, args, nil))
	benign := 0
	for piece, err := range handle.Stream(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		benign += int(piece.Labels.Data[0])
	}
	whole := must[frames.Whole](t)(handle.Wait(ctx))
	if benign != 357 || whole.Rows != 569 || len(whole.Means) != 30 {
		t.Errorf("%d of %d rows are benign, %d columns", benign, whole.Rows, len(whole.Means))
	}
	near(t, "the mean radius", whole.Means[0], 14.1273, 1e-4)
}

func TestTheItemsOfAStoredJobAreThereForAnyProcess(t *testing.T) {
	store, err := redisresults.New(os.Getenv("PENSTOCK_REDIS_URL"))
	if err != nil {
		t.Skip(err)
	}
	defer store.Close()
	withStore := func(o *penstock.Options) { o.Results = store }
	ctx, client := open(t, withStore)
	args := frames.ReadArgs{Table: frames.ReadArgsTableIris, Rows: new(int64(50))}
	handle := must[*typed.StreamHandle[frames.Piece, frames.Whole]](t)(
		frames.EnqueueRead(ctx, client, args, &typed.Options{Result: penstock.Stored}),
	)
	whole := must[frames.Whole](t)(handle.Wait(ctx))

	_, other := open(t, withStore)
	var species []int64
	for piece, err := range frames.ReadTask.StoredItems(ctx, other, handle.ID()) {
		if err != nil {
			t.Fatal(err)
		}
		species = append(species, piece.Labels.Data[0])
	}
	var last penstock.Progress
	for last, err = range other.Progress(ctx, handle.ID()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(species, []int64{0, 1, 2}) || whole.Rows != 150 || last.Text != "150 of 150 rows" {
		t.Errorf("got %v of %d rows, %v", species, whole.Rows, last)
	}
}

func TestTexts(t *testing.T) {
	ctx, client := open(t)
	words := must[[]string](t)(texts.CloseMatches(ctx, client, texts.CloseMatchesArgs{
		Word: "appel", Possibilities: []string{"ape", "apple", "peach", "puppy"},
	}))
	if !slices.Equal(words, []string{"apple", "ape"}) {
		t.Errorf("words like appel are %v", words)
	}
	keywords := must[[][]texts.Keyword](t)(texts.Keywords(ctx, client, texts.KeywordsArgs{Documents: []string{
		"The queue holds the flood.", "The turbine turns, and the turbine hums.",
	}, Most: new(int64(1))}))
	if len(keywords) != 2 || keywords[1][0].Word != "turbine" {
		t.Errorf("the keywords are %v", keywords)
	}
}

func TestDates(t *testing.T) {
	ctx, client := open(t)
	at := must[time.Time](t)(dates.Parse(ctx, client, dates.ParseArgs{Text: "3 May 2024, 2:30 pm", Zone: new("Europe/Berlin")}))
	if !at.Equal(time.Date(2024, 5, 3, 12, 30, 0, 0, time.UTC)) {
		t.Errorf("it was parsed as %v", at)
	}
	for want, args := range map[error]dates.ParseArgs{
		dates.ErrNotADate:    {Text: "the day after"},
		dates.ErrUnknownZone: {Text: "3 May 2024", Zone: new("Middle/Earth")},
	} {
		if _, err := dates.Parse(ctx, client, args); !errors.Is(err, want) {
			t.Errorf("%q gave %v", args.Text, err)
		}
	}
	fridays := must[[]time.Time](t)(dates.Occurrences(ctx, client, dates.OccurrencesArgs{
		Rule: "FREQ=MONTHLY;BYDAY=-1FR", Start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Most: new(int64(3)),
	}))
	if len(fridays) != 3 || fridays[1].Day() != 23 || fridays[1].Month() != time.February {
		t.Errorf("the Fridays are %v", fridays)
	}
	parts := must[[]string](t)(dates.Split(ctx, client, dates.SplitArgs{Total: "100.00", Parts: 3}))
	if got := strings.Join(parts, " "); got != "33.34 33.33 33.33" {
		t.Errorf("a hundred in three is %s", got)
	}
}
