"""A job is cancelled by its id: before it starts, while it runs on every kind of lane, and from Go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.wire.result import Result
from tests.helpers.go import build_made
from tests.helpers.producer import Producer, new_id
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

TASKS = "tests.helpers.cancel_tasks"
Start = Callable[..., WorkerProcess]
LANES = ("processes", "serial", "threads", "asynchronous", "commands")
FINISHED = 'penstock_jobs_finished_total{{outcome="cancelled",queue="t",task="{}"}}'


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where tasks note that they have begun."""
    return tmp_path / "mark"


def code(result: Result) -> str:
    return result.error.code if result.error is not None else "none"


def begins(producer: Producer, task: str, mark: Path) -> str:
    """Enqueue a job and wait until it has begun."""
    job_id = producer.enqueue(task, {"path": str(mark)})
    until(lambda: mark.exists() and mark.read_text(), f"{task} begins")
    return job_id


def steps(producer: Producer, job_id: str) -> list[str]:
    return [step for _, step in producer.acknowledged(job_id)]


def finished(worker: WorkerProcess, task: str) -> float:
    """How many jobs of a task the worker says were cancelled."""
    name = FINISHED.format(task)
    lines = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


# ── jobs that have not started ──────────────────────────────────────────────────────────────────────


def test_a_job_that_waits_in_the_worker_never_starts(producer: Producer, start_worker: Start, mark: Path) -> None:
    # Given a worker of one slot, whose job runs, and another that waits in it
    worker = start_worker(target=f"{TASKS}:processes")
    first = begins(producer, "t.hold", mark)
    second = producer.enqueue("t.note", {"path": str(mark)})
    until(lambda: producer.depth("q.t") == 0, "the second job is in the worker")

    # When the second is cancelled
    producer.cancel(second)
    result = producer.result(second)

    # Then its caller hears that, and it has not run
    assert (code(result), result.attempt, result.started_at) == ("CANCELLED", 0, None)
    assert result.error is not None
    assert (result.error.message, result.error.retryable) == ("t.note was cancelled before it started", False)
    assert mark.read_text() == f"{first}\n"

    # And it is acknowledged, counted, logged, and nowhere any more
    (acknowledged,) = producer.acknowledged(second)
    assert acknowledged[1] == "never_started"
    assert acknowledged[0].startswith(f"{producer.user}.")
    assert finished(worker, "t.note") == 1
    (line,) = worker.records("job.cancelled")
    assert (line["job_id"], line["task"]) == (second, "t.note")
    producer.cancel(first)
    producer.result(first)
    assert producer.depth("q.t") == producer.depth("dead.t") == 0


def test_a_job_whose_command_came_first_never_starts(producer: Producer, start_worker: Start, mark: Path) -> None:
    start_worker(target=f"{TASKS}:processes")
    job_id = new_id()
    producer.cancel(job_id)
    assert steps(producer, job_id) == ["unknown_here"]
    result = producer.call("t.note", {"path": str(mark)}, message_id=job_id)
    assert (code(result), result.attempt) == ("CANCELLED", 0)
    assert not mark.exists()
    # And no other job suffers
    assert producer.call("t.note", {"path": str(mark)}).value == "noted"


def test_a_job_that_waits_in_the_broker_is_cancelled_by_whoever_takes_it(
    producer: Producer, start_worker: Start, mark: Path
) -> None:
    # Given two workers that are busy, with all that they prefetch, and a job behind that
    workers = [start_worker(target=f"{TASKS}:processes") for _ in range(2)]
    busy = [producer.enqueue("t.hold", {"path": str(mark)}) for _ in range(4)]
    until(lambda: mark.exists() and len(mark.read_text().split()) == 2, "both are busy")
    until(lambda: producer.depth("q.t") == 0, "all prefetched")
    job_id = producer.enqueue("t.note", {"path": str(mark)})

    # When it is cancelled there, and the way gets free
    producer.cancel(job_id)
    assert [step for _, step in producer.acknowledged(job_id, 2)] == ["unknown_here"] * 2
    for other in sorted(busy, key=mark.read_text().find):  # those that have not begun first
        producer.cancel(other)

    # Then it ends without having run, and so do the others
    assert code(producer.result(job_id)) == "CANCELLED"
    assert {code(producer.result(other)) for other in busy} == {"CANCELLED"}
    assert len(mark.read_text().split()) == 2
    assert sum(finished(worker, "t.note") for worker in workers) == 1


def test_a_delayed_job_is_cancelled_when_it_comes_back(producer: Producer, start_worker: Start, mark: Path) -> None:
    start_worker(target=f"{TASKS}:processes")
    due = int(time.time() * 1000) + 1500
    job_id = producer.enqueue("t.note", {"path": str(mark)}, headers={"x-not-before": due})
    until(lambda: producer.depth("wait.1s") == 1, "it waits")
    producer.cancel(job_id)
    assert code(producer.result(job_id)) == "CANCELLED"
    assert not mark.exists()


