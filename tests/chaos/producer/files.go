package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// planned is one line of the plan. Times are in milliseconds, counted from when the job is enqueued.
type planned struct {
	ID         string `json:"id"`
	Task       string `json:"task"`
	N          int    `json:"n"`
	Mode       string `json:"mode"`
	DeadlineMS *int64 `json:"deadline_ms"`
	DelayMS    int64  `json:"delay_ms"`
	PatienceMS int64  `json:"patience_ms"` // how long Enqueue may take
	CancelMS   *int64 `json:"cancel_ms"`   // when it is cancelled, from when it was accepted; nil: never
}

// line is one line of the journal.
type line struct {
	Event string `json:"e"` // begin, then accepted, refused or unknown; cancel; result, gone or missing; enqueued, end
	ID    string `json:"id,omitempty"`
	At    int64  `json:"t"` // Unix nanoseconds
	Why   string `json:"why,omitempty"`

	// Of a result.
	OK      bool   `json:"ok,omitempty"`
	Nonce   string `json:"nonce,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Worker  string `json:"worker,omitempty"`

	// Of the end.
	Dropped    uint64 `json:"dropped,omitempty"`
	Reconnects int    `json:"reconnects,omitempty"`
	Refusals   int64  `json:"refusals,omitempty"`
}

func readPlan(path string) ([]planned, error) {
	var jobs []planned
	err := eachLine(path, func(text []byte) error {
		var job planned
		if err := json.Unmarshal(text, &job); err != nil {
			return err
		}
		jobs = append(jobs, job)
		return nil
	})
	return jobs, err
}

// history is what earlier lives of this producer have written: the last event of each job, but for its cancelling.
type history map[string]string

func readJournal(path string) (history, error) {
	past := history{}
	err := eachLine(path, func(text []byte) error {
		var l line
		if err := json.Unmarshal(text, &l); err == nil && l.Event != "cancel" { // else it was cut off by the kill
			past[l.ID] = l.Event
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return past, nil
	}
	return past, err
}

func eachLine(path string, use func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if err := use(scanner.Bytes()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return scanner.Err()
}

// journal appends lines. Each is one write, so that what was written is kept when this process is killed.
type journal struct{ file *os.File }

func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &journal{file}, err
}

// write does not return when the line cannot be written: a ledger with holes proves nothing.
func (j *journal) write(l line) {
	l.At = time.Now().UnixNano()
	text, err := json.Marshal(l)
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "producer: the journal:", err)
		os.Exit(2)
	}
}

func (j *journal) close() { j.file.Close() }
