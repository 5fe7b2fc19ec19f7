"""The child of a threads lane: up to `width` jobs at once, each in a thread."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from penstock.lanes.frames import Frame, Kind, Reader
from penstock.lanes.runner.boot import boot
from penstock.lanes.runner.channel import Channel

_READ_BYTES: Final = 256 * 1024


def run(parent: socket.socket) -> None:
    """Boot, say READY, begin jobs in their order and answer each when it ends; return when the parent closes."""
    reader, channel = Reader(), Channel(parent)
    frames: list[Frame] = []
    while not frames and (data := parent.recv(_READ_BYTES)):
        frames = reader.feed(data)
    if not frames:
        return
    executor = boot(*frames.pop(0).meta)
    channel.send(Kind.READY, 0, [])

    def answer(frame: Frame) -> None:
        try:
            channel.send(Kind.OUTCOME, frame.number, *executor.run(frame.meta, frame.body))
        except OSError:
            pass  # the parent is gone, and with it the reason to run

    # Leaving it waits for the jobs that there are.
    with ThreadPoolExecutor(executor.width, thread_name_prefix="penstock-slot") as pool:
        while True:
            for frame in frames:
                pool.submit(answer, frame)
            if not (data := parent.recv(_READ_BYTES)):
                return
            frames = reader.feed(data)
