"""What operators say to a worker by signals, and what becomes of the jobs meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

#: A queue whose children say when they begin and end, and which code they have.
MODULE = """
import os
from pathlib import Path
from penstock import {lane}, Queue, current_job
t = Queue("t", lane={lane}({slots}{options}))
CODE = {code}

@t.startup
def began(): Path("began").open("a").write(f"{{os.getpid()}}\\n")

@t.shutdown
def ended(): Path("ended").open("a").write(f"{{os.getpid()}}\\n")

@t.shutdown
def fails(): raise ValueError("the next hook is called all the same")

@t.task
{kind}def code(): return [CODE, os.getpid()]

@t.task
{kind}def wait_for(path):
    while not Path(path).exists(): {pause}
    return CODE
"""


def write(folder: Path, code: int, lane: str = "Processes", slots: int = 2, options: str = "") -> None:
    asynchronous = lane == "Async"
    text = MODULE.format(
        lane=lane,
        slots="" if lane == "Serial" else slots,
        options=options,
        code=code,
        kind="async " if asynchronous else "",
        pause="await asyncio.sleep(0.005)" if asynchronous else "time.sleep(0.005)",
    )
    # Each version has a size of its own: within a second Python takes the bytecode of a file of the same size for its.
    (folder / "app.py").write_text("import asyncio, time\n" + text + "#" * code)


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


@pytest.mark.parametrize("options", ["", ", preload=True"], ids=["anew", "preloaded"])
def test_children_are_replaced_by_new_code_while_jobs_go_on(
    start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path, options: str
) -> None:
    # Given a worker with two children, of which one has a job that takes its time
    write(tmp_path, code=1, options=options)
    worker = start_worker(target="app:t", cwd=tmp_path)
    before = set(pids(tmp_path / "began"))
    assert len(before) == 2
    long = producer.enqueue("t.wait_for", {"path": str(tmp_path / "go")})
    assert producer.call("t.code").value[0] == 1

    # When the code is changed and the worker is told
    write(tmp_path, code=2, options=options)
    worker.signal(signal.SIGHUP)

    # Then the idle child is replaced, and jobs meet the new code
    until(lambda: producer.call("t.code").value[0] == 2, "the new code")
    assert producer.replies(long) == []

    # And the other one once its job has ended, by the code that it began with
    (tmp_path / "go").touch()
    assert producer.result(long).value == 1
    until(lambda: len(worker.records("child.exited")) == 2, "the second child")
    until(lambda: len(pids(tmp_path / "began")) == 4, "its successor")
    assert set(pids(tmp_path / "ended")) == before
    assert worker.records("worker.restarting")
    assert worker.stop() == 0
    assert sorted(pids(tmp_path / "ended")) == sorted(pids(tmp_path / "began"))


@pytest.mark.parametrize("lane", ["Threads", "Async"])
def test_a_child_that_runs_all_jobs_has_a_successor_before_it_takes_no_more(
    lane: str, start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    # Given the only child of a lane, which has a job that takes its time
    write(tmp_path, code=1, lane=lane)
    worker = start_worker(target="app:t", cwd=tmp_path)
    long = producer.enqueue("t.wait_for", {"path": str(tmp_path / "go")})
    assert producer.call("t.code").value[0] == 1

    # When the code is changed and the worker is told, then jobs go on, and meet the new code
    write(tmp_path, code=2, lane=lane)
    worker.signal(signal.SIGHUP)
    until(lambda: producer.call("t.code").value[0] == 2, "the new code")
    assert producer.replies(long) == []
    assert len(pids(tmp_path / "began")) == 2

    # And the old child ends after its job
    (tmp_path / "go").touch()
    assert producer.result(long).value == 1
    until(lambda: len(pids(tmp_path / "ended")) == 1, "the end of the old child")
    until(lambda: len(worker.children()) == 1, "one child")
    assert worker.stop() == 0


def test_every_kind_of_lane_has_its_children_say_goodbye(
    start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    for lane in ("Threads", "Async", "Serial"):
        write(tmp_path, code=1, lane=lane)
        worker = start_worker(target="app:t", cwd=tmp_path)
        assert producer.call("t.code").value[0] == 1
        assert worker.stop() == 0
    assert len(pids(tmp_path / "ended")) == 3
    assert pids(tmp_path / "ended") == pids(tmp_path / "began")


@pytest.mark.parametrize("lane", ["Processes", "Threads"])
def test_a_signal_adds_a_slot_and_another_takes_one_away(
    lane: str, start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    # Given a worker with one slot, and a job that holds it
    write(tmp_path, code=1, lane=lane, slots=1)
    worker = start_worker(target="app:t", cwd=tmp_path)
    long = producer.enqueue("t.wait_for", {"path": str(tmp_path / "go")})
    until(lambda: 'state="busy"} 1.0' in worker.get("/metrics")[1], "the job")

    # When it has one more, then another job runs beside it
    worker.signal(signal.SIGTTIN)
    assert producer.call("t.code").value[0] == 1
    assert producer.replies(long) == []
    assert 'penstock_room{queue="t"} 2.0' in worker.get("/metrics")[1]

    # And with one less it is as before, and it cannot have none
    worker.signal(signal.SIGTTOU)
    until(lambda: len(worker.records("lane.resized")) == 2, "the second")
    worker.signal(signal.SIGTTOU)
    until(lambda: bool(worker.records("lane.not_resized")), "the third")
    assert [(r["before"], r["slots"], r["by"]) for r in worker.records("lane.resized")] == [
        (1, 2, "SIGTTIN"),
        (2, 1, "SIGTTOU"),
    ]
    (tmp_path / "go").touch()
    assert producer.result(long).value == 1
    until(lambda: len(worker.children()) == 1, "one child")
    assert producer.call("t.code").value[0] == 1
    assert worker.records("child.lost") == []
    assert worker.stop() == 0


def test_the_stacks_of_all_children_are_told_on_request(
    start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    # Given a child that has a job and one that has none
    write(tmp_path, code=1)
    worker = start_worker(target="app:t", cwd=tmp_path)
    long = producer.enqueue("t.wait_for", {"path": str(tmp_path / "go")})
    until(lambda: "busy" in worker.get("/metrics")[1], "the metrics")

    # When somebody asks
    def told() -> list[str]:
        worker.signal(signal.SIGUSR1)
        return [record["traceback"] for record in worker.records("child.stack")]

    # Then the log has what they do, and the job goes on
    until(lambda: any("wait_for" in stack for stack in told()), "the stack of the job")
    (tmp_path / "go").touch()
    assert producer.result(long).value == 1
    assert worker.stop() == 0
