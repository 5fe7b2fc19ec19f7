package main

import (
	"context"
	"fmt"
	"io"
	"os"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// stream prints the items of a job, one on a line, and on a terminal how far the job is.
func stream(ctx context.Context, env environment, handle *penstock.Handle) error {
	if terminal(env.stderr) {
		ctx, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			show(ctx, env.stderr, handle)
		}()
		defer func() {
			stop()
			<-done
		}()
	}
	// A job that begins anew ends this too: what is printed cannot be taken back.
	for item, err := range handle.Stream(ctx) {
		if err != nil {
			return err
		}
		var value any
		if err := item.Decode(&value); err != nil {
			return err
		}
		if err := printJSON(env.stdout, value); err != nil {
			return err
		}
	}
	return nil
}

// show keeps one line up to date; the loop over the items says what goes wrong.
func show(ctx context.Context, w io.Writer, handle *penstock.Handle) {
	for p, err := range handle.Progress(ctx) {
		if err == nil {
			fmt.Fprintf(w, "\r%3.0f %% %q\x1b[K", 100*p.Fraction, p.Text) // quoted, for it is not the terminal's to obey
		}
	}
	fmt.Fprint(w, "\r\x1b[K")
}

func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
