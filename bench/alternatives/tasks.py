"""The work as tasks: a queue for each kind of lane."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bench.alternatives import work
from penstock import Async, Commands, Processes, Queue, Serial, Threads

#: How long a job may run, in seconds, and one that may hang.
TIMEOUT_S, LIMIT_S = 20.0, 1.0

processes = Queue("processes", lane=Processes(2))
threads = Queue("threads", lane=Threads(16))
asynchronous = Queue("async", lane=Async(16))
serial = Queue("serial", lane=Serial())
commands = Queue("commands", lane=Commands(2))

_WAITS = {"wait": work.WAIT_S, "nap": work.NAP_S}


def call(what: str) -> int:
    """Do one piece of work."""
    return work.call(what)


async def call_async(what: str) -> int:
    """Do one piece of work; what waits gives way to others."""
    if what in _WAITS:
        await asyncio.sleep(_WAITS[what])
        return 0
    return work.call(what)


def count(n: int) -> Iterator[int]:
    """Yield the numbers below n."""
    yield from range(n)


async def count_async(n: int) -> AsyncIterator[int]:
    """Yield the numbers below n."""
    for number in range(n):
        yield number


for queue in (processes, threads, serial):
    queue.task(name="count", timeout=TIMEOUT_S)(count)
    queue.task(name="call", timeout=TIMEOUT_S)(call)
    queue.task(name="limited", timeout=LIMIT_S)(call)
asynchronous.task(name="call", timeout=TIMEOUT_S)(call_async)
asynchronous.task(name="count", timeout=TIMEOUT_S)(count_async)
asynchronous.task(name="limited", timeout=LIMIT_S)(call_async)
_PROGRAM = [sys.executable, str(Path(__file__).with_name("once.py")), "{what}"]
commands.command("call", _PROGRAM, timeout=TIMEOUT_S)
commands.command("limited", _PROGRAM, timeout=LIMIT_S)
