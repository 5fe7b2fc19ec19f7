"""The child's end of the line to its parent, for children that run several jobs at once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import Any

from penstock.lanes.frames import Kind, pack


class Channel:
    """Sends frames whole, from any thread."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._lock = threading.Lock()

    def send(self, kind: Kind, number: int, meta: Sequence[Any], body: bytes = b"") -> None:
        """Send a frame; returns when the system has taken it."""
        data = pack(kind, number, list(meta), body)
        with self._lock:
            self._parent.sendall(data)
