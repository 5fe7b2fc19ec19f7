package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// longest is the longer side of a thumbnail in pixels.
const longest = 128

type thumbnailArgs struct {
	JPEG    []byte `msgpack:"jpeg"`
	Longest int    `msgpack:"longest"`
}

type thumbnail struct {
	JPEG         []byte `msgpack:"jpeg"`
	Width        int    `msgpack:"width"`
	Height       int    `msgpack:"height"`
	SourceWidth  int    `msgpack:"source_width"`
	SourceHeight int    `msgpack:"source_height"`
}

// thumbnails enqueues two photographs and lets another process fetch what becomes of them.
func (d *demo) thumbnails(ctx context.Context, data string) error {
	d.screen.say("images", "Pillow makes thumbnails, and the results are kept in Redis:")
	var ids []string
	for _, name := range []string{"china.jpg", "flower.jpg"} {
		photo, err := os.ReadFile(filepath.Join(data, "images", name))
		if err != nil {
			return err
		}
		handle, err := d.client.Enqueue(ctx, penstock.Job{
			Task: "images.thumbnail", Args: thumbnailArgs{JPEG: photo, Longest: longest}, Result: penstock.Stored,
		})
		if err != nil {
			return err
		}
		d.screen.say("", "%-10s %d kB, job %s", name, kB(photo), handle.ID())
		ids = append(ids, handle.ID())
	}
	if err := fetchElsewhere(ctx, ids); err != nil {
		return err
	}
	for _, id := range ids {
		d.tally.add("images.thumbnail", id, 0, nil)
	}
	return nil
}

// fetchElsewhere runs this program's fetch in a second process.
func fetchElsewhere(ctx context.Context, ids []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	other := exec.CommandContext(ctx, self, append([]string{"fetch"}, ids...)...)
	other.Stdout, other.Stderr = os.Stdout, os.Stderr
	if err := other.Run(); err != nil {
		return fmt.Errorf("the process that fetches the thumbnails: %w", err)
	}
	return nil
}

// fetch prints stored thumbnails.
func fetch(ctx context.Context, s *screen, ids []string) (err error) {
	if len(ids) == 0 {
		return errors.New("fetch: which ids?")
	}
	client, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.close()) }()
	s.say("", "another Go process, pid %d, knows the ids alone, and fetches:", os.Getpid())
	for _, id := range ids {
		var t thumbnail
		if err := client.Result(ctx, id, &t); err != nil {
			return err
		}
		if err := t.check(); err != nil {
			return fmt.Errorf("job %s: %w", id, err)
		}
		s.say("", "job %s: %dx%d -> %dx%d, %d kB", id, t.SourceWidth, t.SourceHeight, t.Width, t.Height, kB(t.JPEG))
	}
	return nil
}

// check decodes the thumbnail.
func (t *thumbnail) check() error {
	image, err := jpeg.Decode(bytes.NewReader(t.JPEG))
	if err != nil {
		return fmt.Errorf("the thumbnail is no JPEG image: %w", err)
	}
	size := image.Bounds().Size()
	if size.X != t.Width || size.Y != t.Height || max(size.X, size.Y) != longest {
		return fmt.Errorf("the thumbnail is %dx%d, and said to be %dx%d; its longer side should be %d",
			size.X, size.Y, t.Width, t.Height, longest)
	}
	return nil
}

func kB(data []byte) int { return (len(data) + 500) / 1000 }
