"""The same tasks on every kind of lane: `run` does what its action says, with the same words on each."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from penstock import Async, Commands, Processes, Queue, Retry, Serial, SoftTimeoutError, Threads, current_job

#: Slots of each lane but Serial's.
SLOTS = 4
TIMEOUT_S = 1.0
SOFT_S = 0.3
RETRY = Retry(attempts=3, base=0, share=None)

processes = Queue("processes", lane=Processes(SLOTS))
preloaded = Queue("preloaded", lane=Processes(SLOTS, preload=True))
threads = Queue("threads", lane=Threads(SLOTS))
serial = Queue("serial", lane=Serial())
asynchronous = Queue("asynchronous", lane=Async(SLOTS))
commands = Queue("commands", lane=Commands(SLOTS))


def act(action: str, path: str) -> Any:
    """What happens before a job waits or answers."""
    if action == "fail":
        raise ValueError("no good")
    if action == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "flaky":
        seen = Path(path)
        if not seen.exists():
            seen.touch()
            raise OSError("not yet")
    if action == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    return {"pid": os.getpid(), "job": current_job().id}


def waits_for(action: str, path: str) -> bool:
    """Whether a job waits for others, or for ever."""
    if action == "meet":
        # Each leaves its mark, and waits until all slots have: only jobs that run at once get past.
        mark = Path(path) / current_job().id
        mark.touch()
        return len(list(Path(path).iterdir())) < SLOTS
    return action in ("hang", "deaf", "tidy")


def run(action: str = "", path: str = "") -> Any:
    """The task of the lanes that call plain functions."""
    answer = act(action, path)
    try:
        while waits_for(action, path):
            time.sleep(0.005)
    except SoftTimeoutError:
        if action != "tidy":
            raise
        answer["tidied"] = True
    return answer


async def run_async(action: str = "", path: str = "") -> Any:
    """The task of the lane that calls coroutine functions."""
    answer = act(action, path)
    try:
        while waits_for(action, path):  # noqa: ASYNC110 -- what it waits for happens elsewhere
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        if action != "tidy":
            raise
        answer["tidied"] = True
    return answer


def echo(data: bytes) -> bytes:
    """Gives back what it gets."""
    return data


async def echo_async(data: bytes) -> bytes:
    """As `echo`."""
    return data


for queue in (processes, preloaded, threads, serial):
    queue.task(name="echo")(echo)
    queue.task(name="run")(run)
    queue.task(name="limited", timeout=TIMEOUT_S)(run)
    queue.task(name="soft", soft_timeout=SOFT_S)(run)
    queue.task(name="again", retry=RETRY)(run)
asynchronous.task(name="echo")(echo_async)
asynchronous.task(name="run")(run_async)
asynchronous.task(name="limited", timeout=TIMEOUT_S)(run_async)
asynchronous.task(name="soft", soft_timeout=SOFT_S)(run_async)
asynchronous.task(name="again", retry=RETRY)(run_async)

_PROGRAM = [sys.executable, "-S", str(Path(__file__).with_name("lane_program.py")), "{action}", "{path}"]
commands.command("echo", ["cat"], stdin="data", stdout="bytes")
commands.command("run", _PROGRAM)
commands.command("limited", _PROGRAM, timeout=TIMEOUT_S)
commands.command("soft", _PROGRAM, soft_timeout=SOFT_S)
commands.command("again", _PROGRAM, retry=RETRY)
