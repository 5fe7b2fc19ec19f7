package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// enough is the share of digits that must be read correctly; scikit-learn by itself reaches 0.969.
const enough = 0.95

type modelInfo struct {
	Name      string `msgpack:"name"`
	TrainedOn int    `msgpack:"trained_on"`
}

type classifyArgs struct {
	Images []byte `msgpack:"images"`
}

// classifyAll lets Python read the digits that its model has not learnt from.
func (d *demo) classifyAll(ctx context.Context, set []digit, batch, inFlight int) error {
	var model modelInfo
	if err := d.call(ctx, "digits.model", nil, &model); err != nil {
		return err
	}
	if model.TrainedOn < 1 || model.TrainedOn >= len(set) {
		return fmt.Errorf("the model has learnt from %d of %d images", model.TrainedOn, len(set))
	}
	unseen := set[model.TrainedOn:]
	d.screen.say("digits", "Python has trained scikit-learn's %s on images 1 to %d. Go sends it the other %d, "+
		"which it has never seen: %d to a job, %d jobs at a time.", model.Name, model.TrainedOn, len(unseen), batch, inFlight)
	began := time.Now()
	labels, err := d.classify(ctx, unseen, batch, inFlight)
	if err != nil {
		return err
	}
	d.tally.took("digits.classify", time.Since(began))
	return d.judge(unseen, labels)
}

// part is what one job has answered.
type part struct {
	first  int // index of its first image
	labels []int
	err    error
}

// classify returns a label for each digit. It keeps a few jobs in flight; the first failure ends it.
func (d *demo) classify(ctx context.Context, set []digit, batch, inFlight int) ([]int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := (len(set) + batch - 1) / batch
	parts := make(chan part, jobs) // nobody ever blocks on it
	var taken atomic.Int64
	for range inFlight {
		go func() {
			for job := int(taken.Add(1)) - 1; job < jobs; job = int(taken.Add(1)) - 1 {
				parts <- d.classifyPart(ctx, set, job*batch, min((job+1)*batch, len(set)))
			}
		}()
	}
	labels := make([]int, len(set))
	bar := d.screen.progress(len(set), "images")
	defer bar.end()
	for range jobs {
		answer := <-parts
		if answer.err != nil {
			return nil, answer.err
		}
		bar.add(copy(labels[answer.first:], answer.labels))
	}
	return labels, nil
}

func (d *demo) classifyPart(ctx context.Context, set []digit, first, end int) part {
	var images []byte
	for _, digit := range set[first:end] {
		images = append(images, digit.image[:]...)
	}
	var labels []int
	err := d.call(ctx, "digits.classify", classifyArgs{Images: images}, &labels)
	if err == nil && len(labels) != end-first {
		err = fmt.Errorf("%d labels for %d images", len(labels), end-first)
	}
	return part{first, labels, err}
}

// judge compares the answers with the truth.
func (d *demo) judge(set []digit, labels []int) error {
	var m matrix
	for i, digit := range set {
		if labels[i] < 0 || labels[i] > 9 {
			return fmt.Errorf("%d is not a digit", labels[i])
		}
		m.add(digit, labels[i])
	}
	right := m.right()
	share := float64(right) / float64(len(set))
	d.screen.say("", "%s: %d of %d are right", d.screen.good(fmt.Sprintf("accuracy %.1f %%", 100*share)), right, len(set))
	d.screen.line("")
	m.print(d.screen)
	if share < enough {
		return fmt.Errorf("only %.1f %% of the digits were read correctly, and %.0f %% is the least", 100*share, 100*enough)
	}
	return nil
}
