"""The same tasks that yield on every kind of lane that runs Python: `count` does what its action says at an item."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any, Final

from penstock import Async, Cancelled, Processes, Queue, Serial, SoftTimeoutError, Threads, current_job

TIMEOUT_S: Final = 1.0
SOFT_S: Final = 0.3
_FOR_EVER: Final = 600.0

processes = Queue("processes", lane=Processes(2))
serial = Queue("serial", lane=Serial())
threads = Queue("threads", lane=Threads(2))
asynchronous = Queue("asynchronous", lane=Async(2))
#: For tests that start workers.
t = Queue("t", lane=Processes(2))


def note(path: str, text: object) -> None:
    """Add a line to a file."""
    if path:
        with Path(path).open("a") as file:
            file.write(f"{text}\n")


def act(action: str, path: str) -> None:
    """What happens at an item."""
    if action == "fail":
        raise ValueError("no good")
    if action == "crash":
        # In the first start.
        mark = Path(f"{path}.crashed")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def odd(action: str) -> Any:
    """What cannot be an item, or is a long one."""
    return {"set": {1}, "long": b"x" * 2**21}.get(action)


def count(n: int, action: str = "", at: int = 0, path: str = "") -> Generator[Any, None, int]:
    """Yield numbers; what it returns is how many."""
    try:
        for number in range(n):
            if number == at:
                act(action, path)
                if action == "hang":
                    look_for_ever()
            note(path, number)
            yield odd(action) if number >= at and odd(action) is not None else number
    except (Cancelled, SoftTimeoutError) as error:
        note(path, type(error).__name__)
        raise
    finally:
        note(path, "closed")
    return n


def look_for_ever() -> None:
    """Wait, until the job is cancelled where nobody else says so."""
    end = time.monotonic() + _FOR_EVER
    while time.monotonic() < end and not current_job().cancelled:
        time.sleep(0.005)
    raise Cancelled


async def count_async(n: int, action: str = "", at: int = 0, path: str = "") -> AsyncIterator[Any]:
    """As `count`."""
    try:
        for number in range(n):
            if number == at:
                act(action, path)
                if action == "hang":
                    await asyncio.sleep(_FOR_EVER)
            note(path, number)
            yield odd(action) if number >= at and odd(action) is not None else number
    except asyncio.CancelledError:
        note(path, "Cancelled")
        raise
    finally:
        note(path, "closed")


def enough(path: str) -> Iterator[int]:
    """Yield for ever, and be content with what there is when time is up."""
    number = 0
    try:
        while True:
            yield number
            number += 1
    except SoftTimeoutError:
        note(path, number)


async def enough_async(path: str) -> AsyncIterator[int]:
    """Yield for ever, and tidy up when time is up."""
    number = 0
    try:
        while True:
            yield number
            number += 1
    finally:
        note(path, number)


def tell(path: str, times: int) -> Iterator[int]:
    """Say again and again how far it is, and then nothing until a file is there."""
    yield 0
    say(times)
    while not Path(path).exists():
        time.sleep(0.005)


async def tell_async(path: str, times: int) -> AsyncIterator[int]:
    """As `tell`."""
    yield 0
    say(times)
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 -- what it waits for happens elsewhere
        await asyncio.sleep(0.005)


def paced(path: str, n: int) -> Generator[list[int], None, None]:
    """Yield its fence and numbers, and note each; from the tenth on it waits until a file is there."""
    for number in range(n):
        while number == 10 and not Path(f"{path}.go").exists():
            time.sleep(0.005)
        note(path, number)
        yield [current_job().fence, number]


def say(times: int) -> None:
    """Say how far it is, as fast as can be."""
    for number in range(times):
        current_job().progress((number + 1) / times / 2, f"step {number + 1}")


for queue in (processes, serial, threads):
    queue.task(count)
    queue.task(name="limited", timeout=TIMEOUT_S)(count)
    queue.task(tell)
for queue in (processes, serial):
    queue.task(soft_timeout=SOFT_S)(enough)
t.task(count)
t.task(tell)
t.task(paced)
asynchronous.task(name="count")(count_async)
asynchronous.task(name="limited", timeout=TIMEOUT_S)(count_async)
asynchronous.task(name="enough", soft_timeout=SOFT_S)(enough_async)
asynchronous.task(name="tell")(tell_async)
