package brokertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Private is a broker of the test's own, which may be stopped, killed and alarmed.
type Private struct {
	URL string

	t     testing.TB
	stdin io.Writer
	lines *bufio.Scanner
}

// driver starts a broker and does what it is told, a line at a time; the broker ends with it.
const driver = `
import json, os, sys
from ops.dev.private import Janitor, NoSourceError, new_broker
with Janitor() as janitor:
    try:
        broker = new_broker(os.environ.get("BROKER") or None, janitor)
    except NoSourceError:
        sys.exit(69)
    broker.start()
    print(json.dumps(broker.environment()), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        getattr(broker, name)(*arguments)
        print("done", flush=True)
`

// NewPrivate starts a broker of the series that BROKER names, and ends it with the test. Like a test without
// servers it is skipped, or fails where PENSTOCK_CI is 1, when there is none to be had.
func NewPrivate(t testing.TB) *Private {
	t.Helper()
	Env(t, "PENSTOCK_AMQP_URL") // where no test has a broker this one has none either
	folder := root(t)
	command := exec.Command(filepath.Join(folder, ".venv", "bin", "python"), "-c", driver)
	command.Dir = folder
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		command.Wait()
	})
	p := &Private{t: t, stdin: stdin, lines: bufio.NewScanner(stdout)}
	if !p.lines.Scan() {
		command.Wait()
		if command.ProcessState.ExitCode() == 69 && os.Getenv("PENSTOCK_CI") != "1" {
			t.Skip("there is no RabbitMQ that a test could have for itself")
		}
		t.Fatalf("no private broker: %s", command.ProcessState)
	}
	var environment map[string]string
	if err := json.Unmarshal(p.lines.Bytes(), &environment); err != nil {
		t.Fatal(err)
	}
	p.URL = environment["PENSTOCK_AMQP_URL"]
	return p
}

// root returns the folder of the repository: the one above the module.
func root(t testing.TB) string {
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return filepath.Dir(folder)
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("there is no go.mod above the test")
		}
		folder = filepath.Dir(folder)
	}
}

// Stop ends the broker in good order.
func (p *Private) Stop() { p.tell("stop") }

// Kill ends it as a crash would.
func (p *Private) Kill() { p.tell("kill") }

// Start starts it again, with its data and on its ports, and waits until it answers.
func (p *Private) Start() { p.tell("start") }

// Alarm lets it run short of memory, or no longer: it then takes no messages.
func (p *Private) Alarm(on bool) {
	watermark := "0.4"
	if on {
		watermark = "0.0000001"
	}
	p.tell("control", "set_vm_memory_high_watermark", watermark)
}

// tell passes a command on and waits until it is done.
func (p *Private) tell(command ...string) {
	p.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(p.stdin, "%s\n", line); err != nil || !p.lines.Scan() {
		p.t.Fatalf("brokertest: the private broker did not %v: %v", command, err)
	}
}
