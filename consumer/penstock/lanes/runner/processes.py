"""The child of a process lane: one job after the other, in the main thread."""

from __future__ import annotations

import socket
from typing import Final

from penstock.lanes.frames import Kind, Reader, pack
from penstock.lanes.runner.boot import load
from penstock.lanes.runner.execute import Executor

_READ_BYTES: Final = 256 * 1024


def run(parent: socket.socket) -> None:
    """Boot, say READY, answer each JOB with its OUTCOME, and return when the parent closes.

    An outcome is sent before the next job starts, so that the parent knows which job a dead child was running.
    """
    reader = Reader()
    executor: Executor | None = None
    while data := parent.recv(_READ_BYTES):
        for frame in reader.feed(data):
            if executor is not None:
                meta, body = executor.run(frame.meta, frame.body)
                parent.sendall(pack(Kind.OUTCOME, frame.number, meta, body))
            else:
                executor = _boot(*frame.meta)
                parent.sendall(pack(Kind.READY, 0, []))


def _boot(target: str, worker: str, max_body_bytes: int) -> Executor:
    """Import the queue and warm it up."""
    queue = load(target)
    for hook in queue.startup_hooks:
        hook()
    return Executor(queue, worker=worker, max_body_bytes=max_body_bytes)
