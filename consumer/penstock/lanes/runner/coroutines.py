"""The child of an async lane: up to `width` jobs at once, each a task of one event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from penstock.lanes.frames import Frame, Kind
from penstock.lanes.runner.blockage import Blockage
from penstock.lanes.runner.boot import boot_async
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.execute import Executor


def run(parent: socket.socket) -> None:
    """Boot, say READY, begin jobs in their order and answer each when it ends; return when the parent closes."""
    asyncio.run(_serve(Channel(parent)))


async def _serve(channel: Channel) -> None:
    executor: Executor | None = None
    jobs: dict[asyncio.Task[Any], int] = {}
    while (frames := await _frames(channel)) is not None:
        for frame in frames:
            if executor is None:
                executor = await boot_async(*frame.meta)
                channel.send(Kind.READY, 0, [])
                Blockage(lambda task, seconds, stack: _tell(channel, jobs.get(task) if task else None, seconds, stack))
                continue
            # The parent sends no more than may run at once.
            job = asyncio.create_task(_answer(channel, executor, frame))
            jobs[job] = frame.number
            job.add_done_callback(jobs.pop)
    await asyncio.gather(*jobs)
    if executor is not None:
        await executor.end_coroutines()


async def _frames(channel: Channel) -> list[Frame] | None:
    """As `Channel.frames`, while other tasks run."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(channel, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(channel)
    return channel.frames()


def _tell(channel: Channel, number: int | None, seconds: float, stack: str) -> None:
    """A job, or something that it started, blocks all the others."""
    try:
        channel.send(Kind.BLOCKED, number or 0, [seconds, stack])
    except OSError:
        pass  # the parent is gone


async def _answer(channel: Channel, executor: Executor, frame: Frame) -> None:
    # The parent reads at once whatever comes, so that sending hardly holds the other tasks up.
    channel.send(Kind.OUTCOME, frame.number, *await executor.run_coroutine(frame.meta, frame.body, frame.fd))
