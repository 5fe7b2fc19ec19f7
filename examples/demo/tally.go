package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

// tally counts what became of the jobs. It is safe for concurrent use.
type tally struct {
	mu    sync.Mutex
	tasks []string // in the order of their first job
	rows  map[string]*row
	ids   map[string]int // results by job
}

// row is what became of the jobs of one task.
type row struct {
	jobs, ok, retried, refused, dead int

	trips []time.Duration // from Enqueue to the result
	wall  time.Duration   // for all jobs together; 0: not measured
}

func newTally() *tally {
	return &tally{rows: make(map[string]*row), ids: make(map[string]int)}
}

// add counts the end of a job; a trip of 0 has not been measured.
func (t *tally) add(task, id string, trip time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[task] == nil {
		t.rows[task] = &row{}
		t.tasks = append(t.tasks, task)
	}
	t.ids[id]++
	r := t.rows[task]
	r.jobs++
	if trip > 0 {
		r.trips = append(r.trips, trip)
	}
	r.count(err)
}

func (r *row) count(err error) {
	var remote *penstock.RemoteError
	switch {
	case err == nil:
		r.ok++
	case !errors.As(err, &remote): // there is no result
	case remote.Attempt == 0:
		r.refused++
	default:
		r.dead++
		if remote.Attempt > 1 {
			r.retried++
		}
	}
}

// retried notes that a job which went well in the end needed more than one attempt.
func (t *tally) retried(task string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[task].retried++
}

// took notes how long all jobs of a task took together.
func (t *tally) took(task string, wall time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[task].wall = wall
}

// check finds jobs without a result and results without a job of their own.
func (t *tally) check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for task, r := range t.rows {
		if ended := r.ok + r.refused + r.dead; ended != r.jobs {
			return fmt.Errorf("%s: %d jobs and %d results", task, r.jobs, ended)
		}
	}
	for id, results := range t.ids {
		if results != 1 {
			return fmt.Errorf("job %s: %d results", id, results)
		}
	}
	return nil
}

const form = "%-16s %5s %5s %8s %8s %5s %9s %8s %7s"

// print shows a line for each task, and the sum.
func (t *tally) print(s *screen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.line(s.faint(fmt.Sprintf(form, "task", "jobs", "ok", "retried", "refused", "dead", "p50", "p99", "jobs/s")))
	var sum row
	for _, task := range t.tasks {
		r := t.rows[task]
		s.line(r.format(task))
		sum.jobs, sum.ok, sum.retried = sum.jobs+r.jobs, sum.ok+r.ok, sum.retried+r.retried
		sum.refused, sum.dead = sum.refused+r.refused, sum.dead+r.dead
	}
	s.line(sum.format("all"))
	s.line("")
	s.say("results", "%s. p50 and p99 are the round trip, from Enqueue to the result.",
		s.good(fmt.Sprintf("each of the %d jobs has exactly one", sum.jobs)))
}

func (r *row) format(task string) string {
	cells := []any{task}
	for _, n := range []int{r.jobs, r.ok, r.retried, r.refused, r.dead} {
		if n == 0 {
			cells = append(cells, ".")
		} else {
			cells = append(cells, strconv.Itoa(n))
		}
	}
	rate := ""
	if r.wall > 0 {
		rate = fmt.Sprintf("%.0f", float64(r.jobs)/r.wall.Seconds())
	}
	cells = append(cells, r.percentile(0.5), r.percentile(0.99), rate)
	return fmt.Sprintf(form, cells...)
}

// percentile returns the shortest round trip that is not exceeded by this share of them. It says nothing
// where there are too few to know.
func (r *row) percentile(share float64) string {
	if n := len(r.trips); n == 0 || float64(n)*(1-share) < 1 && share > 0.5 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(r.trips))
	trip := sorted[int(math.Ceil(share*float64(len(sorted))))-1]
	if trip >= time.Second {
		return fmt.Sprintf("%.1f s", trip.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(trip.Microseconds())/1000)
}
