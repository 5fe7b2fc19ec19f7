"""What the jobs of a child tell the parent while they run: items, and how far they are."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

from penstock.lanes.frames import Kind
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.credit import Credit
from penstock.wire.registry import PROGRESS_INTERVAL_MS

#: Seconds between two of a job: the parent passes on half as many at most.
_PACE_S: Final = PROGRESS_INTERVAL_MS / 2000


class Outlet:
    """Knows jobs by their frame numbers.

    Args:
        channel: The line to the parent.
        credit: How many items may be sent.
    """

    def __init__(self, channel: Channel, credit: Credit) -> None:
        self.credit = credit
        self._channel = channel
        self._pid = os.getpid()
        self._lock = threading.Lock()
        #: How far a job is, as the parent does not know yet.
        self._newest: dict[int, tuple[float, str]] = {}
        self._told_at: dict[int, float] = {}
        self._timer: threading.Timer | None = None

    def item(self, number: int, seq: int, body: bytes) -> None:
        """Send an item; the job may, as its credit says."""
        self._channel.send(Kind.ITEM, number, (seq,), body)

    def progress(self, number: int, fraction: float, text: str) -> None:
        """Tell how far a job is, now or soon.

        What comes too fast is left out, but for the newest: a thread tells it when its time has come, because the
        task may say nothing more for long.

        Raises:
            RuntimeError: This is not the child's own process.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("progress is told in the task's own process, not in one that it has started")
        with self._lock:
            self._newest[number] = (fraction, text)
            left_s = self._told_at.get(number, 0.0) + _PACE_S - time.monotonic()
            if left_s <= 0:
                self._tell(number)
            elif self._timer is None:
                self._timer = timer = threading.Timer(left_s, self._tell_all)
                timer.daemon = True
                timer.start()

    def ends(self, number: int) -> None:
        """A job that has told how far it is ends: what is left to tell is told before that."""
        with self._lock:
            if number in self._newest:
                self._tell(number)
            self._told_at.pop(number, None)

    def _tell_all(self) -> None:
        with self._lock:
            self._timer = None
            try:
                for number in list(self._newest):
                    self._tell(number)
            except OSError:
                pass  # the parent is gone, and with it the reason to tell

    def _tell(self, number: int) -> None:
        self._told_at[number] = time.monotonic()
        self._channel.send(Kind.PROGRESS, number, self._newest.pop(number))
