"""How a worker starts, stops, and comes back."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess, children_of


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_sigterm_finishes_what_runs_and_gives_back_the_rest(
    producer: Producer, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    worker = start_worker(target="tests.helpers.tasks:solo")
    begun = tmp_path / "begun"
    running = producer.enqueue("solo.hold", {"path": str(begun), "seconds": 1.0})
    until(begun.exists, "the job runs")
    waiting = [producer.enqueue("solo.pid") for _ in range(5)]

    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert producer.result(running).value == 1.0
    assert worker.records("worker.stopped")[0]["handed_back"] == 0
    assert sum(len(producer.replies(job)) for job in waiting) <= 1
    start_worker(target="tests.helpers.tasks:solo")
    assert all(producer.result(job).error is None for job in waiting)


def test_a_second_sigterm_hands_the_running_job_back(
    producer: Producer, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    worker = start_worker(target="tests.helpers.tasks:solo")
    begun = tmp_path / "begun"
    job_id = producer.enqueue("solo.hold", {"path": str(begun), "seconds": 30.0})
    until(begun.exists, "the job runs")
    children = worker.children()

    worker.signal(signal.SIGTERM)
    until(lambda: worker.records("worker.draining"), "draining")
    worker.signal(signal.SIGTERM)

    assert worker.wait(10) == 75
    assert worker.records("worker.stopped")[0]["handed_back"] == 1
    until(lambda: producer.depth("q.solo") == 1, "the job is back")
    assert producer.replies(job_id) == []
    assert not any(alive(pid) for pid in children)


def test_children_die_with_their_parent_even_while_they_run(
    producer: Producer, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    worker = start_worker()
    begun = tmp_path / "begun"
    producer.enqueue("t.hold", {"path": str(begun), "seconds": 30.0})
    until(begun.exists, "the job runs")
    children = worker.children()

    worker.signal(signal.SIGKILL)
    worker.wait()

    until(lambda: not any(alive(pid) for pid in children), "no orphan is left")


def test_a_program_ends_with_the_worker_that_is_killed(
    producer: Producer, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    # Given a program that runs
    worker = start_worker(target="tests.helpers.cancel_tasks:commands")
    begun = tmp_path / "begun"
    producer.enqueue("t.hold", {"path": str(begun)})
    until(begun.exists, "the program runs")
    programs = [pid for child in worker.children() for pid in children_of(child)]
    assert len(programs) == 1

    worker.signal(signal.SIGKILL)
    worker.wait()

    until(lambda: not any(alive(pid) for pid in programs), "no orphan is left")


def test_probes_and_metrics_are_served(producer: Producer, worker: WorkerProcess) -> None:
    producer.call("t.add", {"a": 1})
    assert worker.get("/livez") == (200, "ok\n")
    assert json.loads(worker.get("/readyz")[1]) == {"ready": True, "reasons": []}
    until(
        lambda: (
            'penstock_jobs_finished_total{outcome="succeeded",queue="t",task="t.add"} 1.0' in worker.get("/metrics")[1]
        ),
        "the job is counted",
    )
    page = worker.get("/metrics")[1]
    assert 'penstock_children{queue="t",state="idle"} 2.0' in page
    assert 'penstock_job_run_seconds_count{queue="t",task="t.add"} 1.0' in page
    assert 'penstock_jobs_dead_lettered_total{queue="t",task="t.crash"} 0.0' in page
    assert worker.get("/nothing")[0] == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_worker_stops_at_once_and_leaves_nothing(
    start_worker: Callable[..., WorkerProcess], number: signal.Signals
) -> None:
    worker = start_worker()
    children = worker.children()
    worker.signal(number)
    assert worker.wait(10) == 0
    assert not any(alive(pid) for pid in children)
