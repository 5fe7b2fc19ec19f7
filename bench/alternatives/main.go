// Command alternatives calls the same Python in one of several ways, and prints one JSON object.
//
//	alternatives -way WAY -work cpu|wait|nothing    how many calls end in a second
//	alternatives -way WAY -harm crash|hang          what becomes of calls beside one that crashes or hangs
//	alternatives -way WAY -count N                  how many of N items that one call yields come in a second
//
// A WAY is a queue of penstock (processes, threads, async, serial, commands; broker and worker are there already),
// or exec, lines, rpc or embedded, which start and end what they need.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// callers is how many goroutines call at once, in every way; each way decides how many calls it runs at once.
	callers = 32
	// atOnce is how many calls run at once in one process: as many as in the lanes with 16 slots.
	atOnce = 16
	warm   = 500 * time.Millisecond
	window = 1500 * time.Millisecond
	// patience is how long a call may take, from the caller's point of view. In a lane whose jobs share a child, those
	// beside a crash run again, alone and one after the other; elsewhere nobody would start them again.
	patience, ownPatience = 5 * time.Second, 20 * time.Second
	// limit is how long a call that hangs may take, where nothing else holds it to that.
	limit = time.Second
	// neighbours is how many calls run beside one that does harm.
	neighbours = 4
)

// caller is one way to call Python. An implementation is used by many goroutines.
type caller interface {
	call(ctx context.Context, work string) (int64, error)
	close()
}

// counter is a caller of what yields: visit is called with the numbers below n, in their order.
type counter interface {
	count(ctx context.Context, n int64, visit func(int64) error) error
}

// settings are the flags.
type settings struct {
	way, work, harm string
	count           int64
	python, folder  string
}

// expected is the answer of every work: a sum of squares for `cpu`, else 0.
var expected = map[string]int64{}

func init() {
	const steps = 40_000
	expected["cpu"] = (steps - 1) * steps * (2*steps - 1) / 6
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "alternatives:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var s settings
	flag.StringVar(&s.way, "way", "exec", "how Python is called")
	flag.StringVar(&s.work, "work", "nothing", "what it does")
	flag.StringVar(&s.harm, "harm", "", "what one call does to the others")
	flag.Int64Var(&s.count, "count", 0, "items of one call, in ways that have such")
	flag.StringVar(&s.python, "python", "python3", "the interpreter, for ways that start one")
	flag.StringVar(&s.folder, "folder", ".", "where the Python side lies")
	flag.Parse()
	way, err := open(ctx, s)
	if err != nil {
		return err
	}
	defer way.close()
	if s.harm != "" {
		found, err := harm(ctx, way, s.harm)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(found)
	}
	measure := func() (float64, error) { return throughput(ctx, way, s.work) }
	if counter, ok := way.(counter); ok && s.count > 0 {
		measure = func() (float64, error) { return streamed(ctx, counter, s.count) }
	}
	rate, err := measure()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"per_s": rate})
}

func open(ctx context.Context, s settings) (caller, error) {
	switch s.way {
	case "exec":
		return &programs{python: s.python, folder: s.folder, room: make(chan struct{}, 2*runtime.NumCPU())}, nil
	case "lines":
		return openLines(s.python, s.folder, runtime.NumCPU())
	case "rpc":
		return openRPC(s.python, s.folder)
	case "embedded":
		return openEmbedded(s.folder)
	}
	return openPenstock(ctx, s.way)
}

// checked calls, and looks at the answer.
func checked(ctx context.Context, way caller, work string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := way.call(ctx, work)
	if err == nil && answer != expected[work] {
		err = fmt.Errorf("%s: the answer is %d, not %d", work, answer, expected[work])
	}
	return err
}

// throughput is how many calls end in a second, while all callers call one after the other.
func throughput(ctx context.Context, way caller, work string) (float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begin := time.Now().Add(warm)
	end := begin.Add(window)
	var count atomic.Int64
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for ctx.Err() == nil && time.Now().Before(end) {
				if err := checked(ctx, way, work, ownPatience); err != nil {
					cancel(err)
					return
				}
				if now := time.Now(); now.After(begin) && now.Before(end) {
					count.Add(1)
				}
			}
		})
	}
	group.Wait()
	return float64(count.Load()) / window.Seconds(), context.Cause(ctx)
}

// streamed is how many items of one call come in a second.
func streamed(ctx context.Context, way counter, n int64) (float64, error) {
	var next int64
	began := time.Now()
	err := way.count(ctx, n, func(item int64) error {
		if item != next {
			return fmt.Errorf("the item after %d is %d", next-1, item)
		}
		next++
		return nil
	})
	if err == nil && next != n {
		err = fmt.Errorf("%d items of %d", next, n)
	}
	return float64(n) / time.Since(began).Seconds(), err
}

// harmed is what one call did to the others.
type harmed struct {
	// Harmless says that the call which was to do harm has succeeded.
	Harmless bool `json:"harmless"`
	// Succeeded is how many of its neighbours got their answers.
	Succeeded int `json:"succeeded"`
	// Slowest is how long the last of those had to wait, in seconds.
	Slowest float64 `json:"slowest_s"`
	// Recovered says whether a later call succeeded.
	Recovered bool `json:"recovered"`
}

// harm starts calls that take a while and beside them one that crashes or hangs.
func harm(ctx context.Context, way caller, work string) (found harmed, err error) {
	if err := checked(ctx, way, "nothing", ownPatience); err != nil {
		return found, err
	}
	timeout, patience := patience, patience
	if _, ours := way.(*jobs); ours {
		timeout, patience = ownPatience, ownPatience
	} else if work == "hang" {
		timeout = limit
	}
	var mutex sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	for range neighbours {
		group.Go(func() {
			err := checked(ctx, way, "nap", patience)
			mutex.Lock()
			defer mutex.Unlock()
			if err == nil {
				found.Succeeded++
				found.Slowest = time.Since(began).Seconds()
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	harmful, give := context.WithCancel(ctx)
	defer give()
	said := make(chan error, 1)
	go func() { said <- checked(harmful, way, work, timeout) }()
	group.Wait()
	select {
	case err := <-said:
		found.Harmless = err == nil
	case <-time.After(limit): // it is tried again; what it did to the others is known
	}
	found.Recovered = checked(ctx, way, "nothing", patience/2) == nil
	return found, nil
}
