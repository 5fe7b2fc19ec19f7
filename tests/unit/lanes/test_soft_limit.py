"""Soft limits: an exception in the task, once, and in nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from tempfile import TemporaryFile
from typing import Any

import pytest

from penstock import Async, Commands, DeclarationError, Processes, Queue, SoftTimeoutError
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.softlimit import SoftLimit
from penstock.lanes.runner.stop import Interrupt
from penstock.schema.library import Library
from penstock.wire.result import decode_result
from tests.unit.builders import JOB_ID, job_body

META = ["stats.norm", JOB_ID, 1, None, None, 10_000, 0]


def executor(function: Any, lane: Any = None) -> Executor:
    queue = Queue("stats", lane=lane or Processes(1))
    queue.task(name="norm", timeout=30, soft_timeout=0.05)(function)
    return Executor(queue, Library("contracts/tasks"), worker="w", max_body_bytes=100_000)


def endless() -> None:
    while True:
        time.sleep(60)


def test_a_task_that_lets_it_pass_ends_with_the_code_timeout() -> None:
    began = time.monotonic()
    meta, body, _ = executor(endless).run(META, job_body())
    assert (meta[0], meta[2], meta[5], body) == ("raised", "TIMEOUT", "SoftTimeoutError", b"")
    assert "the soft limit of 0.05 s is over" in meta[3]
    assert time.monotonic() - began < 20


def test_a_task_may_return_what_there_is() -> None:
    def patient() -> str:
        try:
            endless()
        except SoftTimeoutError:
            time.sleep(0.1)  # it comes once
        return "a part"

    _, body, _ = executor(patient).run(META, job_body())
    assert decode_result(body).value == "a part"


def test_what_ends_in_time_is_not_disturbed_and_leaves_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    _, body, _ = executor(lambda: "done").run(META, job_body())
    assert decode_result(body).value == "done"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_an_alarm_that_comes_too_late_raises_nothing() -> None:
    limit = SoftLimit(60.0)
    with limit:
        pass
    limit._over()


def test_a_coroutine_is_cancelled_and_its_job_ends_with_the_code_timeout() -> None:
    tidied = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            tidied.append(True)

    meta, _, _ = asyncio.run(executor(slow, Async(1)).run_coroutine(META, job_body()))
    assert (meta[0], meta[2], tidied) == ("raised", "TIMEOUT", [True])


def test_a_timeout_of_the_tasks_own_is_its_own() -> None:
    async def raises() -> None:
        raise TimeoutError("of the database")

    meta, _, _ = asyncio.run(executor(raises, Async(1)).run_coroutine(META, job_body()))
    assert (meta[2], meta[3]) == ("TASK_ERROR", "TimeoutError: of the database")


def test_a_program_that_fails_as_its_limit_is_over_has_not_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a limit that is over just when the status was taken from the system
    waitpid = os.waitpid

    def slow(*which: int) -> tuple[int, int]:
        taken = waitpid(*which)
        time.sleep(0.2)
        return taken

    monkeypatch.setattr(os, "waitpid", slow)
    queue = Queue("stats", lane=Commands(1))
    queue.command("norm", ["sh", "-c", "exit 3"], stdout="text", soft_timeout=0.1)
    program = Executor(queue, Library("contracts/tasks"), worker="w", max_body_bytes=100_000)

    # Then the status still counts
    meta, _, _ = program.run(META, job_body(args={}))
    assert (meta[0], meta[2]) == ("raised", "TIMEOUT")


def test_a_program_is_killed_though_its_limit_is_over_as_its_job_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a limit that is over when a job was cancelled, and its program is about to be killed
    programs: list[subprocess.Popen[bytes]] = []
    kill = subprocess.Popen.kill

    def slow(program: subprocess.Popen[bytes]) -> None:
        programs.append(program)
        time.sleep(0.2)
        kill(program)

    monkeypatch.setattr(subprocess.Popen, "kill", slow)
    queue = Queue("stats", lane=Commands(1))
    queue.command("norm", ["sleep", "60"], soft_timeout=0.1)
    program = Executor(queue, Library("contracts/tasks"), worker="w", max_body_bytes=100_000)
    with TemporaryFile() as file:
        file.write((7).to_bytes(4, "big"))
        file.flush()
        interrupt, before = Interrupt(file.fileno()), signal.getsignal(signal.SIGINT)
        interrupt.listen()
        try:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            meta, _, _ = program.run(META, job_body(args={}), None, interrupt.job(7))
        finally:
            signal.signal(signal.SIGINT, before)

    # Then it is killed all the same
    assert meta[0] == "raised"
    assert [each.returncode for each in programs] == [-signal.SIGKILL]


@pytest.mark.parametrize(
    ("lane", "options", "words"),
    [
        (Processes(1), {"soft_timeout": 0}, "must be above 0, not 0"),
        (Processes(1), {"timeout": 1}, "soft_timeout 1.0 is not below timeout 1"),
    ],
)
def test_a_soft_limit_that_would_never_be_felt_is_refused(lane: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Queue("q", lane=lane).task(name="f", **{"soft_timeout": 1.0, **options})(endless)