def test_a_job_that_nobody_awaits_is_cancelled_without_a_trace_in_the_dead_queue(
    producer: Producer, start_worker: Start, mark: Path
) -> None:
    worker = start_worker(target=f"{TASKS}:processes")
    job_id = new_id()
    producer.cancel(job_id)
    producer.acknowledged(job_id)
    producer.enqueue("t.note", {"path": str(mark)}, message_id=job_id, headers={"x-result": "none"})
    until(lambda: finished(worker, "t.note") == 1, "it is cancelled")
    assert producer.call("t.note", {"path": str(mark)}).value == "noted"
    assert producer.depth("q.t") == producer.depth("dead.t") == 0


# ── jobs that run ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lane", LANES)
def test_a_job_that_runs_is_interrupted_and_its_child_lives_on(
    producer: Producer, start_worker: Start, mark: Path, lane: str
) -> None:
    # Given a job that waits for ever
    worker = start_worker(target=f"{TASKS}:{lane}")
    children = worker.children()
    job_id = begins(producer, "t.hold", mark)

    # When it is cancelled
    producer.cancel(job_id)
    result = producer.result(job_id)

    # Then it ends
    assert (code(result), result.attempt) == ("CANCELLED", 1)
    assert result.started_at is not None
    assert result.error is not None
    assert result.error.message == "t.hold was cancelled while it ran"
    assert steps(producer, job_id) == ["exception"]
    assert finished(worker, "t.hold") == 1

    # And its child runs the next
    assert code(producer.call("t.note", {"path": str(mark)})) == "none"
    assert worker.children() == children
    assert producer.depth("dead.t") == 0


@pytest.mark.parametrize("lane", ["processes", "threads", "asynchronous"])
def test_a_job_that_succeeds_all_the_same_keeps_its_result(
    producer: Producer, start_worker: Start, mark: Path, lane: str
) -> None:
    start_worker(target=f"{TASKS}:{lane}")
    job_id = begins(producer, "t.save", mark)
    producer.cancel(job_id)
    assert producer.result(job_id).value == "saved, cancelled: True"
    assert steps(producer, job_id) == ["ended"]


def test_a_cancelled_job_is_not_tried_again_whatever_it_raises(
    producer: Producer, start_worker: Start, mark: Path
) -> None:
    worker = start_worker(target=f"{TASKS}:processes")
    job_id = begins(producer, "t.translate", mark)
    producer.cancel(job_id)
    assert code(producer.result(job_id)) == "CANCELLED"
    # The traceback is in the log, for whoever wonders
    (line,) = worker.records("job.cancelled")
    assert "OSError: interrupted" in line["traceback"]
    assert producer.call("t.note", {"path": str(mark)}).value == "noted"
    assert mark.read_text().count(job_id) == 1


@pytest.mark.parametrize("lane", ["processes", "serial"])
def test_a_job_that_does_not_end_is_killed_after_its_grace(
    producer: Producer, start_worker: Start, mark: Path, lane: str
) -> None:
    # Given a job that hears no signal
    worker = start_worker(target=f"{TASKS}:{lane}")
    children = worker.children()
    job_id = begins(producer, "t.deaf", mark)

    # When it is cancelled
    at = time.monotonic()
    producer.cancel(job_id)
    result = producer.result(job_id)

    # Then its child is killed, not before the two seconds are over, and another takes its place at once
    assert time.monotonic() - at >= 2.0
    assert (code(result), result.attempt) == ("CANCELLED", 1)
    assert steps(producer, job_id) == ["killed"]
    assert producer.call("t.note", {"path": str(mark)}).value == "noted"
    assert worker.children() != children
    status, page = worker.get("/metrics")
    assert status == 200
    assert 'penstock_child_exits_total{queue="t",reason="cancelled"} 1' in page
    assert producer.depth("dead.t") == 0


def test_a_neighbour_in_the_same_child_goes_on(producer: Producer, start_worker: Start, tmp_path: Path) -> None:
    # Given two jobs that run in one child
    start_worker(target=f"{TASKS}:threads")
    one = begins(producer, "t.save", tmp_path / "one")
    other = begins(producer, "t.save", tmp_path / "other")

    # When one is cancelled
    producer.cancel(one)
    producer.result(one)

    # Then the other has heard nothing, until it is meant
    assert not producer.replies(other)
    producer.cancel(other)
    assert producer.result(other).value == "saved, cancelled: True"


# ── who commands ────────────────────────────────────────────────────────────────────────────────────


