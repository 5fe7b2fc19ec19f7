"""What the worker of the fault suite runs: each task ends in one way, and writes down that it began and ended.

The ledger of executions is a file per child in the folder of PENSTOCK_CHAOS_LEDGER, one write a line, so that
what was written is kept when the child is killed:

    S <job id> <attempt> <pid> <unix ns>      an execution starts
    E <job id> <attempt> <pid> <unix ns>      and ends, well or with an exception
"""

from __future__ import annotations

import ctypes
import os
import resource
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from penstock import Processes, Queue, Retry, current_job

chaos = Queue("chaos", lane=Processes(2))

_QUICKLY = Retry(attempts=4, base=0.1, cap=0.2, jitter="none")
_LEDGER = Path(os.environ.get("PENSTOCK_CHAOS_LEDGER", "/nonexistent"))
_files: list[int] = []

#: What a task that eats memory may take on top of what its child has, so that the machine lives. Bytes.
_FEAST = 256 * 1024 * 1024


def _write(mark: str) -> None:
    if not _files:
        path = _LEDGER / f"executions-{os.getpid()}.log"
        _files.append(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    job = current_job()
    # Not time.time(): one of the faults is that it jumps.
    at = time.clock_gettime_ns(time.CLOCK_REALTIME)
    os.write(_files[0], f"{mark} {job.id} {job.attempt} {os.getpid()} {at}\n".encode())


def _recorded(function: Callable[[int], dict[str, Any]]) -> Callable[[int], dict[str, Any]]:
    @wraps(function)
    def run(n: int) -> dict[str, Any]:
        _write("S")
        try:
            return function(n)
        finally:
            _write("E")

    return run


def _answer() -> dict[str, Any]:
    """No two executions answer the same, so two visible results of one job can be told apart."""
    return {"nonce": f"{os.getpid()}-{time.monotonic_ns()}"}


@chaos.task
@_recorded
def ok(n: int) -> dict[str, Any]:
    """Take `n` microseconds."""
    until = time.perf_counter_ns() + n * 1000
    while time.perf_counter_ns() < until:
        pass
    return _answer()


@chaos.task
@_recorded
def slow(n: int) -> dict[str, Any]:
    """Take `n` milliseconds."""
    time.sleep(n / 1000)
    return _answer()


chaos.task(name="long")(slow)  # so long that RabbitMQ wants it back


@chaos.task(retry=_QUICKLY)
@_recorded
def flaky(n: int) -> dict[str, Any]:
    """Succeed at attempt `n`."""
    if current_job().attempt < n:
        raise RuntimeError(f"attempt {current_job().attempt} of {n} fails")
    return _answer()


@chaos.task(retry=Retry(attempts=2, base=0.1, cap=0.1, jitter="none"))
@_recorded
def fails(n: int) -> dict[str, Any]:
    """Raise at every attempt."""
    raise RuntimeError(f"this always fails ({n})")


@chaos.task
@_recorded
def fails_once(n: int) -> dict[str, Any]:
    """Raise, and have no second attempt."""
    raise LookupError(f"nothing is found ({n})")


@chaos.task
@_recorded
def crashes(n: int) -> dict[str, Any]:
    """Read the address 0."""
    ctypes.string_at(0)
    return _answer()


@chaos.task
@_recorded
def crashes_once(n: int) -> dict[str, Any]:
    """Read the address 0, unless this job has done so before."""
    try:
        (_LEDGER / f"crashed-{current_job().id}").open("x").close()
    except FileExistsError:
        return _answer()
    ctypes.string_at(0)
    return _answer()


@chaos.task(timeout=0.5)
@_recorded
def hangs(n: int) -> dict[str, Any]:
    """Never end."""
    while True:
        time.sleep(60)


@chaos.task
@_recorded
def eats(n: int) -> dict[str, Any]:
    """Take memory until there is none; the child dies as under a memory limit."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _FEAST
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    eaten = []
    try:
        while True:
            eaten.append(b"x" * (1 << 24))
    except MemoryError:
        os.abort()  # as most native code does when it gets none
