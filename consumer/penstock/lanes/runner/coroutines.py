"""The child of an async lane: up to `width` jobs at once, each a task of one event loop."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any, TypeAlias

from penstock.lanes.frames import Frame, Kind
from penstock.lanes.runner.blockage import Blockage
from penstock.lanes.runner.boot import boot_async
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.credit import LoopCredit
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.stop import Flag

#: The jobs that run, by frame number.
_Jobs: TypeAlias = dict[int, tuple[asyncio.Task[None], Flag]]


def run(parent: socket.socket) -> None:
    """Boot, say READY, begin jobs in their order and answer each when it ends; return when the parent closes."""
    credit = LoopCredit()
    channel = Channel(parent, credit)
    asyncio.run(_serve(channel, Outlet(channel, credit)))


async def _serve(channel: Channel, outlet: Outlet) -> None:
    executor: Executor | None = None
    jobs: _Jobs = {}
    while (frames := await _frames(channel)) is not None:
        for frame in frames:
            if executor is None:
                executor = await boot_async(*frame.meta, outlet=outlet)
                channel.send(Kind.READY, 0, [])
                Blockage(partial(_tell, channel, jobs))
                continue
            if frame.kind == Kind.CANCEL:
                if frame.number in jobs:  # else it has just ended
                    _stop(*jobs[frame.number])
                continue
            # The parent sends no more than may run at once.
            stop = Flag()
            job = asyncio.create_task(_answer(channel, executor, frame, stop))
            jobs[frame.number] = job, stop
            job.add_done_callback(partial(_forget, jobs, frame.number))
    await asyncio.gather(*(job for job, _ in jobs.values()))
    if executor is not None:
        await executor.shut_down_coroutines()


def _forget(jobs: _Jobs, number: int, _: asyncio.Task[None]) -> None:
    del jobs[number]


def _stop(job: asyncio.Task[None], stop: Flag) -> None:
    """Cancel a job's task, in the next turn: one that has not begun by then would end without an answer."""
    stop.asked = True
    asyncio.get_running_loop().call_soon(job.cancel)


async def _frames(channel: Channel) -> list[Frame] | None:
    """As `Channel.frames`, while other tasks run."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(channel, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(channel)
    return channel.frames()


def _tell(channel: Channel, jobs: _Jobs, task: asyncio.Task[Any] | None, seconds: float, stack: str) -> None:
    """A job, or something that it started, blocks all the others."""
    number = next((number for number, (job, _) in jobs.copy().items() if job is task), 0)
    try:
        channel.send(Kind.BLOCKED, number, [seconds, stack])
    except OSError:
        pass  # the parent is gone


async def _answer(channel: Channel, executor: Executor, frame: Frame, stop: Flag) -> None:
    # The parent reads at once whatever comes, so that sending hardly holds the other tasks up.
    answer = await executor.run_coroutine(frame.meta, frame.body, frame.fd, stop, frame.number)
    channel.send(Kind.OUTCOME, frame.number, *answer)
