"""`penstock dev`: what a Python developer saves is what the next job meets."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.domain.topology import Topology
from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess
from tests.unit.waiting import alive

APP = """
from pathlib import Path
from penstock import Processes, Queue
t = Queue("t", lane=Processes({children}))

@t.task
def answer(): return {answer}

@t.task
def wait_for(path):
    Path(path).with_suffix(".begun").touch()
    while not Path(path).exists(): ...
    return {answer}
"""


def save(folder: Path, answer: int, *, children: int = 1, more: str = "") -> None:
    (folder / "app.py").write_text(APP.format(answer=answer, children=children) + more)


Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(topology: Topology, tmp_path: Path) -> Iterator[Start]:
    """Start `penstock dev` in a process group of its own, as a shell does."""
    started: list[WorkerProcess] = []

    def dev(*arguments: str) -> WorkerProcess:
        log = tmp_path / f"dev-{len(started)}.log"
        common = ("app:t", "--namespace", topology.namespace)
        started.append(WorkerProcess(log, *common, *arguments, verb="dev", prefix=("setsid",), cwd=tmp_path))
        return started[-1]

    yield dev
    for process in started:
        process.stop()


def descendants(pid: int) -> list[int]:
    """The process ids of the children of a process, and of theirs."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [*children, *(other for child in children for other in descendants(child))]


def ready(dev: WorkerProcess, times: int) -> None:
    until(lambda: len(dev.records("worker.ready")) >= times, f"worker {times}", 30)


def test_the_next_job_meets_what_was_saved(
    start: Start, producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker of the code of now, and a Python that keeps what it has compiled
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    save(tmp_path, answer=1)
    dev = start().await_ready()
    assert producer.call("t.answer").value == 1

    # When other code is saved, of the same length and within the same second
    second = (tmp_path / "app.py").stat().st_mtime_ns // 10**9 * 10**9
    save(tmp_path, answer=2)
    os.utime(tmp_path / "app.py", ns=(second, second))

    # Then a worker has it; and a new task and another lane, too
    ready(dev, 2)
    assert producer.call("t.answer").value == 2
    save(tmp_path, answer=3, children=2, more="\n@t.task\ndef double(x): return 2 * x\n")
    ready(dev, 3)
    assert producer.call("t.double", {"x": 4}).value == 8
    assert len(descendants(dev.process.pid)) == 1 + 2


def test_code_that_cannot_be_imported_is_shown_and_mended(start: Start, producer: Producer, tmp_path: Path) -> None:
    # Given code with a mistake, from the start
    (tmp_path / "app.py").write_text("def broken(:\n")
    dev = start()
    until(lambda: dev.records("dev.waiting"), "the mistake is told", 30)
    assert "SyntaxError" in dev.log

    # When it is mended, then its jobs run
    save(tmp_path, answer=1)
    dev.await_ready()
    assert producer.call("t.answer").value == 1

    # When it breaks again, by what it imports, then that is shown, too
    save(tmp_path, answer=1, more="import no_such_library\n")
    until(lambda: len(dev.records("dev.waiting")) == 2, "the second mistake is told", 30)
    assert "No module named 'no_such_library'" in dev.log

    # And the job that waits meanwhile has its answer once that is mended
    waiting = producer.enqueue("t.answer")
    (tmp_path / "no_such_library.py").touch()
    assert producer.result(waiting).value == 1


def test_a_job_that_takes_too_long_for_a_change_runs_again(start: Start, producer: Producer, tmp_path: Path) -> None:
    # Given a job that runs
    save(tmp_path, answer=1)
    dev = start("--drain", "0.1").await_ready()
    job_id = producer.enqueue("t.wait_for", {"path": str(tmp_path / "go")})
    until((tmp_path / "go.begun").exists, "the job runs")

    # When the code changes, and the job has not ended in the time that it has
    save(tmp_path, answer=2)
    ready(dev, 2)

    # Then it runs by the new code
    (tmp_path / "go").touch()
    assert producer.result(job_id).value == 2


def test_ctrl_c_ends_everything_even_while_a_job_runs(start: Start, producer: Producer, tmp_path: Path) -> None:
    # Given a job that runs
    save(tmp_path, answer=1)
    dev = start("--drain", "0.1").await_ready()
    producer.enqueue("t.wait_for", {"path": str(tmp_path / "never")})
    until((tmp_path / "never.begun").exists, "the job runs")
    family = descendants(dev.process.pid)
    assert len(family) == 2

    # When the terminal sends Ctrl-C to its process group
    os.killpg(dev.process.pid, signal.SIGINT)

    # Then nothing is left, and the job is back
    assert dev.wait() == 0
    assert not any(alive(pid) for pid in family)
    until(lambda: producer.depth("q.t") == 1, "the job is back")


def test_nothing_outlives_a_command_that_was_killed(start: Start, tmp_path: Path) -> None:
    save(tmp_path, answer=1)
    dev = start().await_ready()
    family = descendants(dev.process.pid)
    assert len(family) == 2
    dev.signal(signal.SIGKILL)
    dev.wait()
    until(lambda: not any(alive(pid) for pid in family), "no orphan is left")


def test_a_broker_that_is_not_there_is_tried_until_it_is(start: Start, tmp_path: Path) -> None:
    save(tmp_path, answer=1)
    dev = start("--amqp-url", "amqp://127.0.0.1:1/")
    until(lambda: dev.log.count("cannot be reached: ") == 2, "a second try", 60)
    (told,) = dev.records("dev.retrying")
    assert "docker run" in told["message"]
    assert dev.process.poll() is None
    assert dev.stop() == 0


def test_what_no_change_of_code_can_mend_ends_it(start: Start, amqp_url: str, tmp_path: Path) -> None:
    save(tmp_path, answer=1)
    dev = start("--amqp-url", f"amqp://guest:wrong@{amqp_url.rpartition('@')[2]}")
    assert dev.wait() == 77
    assert "refuses the user or the password" in dev.log
    assert start("--watch", "nowhere").wait() == 64
