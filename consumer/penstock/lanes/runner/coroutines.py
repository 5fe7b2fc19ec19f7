"""The child of an async lane: up to `width` jobs at once, each a task of one event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from penstock.lanes.frames import Frame, Kind, Reader, pack
from penstock.lanes.runner.boot import boot_async
from penstock.lanes.runner.execute import Executor

_READ_BYTES: Final = 256 * 1024


def run(parent: socket.socket) -> None:
    """Boot, say READY, begin jobs in their order and answer each when it ends; return when the parent closes."""
    asyncio.run(_serve(parent))


async def _serve(parent: socket.socket) -> None:
    incoming, outgoing = await asyncio.open_connection(sock=parent)
    reader, executor = Reader(), None
    jobs: set[asyncio.Task[None]] = set()
    while data := await incoming.read(_READ_BYTES):
        for frame in reader.feed(data):
            if executor is None:
                executor = await boot_async(*frame.meta)
                outgoing.write(pack(Kind.READY, 0, []))
                continue
            # The parent sends no more than may run at once.
            job = asyncio.create_task(_answer(outgoing, executor, frame))
            jobs.add(job)
            job.add_done_callback(jobs.discard)
    await asyncio.gather(*jobs)
    await outgoing.drain()


async def _answer(outgoing: asyncio.StreamWriter, executor: Executor, frame: Frame) -> None:
    meta, body = await executor.run_coroutine(frame.meta, frame.body)
    outgoing.write(pack(Kind.OUTCOME, frame.number, meta, body))
    await outgoing.drain()
