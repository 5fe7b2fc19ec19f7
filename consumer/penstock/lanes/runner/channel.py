"""The child's end of the line to its parent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from penstock.lanes.frames import Frame, Kind, Reader, pack, receive, send_with
from penstock.lanes.runner.credit import Credit
from penstock.memory_file import MemoryFile

_READ_BYTES: Final = 256 * 1024


class Channel:
    """Reads frames, in one thread, and sends them whole, from any.

    Args:
        parent: The line.
        credit: Gets what GRANTs say; they are not among the frames.
    """

    def __init__(self, parent: socket.socket, credit: Credit) -> None:
        self._parent = parent
        self._credit = credit
        self._reader = Reader()
        self._lock = threading.Lock()
        #: Frames that `take` has read, for `__iter__`.
        self._inbox: list[Frame] = []

    def frames(self) -> list[Frame] | None:
        """The frames that are complete after one read; None: the parent has closed the line."""
        data, fds = receive(self._parent, _READ_BYTES)
        if not data:
            self._credit.end()
            return None
        frames = self._reader.feed(data, fds)
        for frame in frames:
            if frame.kind == Kind.GRANT:
                return self._without_grants(frames)
        return frames

    def _without_grants(self, frames: list[Frame]) -> list[Frame]:
        for frame in frames:
            if frame.kind == Kind.GRANT:
                self._credit.grant(frame.number, *frame.meta)
        return [frame for frame in frames if frame.kind != Kind.GRANT]

    def take(self) -> None:
        """Read once, for the sake of GRANTs; what else comes is for later."""
        self._inbox += self.frames() or ()

    def __iter__(self) -> Iterator[Frame]:
        """One frame after the other, until the parent closes the line."""
        while (frames := self._next()) is not None:
            yield from frames

    def _next(self) -> list[Frame] | None:
        if not self._inbox:
            return self.frames()
        frames, self._inbox = self._inbox, []
        return frames

    def fileno(self) -> int:
        """The line's descriptor."""
        return self._parent.fileno()

    def send(
        self, kind: Kind, number: int, meta: Sequence[Any], body: bytes = b"", file: MemoryFile | None = None
    ) -> None:
        """Send a frame, with the descriptor of a file; returns when the system has taken it."""
        data = pack(kind, number, list(meta), body, with_fd=file is not None)
        with self._lock:
            sent = 0 if file is None else send_with(self._parent, data, file.fileno())
            self._parent.sendall(data[sent:] if sent else data)

    def send_all(
        self, kind: Kind, frames: Sequence[tuple[int, tuple[Sequence[Any], bytes, MemoryFile | None]]]
    ) -> None:
        """Send frames of one kind, as `send` does, in as few writes as can be."""
        if any(file is not None for _, (_, _, file) in frames):
            for number, frame in frames:
                self.send(kind, number, *frame)
            return
        data = b"".join(pack(kind, number, list(meta), body) for number, (meta, body, _) in frames)
        with self._lock:
            self._parent.sendall(data)
