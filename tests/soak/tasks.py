"""What is done to a worker for an hour: good, slow, failing, leaking, hanging and crashing jobs."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import time
from typing import Any

from penstock import Async, Processes, Queue, Recycle, Retry, Threads, current_job

MIB = 2**20

mixed = Queue("mixed", lane=Processes(3, memory=400 * MIB, recycle=Recycle(jobs=500, age=120, memory=150 * MIB)))
threads = Queue("threads", lane=Threads(8, recycle=Recycle(jobs=3000)))
loop = Queue("loop", lane=Async(16, recycle=Recycle(age=90)))
_leaked: list[bytes] = []
_ONCE = Retry(attempts=1, crashes=1, hangs=1)


def _twice() -> None:
    if current_job().attempt == 1:
        raise OSError("not yet")


@mixed.task(retry=_ONCE)
def good(value: Any) -> Any:
    """Gives back what it gets, however long."""
    return value


@mixed.task(retry=_ONCE)
def slow(seconds: float) -> float:
    """Takes its time."""
    time.sleep(seconds)
    return seconds


@mixed.task(retry=_ONCE)
def bad() -> None:
    """Fails for good."""
    raise ValueError("as it should")


@mixed.task(retry=Retry(attempts=3, base=0.1, share=None))
def flaky() -> int:
    """Succeeds the second time."""
    _twice()
    return current_job().attempt


@mixed.task(retry=_ONCE)
def leak() -> int:
    """Keeps a megabyte for ever."""
    _leaked.append(os.urandom(MIB))
    return len(_leaked)


@mixed.task(retry=_ONCE)
def eat() -> None:
    """Takes memory until it is stopped."""
    hoard = []
    while True:
        hoard.append(b"x" * MIB)
        time.sleep(0.001)


@mixed.task(timeout=0.5, retry=_ONCE)
def hang(deaf: bool) -> None:
    """Never ends."""
    if deaf:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    while True:
        time.sleep(60)


@mixed.task(timeout=0.5, retry=_ONCE)
def litter() -> None:
    """Never ends, and has started a process that does not either."""
    subprocess.run(["sleep", "3600"], check=False)


@mixed.task(retry=_ONCE)
def crash(how: str) -> None:
    """Ends its child."""
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


@threads.task(retry=_ONCE)
def wait(seconds: float) -> float:
    """Takes its time beside others."""
    time.sleep(seconds)
    return seconds


@threads.task(timeout=1.0, retry=_ONCE)
def stuck() -> None:
    """Never ends, beside others that do."""
    time.sleep(3600)


@loop.task(retry=_ONCE)
async def nap(seconds: float) -> float:
    """Takes its time beside others."""
    await asyncio.sleep(seconds)
    return seconds
