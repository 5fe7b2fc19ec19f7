// Penstock-gen writes typed Go clients from task contracts.
//
//	//go:generate go run github.com/penstock-mq/penstock/producer_go/cmd/penstock-gen -contracts ../contracts/tasks -queue stats
//
// For each queue it writes two packages below -out: <queue>, with a function and a type for each task, and
// <queue>test, with a fake for each, for tests of code that calls them. Their import paths follow from the
// go.mod above -out.
//
// Flags:
//
//	-contracts DIR  where <queue>.<function>/v<N>.json lie; default contracts/tasks
//	-queue NAME     the queue; default all, one package each
//	-package NAME   the package's name, with -queue; default the queue's name without what no identifier has
//	-out DIR        where the packages' folders are made; default the working directory
//	-check          write nothing, and fail if a file is not as it should be
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-mq/penstock/producer_go/internal/contract"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintf(os.Stderr, "penstock-gen: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("penstock-gen", flag.ContinueOnError)
	folder := flags.String("contracts", "contracts/tasks", "where <queue>.<function>/v<N>.json lie")
	only := flags.String("queue", "", "the queue; default all")
	name := flags.String("package", "", "the package's name, with -queue")
	out := flags.String("out", ".", "where the packages' folders are made")
	check := flags.Bool("check", false, "write nothing, fail if a file is not as it should be")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *name != "" && *only == "" {
		return errors.New("usage: penstock-gen [-contracts DIR] [-queue NAME [-package NAME]] [-out DIR] [-check]")
	}
	queues, err := load(*folder, *only)
	if err != nil {
		return err
	}
	module, err := importPath(*out)
	if err != nil {
		return err
	}
	outdated := 0
	for _, queue := range queues {
		files, err := generate(queue, *name, module)
		if err != nil {
			return err
		}
		for _, f := range files {
			path := filepath.Join(*out, f.path)
			if had, err := os.ReadFile(path); err == nil && bytes.Equal(had, f.content) {
				continue
			}
			if *check {
				fmt.Printf("out of date: %s\n", path)
				outdated++
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, f.content, 0o644); err != nil {
				return err
			}
			fmt.Printf("wrote %s\n", path)
		}
	}
	if outdated > 0 {
		return errors.New("run go generate")
	}
	return nil
}

// load reads the contracts of one queue or of all, sorted by task and version.
func load(folder, only string) ([][]*contract.Contract, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*", "*.json"))
	if err != nil {
		return nil, err
	}
	byQueue := map[string][]*contract.Contract{}
	var problems []error
	for _, path := range paths {
		if queue, _, _ := strings.Cut(filepath.Base(filepath.Dir(path)), "."); only != "" && queue != only {
			continue
		}
		c, err := contract.Load(path)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		byQueue[c.Queue()] = append(byQueue[c.Queue()], c)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(byQueue) == 0 {
		return nil, fmt.Errorf("%s has no contract of queue %q", folder, only)
	}
	var queues [][]*contract.Contract
	for _, contracts := range byQueue {
		slices.SortFunc(contracts, func(a, b *contract.Contract) int {
			if order := strings.Compare(a.Task, b.Task); order != 0 {
				return order
			}
			return a.Version - b.Version
		})
		queues = append(queues, contracts)
	}
	slices.SortFunc(queues, func(a, b []*contract.Contract) int { return strings.Compare(a[0].Queue(), b[0].Queue()) })
	return queues, nil
}

// importPath returns the import path of a folder, by the go.mod above it.
func importPath(folder string) (string, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for above := absolute; ; above = filepath.Dir(above) {
		data, err := os.ReadFile(filepath.Join(above, "go.mod"))
		if err == nil {
			for line := range strings.Lines(string(data)) {
				if module, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
					below, err := filepath.Rel(above, absolute)
					return filepath.ToSlash(filepath.Join(strings.Trim(module, `"`), below)), err
				}
			}
		}
		if above == filepath.Dir(above) {
			return "", fmt.Errorf("there is no go.mod above %s", absolute)
		}
	}
}
