"""The child's end of the line to its parent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from penstock.lanes.frames import Frame, Kind, Reader, pack, receive, send_with
from penstock.memory_file import MemoryFile

_READ_BYTES: Final = 256 * 1024


class Channel:
    """Reads frames, in one thread, and sends them whole, from any.

    Args:
        parent: The line.
    """

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._reader = Reader()
        self._lock = threading.Lock()

    def frames(self) -> list[Frame] | None:
        """The frames that are complete after one read; None: the parent has closed the line."""
        data, fds = receive(self._parent, _READ_BYTES)
        return self._reader.feed(data, fds) if data else None

    def __iter__(self) -> Iterator[Frame]:
        """One frame after the other, until the parent closes the line."""
        while (frames := self.frames()) is not None:
            yield from frames

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
