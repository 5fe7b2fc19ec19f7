"""The child of a lane that runs one job after the other, in its main thread: processes, serial, commands."""

from __future__ import annotations

import socket
from typing import Final

from penstock.lanes.frames import Kind, Reader, pack
from penstock.lanes.runner.boot import boot
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
                executor = boot(*frame.meta)
                parent.sendall(pack(Kind.READY, 0, []))
