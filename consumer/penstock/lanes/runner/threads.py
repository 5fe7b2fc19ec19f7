"""The child of a threads lane: up to `width` jobs at once, each in a thread."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from penstock.lanes.frames import Frame, Kind
from penstock.lanes.runner.boot import boot
from penstock.lanes.runner.channel import Channel


def run(parent: socket.socket) -> None:
    """Boot, say READY, begin jobs in their order and answer each when it ends; return when the parent closes."""
    channel = Channel(parent)
    frames = iter(channel)
    if (first := next(frames, None)) is None:
        return
    executor = boot(*first.meta)
    channel.send(Kind.READY, 0, [])

    def answer(frame: Frame) -> None:
        try:
            channel.send(Kind.OUTCOME, frame.number, *executor.run(frame.meta, frame.body, frame.fd))
        except OSError:
            pass  # the parent is gone, and with it the reason to run

    # Leaving it waits for the jobs that there are.
    with ThreadPoolExecutor(executor.width, thread_name_prefix="penstock-slot") as pool:
        for frame in frames:
            pool.submit(answer, frame)
    executor.end()
