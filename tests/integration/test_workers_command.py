"""`penstock workers`: what operators see of workers and tell them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess


def workers(producer: Producer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the test's namespace."""
    command = [sys.executable, "-m", "penstock", "workers", *arguments, "--namespace", producer.topology.namespace]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def answers(producer: Producer, *arguments: str) -> list[dict[str, Any]]:
    done = workers(producer, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_worker_is_listed_with_its_queues(start_worker: Callable[..., WorkerProcess], producer: Producer) -> None:
    for name in ("one", "two"):
        start_worker("--name", name)
    seen = answers(producer, "list")
    assert [answer["worker"] for answer in seen] == [f"{producer.user}.one", f"{producer.user}.two"]
    assert {answer["queues"][0]["queue"] for answer in seen} == {"t"}
    assert all(answer["not_ready"] == [] for answer in seen)
    text = workers(producer, "list").stdout
    assert f"{producer.user}.one" in text
    assert "t: processes(2), 2 idle; 0 jobs at hand" in text
    assert answers(producer, "list", "--worker", f"{producer.user}.two")[0]["worker"] == f"{producer.user}.two"


def test_a_queue_that_is_paused_takes_no_jobs_until_it_is_resumed(
    start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    # Given a worker with a job
    worker = start_worker()
    long = producer.enqueue("t.hold", {"path": str(tmp_path / "began"), "seconds": 1.0})
    until((tmp_path / "began").exists, "the job")

    # When its queue is paused
    (answer,) = answers(producer, "pause", "t")
    assert answer["queues"][0]["paused"]
    until(lambda: worker.records("intake.paused"), "the pause")

    # Then what runs is finished, the next job waits in the broker, and the worker is well all the same
    waiting = producer.enqueue("t.add", {"a": 1})
    assert producer.result(long).error is None
    assert worker.get("/readyz")[0] == 200
    assert producer.depth("q.t") == 1
    assert producer.replies(waiting) == []
    assert "PAUSED" in workers(producer, "list").stdout

    # And it is done when the queue is resumed
    answers(producer, "resume", "t")
    assert producer.result(waiting).value == 11


def test_children_are_restarted_and_tell_their_stacks(
    start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    worker = start_worker()
    before = set(worker.children())
    answers(producer, "restart")
    until(lambda: worker.children() and not before & set(worker.children()), "new children")
    producer.enqueue("t.hold", {"path": str(tmp_path / "began"), "seconds": 5.0})
    until((tmp_path / "began").exists, "the job")
    (answer,) = answers(producer, "stacks", "t")
    assert any("in hold" in stack for stack in answer["queues"][0]["stacks"].values())


def test_a_queue_is_resized_at_one_worker_while_jobs_go_on(
    start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    # Given two workers with two slots each
    one, two = start_worker("--name", "one"), start_worker("--name", "two")
    jobs = [producer.enqueue("t.hold", {"path": str(tmp_path / f"began-{n}"), "seconds": 0.2}) for n in range(20)]

    # When one of them is to have four
    (answer,) = answers(producer, "resize", "t", "4", "--worker", f"{producer.user}.one")
    assert answer["queues"][0]["room"] == 4
    assert "refused" not in answer["queues"][0]

    # Then it has, the other has not, every job is done once, and the broker was asked for as many
    until(lambda: len(one.children()) == 4, "four children")
    assert len(two.children()) == 2
    assert all(producer.result(job).error is None for job in jobs)
    assert [len(producer.replies(job)) for job in jobs] == [1] * 20
    assert 'penstock_room{queue="t"} 4.0' in one.get("/metrics")[1]
    (record,) = one.records("lane.resized")
    assert (record["queue"], record["before"], record["slots"], record["by"]) == ("t", 2, 4, "order")
    assert two.records("lane.resized") == []

    # And with one left the others end, and nothing was a crash
    assert "t: processes(1), " in workers(producer, "resize", "t", "1").stdout
    until(lambda: len(one.children()) == len(two.children()) == 1, "one child each")
    assert producer.call("t.add", {"a": 1}).value == 11
    assert one.records("child.lost") == two.records("child.lost") == []
    assert one.get("/readyz")[0] == 200


def test_what_cannot_be_resized_is_said(start_worker: Callable[..., WorkerProcess], producer: Producer) -> None:
    # Given a worker with a lane that runs one job at a time
    worker = start_worker(target="tests.helpers.lane_tasks:serial")

    # When more are wanted, then the operator is told, and the worker goes on
    done = workers(producer, "resize", "serial", "2")
    assert done.returncode == 64
    assert "not done: Serial runs one job at a time and cannot be resized" in done.stdout
    assert worker.records("lane.not_resized")[0]["reason"] == "Serial runs one job at a time and cannot be resized"

    # And a number that nobody can have is not sent at all
    done = workers(producer, "resize", "serial", "1025")
    assert (done.returncode, "1025 slots: there can be 1 to 1024" in done.stderr) == (64, True)


def test_a_queue_that_nobody_serves_and_no_worker_at_all(
    start_worker: Callable[..., WorkerProcess], producer: Producer
) -> None:
    worker = start_worker()
    done = workers(producer, "pause", "nobody", "--wait", "1")
    assert (done.returncode, done.stdout) == (75, "no worker of this queue has answered within 1 s\n")
    assert worker.stop() == 0
    done = workers(producer, "list")
    assert (done.returncode, "no worker is connected" in done.stderr) == (69, True)