def test_in_strict_mode_a_command_says_who_sent_it(producer: Producer, start_worker: Start, mark: Path) -> None:
    # Given a worker in strict mode, on a topology that somebody declared
    start_worker(target=f"{TASKS}:processes").stop()
    start_worker("--strict", target=f"{TASKS}:processes")
    unsigned, signed, elsewhere = new_id(), new_id(), new_id()

    # When commands come without a user, and with one; one asks for an answer to somebody else
    producer.cancel(unsigned, user_id=None)
    producer.cancel(elsewhere, reply_to="somebody.else")
    producer.cancel(signed)

    # Then the first is not heeded, and the answer of the second goes nowhere
    assert steps(producer, signed) == ["unknown_here"]
    assert producer.call("t.note", {"path": str(mark)}, message_id=unsigned).value == "noted"
    assert code(producer.call("t.note", {"path": str(mark)}, message_id=elsewhere)) == "CANCELLED"


# ── the command line ────────────────────────────────────────────────────────────────────────────────


def penstock_cancel(producer: Producer, amqp_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock", "cancel", *arguments, "--namespace", producer.topology.namespace],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PENSTOCK_AMQP_URL": amqp_url},
    )


def test_an_operator_cancels_a_job_and_reads_what_became_of_it(
    amqp_url: str, producer: Producer, start_worker: Start, mark: Path
) -> None:
    declared = start_worker("--name", "w-1", target=f"{TASKS}:processes")
    worker = f"{producer.user}.w-1"

    # When a job is cancelled that runs, one that hears no signal, and one that nobody knows
    running = penstock_cancel(producer, amqp_url, begins(producer, "t.hold", mark))
    mark.unlink()
    deaf = penstock_cancel(producer, amqp_url, begins(producer, "t.deaf", mark))
    unknown = penstock_cancel(producer, amqp_url, new_id(), "--wait", "0.3")

    # Then a line says what each worker answered
    assert (running.returncode, running.stderr) == (0, "")
    assert running.stdout == f"{worker}  exception  cancelled while it ran\n"
    assert deaf.stdout == f"{worker}  killed  cancelled while it ran; its child was killed\n"
    assert unknown.returncode == 0
    assert unknown.stdout.splitlines() == [
        f"{worker}  unknown_here  not here; it will not start here within 65 minutes",
        (
            "the job has ended, waits in the broker, or runs in a worker that has not answered yet; "
            "a job in a shared child may have to come back to Python first"
        ),
    ]

    # And without a worker, that none has heard
    declared.stop()
    nobody = penstock_cancel(producer, amqp_url, new_id())
    assert nobody.returncode == 69
    assert "no worker is connected" in nobody.stderr


def test_a_job_in_a_thread_that_does_not_look_is_interrupted_as_soon_as_python_can(
    amqp_url: str, producer: Producer, start_worker: Start, mark: Path
) -> None:
    # Given two jobs in one child, one of which waits outside of Python
    start_worker(target=f"{TASKS}:threads")
    waits = begins(producer, "t.inattentive", mark)
    other = begins(producer, "t.wait", mark.parent / "other")

    # When it is cancelled, then nobody answers
    done = penstock_cancel(producer, amqp_url, waits, "--wait", "0.3")
    assert done.returncode == 75
    assert "a job in a shared child may have to come back to Python first" in done.stdout

    # When the other one is, then it is interrupted, and so is the first when it comes back
    producer.cancel(other)
    assert code(producer.result(other)) == "CANCELLED"
    assert steps(producer, other) == ["exception"]
    os.close(os.open(f"{mark}.go", os.O_WRONLY))
    assert code(producer.result(waits)) == "CANCELLED"


GO = """
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	penstock "github.com/penstock-mq/penstock/producer_go"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client, err := penstock.Open(ctx, penstock.Options{URL: os.Args[1], Namespace: os.Args[2]})
	must(err)
	defer client.Close(ctx)
	handle, err := client.Enqueue(ctx, penstock.Job{Task: "t.hold", Args: map[string]any{"path": os.Args[3]}})
	must(err)
	for ctx.Err() == nil {
		if _, err := os.Stat(os.Args[3]); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	must(handle.Cancel(ctx))
	var remote *penstock.RemoteError
	if err := handle.Wait(ctx, nil); !errors.As(err, &remote) {
		must(errors.Join(err, errors.New("no RemoteError")))
	}
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{"code": remote.Code, "attempt": remote.Attempt}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
"""


def test_a_go_client_cancels_a_job_that_runs(
    amqp_url: str, producer: Producer, start_worker: Start, tmp_path: Path
) -> None:
    start_worker(target=f"{TASKS}:processes")
    program = build_made({"main.go": GO}, tmp_path)
    done = subprocess.run(
        [program, amqp_url, producer.topology.namespace, str(tmp_path / "mark")],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"code": "CANCELLED", "attempt": 1}
