package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// namespace is that of the worker which run.py starts.
const namespace = "bench-alternatives"

// jobs are calls through penstock.
type jobs struct {
	client *penstock.Client
	queue  string
}

func openPenstock(ctx context.Context, queue string) (*jobs, error) {
	client, err := penstock.Open(ctx, penstock.Options{
		URL: os.Getenv("PENSTOCK_AMQP_URL"), Namespace: namespace, Name: "bench alternatives",
	})
	return &jobs{client, queue}, err
}

func (j *jobs) call(ctx context.Context, work string) (answer int64, err error) {
	task := j.queue + ".call"
	if work == "hang" {
		task = j.queue + ".limited" // whose timeout is `limit`
	}
	handle, err := j.client.Enqueue(ctx, penstock.Job{Task: task, Args: map[string]any{"what": work}})
	if err != nil {
		return 0, err
	}
	return answer, handle.Wait(ctx, &answer)
}

// count reads what one job yields.
func (j *jobs) count(ctx context.Context, n int64, visit func(int64) error) error {
	handle, err := j.client.Enqueue(ctx, penstock.Job{Task: j.queue + ".count", Args: map[string]any{"n": n}})
	if err != nil {
		return err
	}
	for item, err := range handle.Stream(ctx) {
		if err != nil {
			return err
		}
		var value int64
		if err := item.Decode(&value); err != nil {
			return err
		}
		if err := visit(value); err != nil {
			return err
		}
	}
	return nil
}

func (j *jobs) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = j.client.Close(ctx)
}

// programs are interpreters, one for each call.
type programs struct {
	python, folder string
	room           chan struct{}
}

func (p *programs) call(ctx context.Context, work string) (answer int64, err error) {
	p.room <- struct{}{}
	defer func() { <-p.room }()
	said, err := exec.CommandContext(ctx, p.python, filepath.Join(p.folder, "once.py"), work).Output()
	if err != nil {
		return 0, err
	}
	return answer, json.Unmarshal(said, &answer)
}

func (*programs) close() {}

// lines are interpreters that stay, and answer line by line. One that fails or takes too long is replaced: whoever
// calls Python in this way has to write that himself.
type lines struct {
	python, folder string
	idle           chan *line
}

type line struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
}

func openLines(python, folder string, count int) (*lines, error) {
	l := &lines{python, folder, make(chan *line, count)}
	for range count {
		made, err := l.start()
		if err != nil {
			return nil, err
		}
		l.idle <- made
	}
	return l, nil
}

func (l *lines) start() (*line, error) {
	process := exec.Command(l.python, filepath.Join(l.folder, "lines.py"))
	stdin, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &line{process, stdin, bufio.NewReader(stdout)}, process.Start()
}

func (l *lines) call(ctx context.Context, work string) (int64, error) {
	var taken *line
	select {
	case taken = <-l.idle:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	answer, err := taken.ask(ctx, work)
	if err == nil {
		l.idle <- taken
		return answer, nil
	}
	taken.end()
	made, startErr := l.start()
	if startErr == nil {
		l.idle <- made
	}
	return 0, errors.Join(err, startErr)
}

func (l *line) ask(ctx context.Context, work string) (answer int64, err error) {
	stop := context.AfterFunc(ctx, func() { _ = l.process.Process.Kill() })
	defer stop()
	request, err := json.Marshal(work)
	if err != nil {
		return 0, err
	}
	if _, err := l.stdin.Write(append(request, '\n')); err != nil {
		return 0, err
	}
	said, err := l.stdout.ReadBytes('\n')
	if err != nil {
		return 0, errors.Join(ctx.Err(), err)
	}
	return answer, json.Unmarshal(said, &answer)
}

func (l *line) end() {
	_ = l.stdin.Close()
	_ = l.process.Process.Kill()
	_ = l.process.Wait()
}

func (l *lines) close() {
	for range cap(l.idle) {
		select {
		case left := <-l.idle:
			left.end()
		default:
			return
		}
	}
}

// number reads an answer that is a number in decimal.
func number(text []byte) (int64, error) {
	answer, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("no number: %q", text)
	}
	return answer, nil
}
