"""The jobs that this worker was told to cancel, remembered for those that come later."""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock.wire.registry import CANCEL_MEMORY_MS, CANCELS_REMEMBERED


class Cancels:
    """Ids of jobs, the newest CANCELS_REMEMBERED for CANCEL_MEMORY_MS each.

    A job that waits in the broker hears no command. Whoever takes it has heard it, if it was there then.

    Args:
        clock: Seconds that never go back. Defaults to the monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Until when, the oldest first.
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, job_id: str) -> bool:
        # Asked for every job, and hardly ever there is anything to find.
        return bool(self._until) and self._until.get(job_id, 0.0) > self._clock()

    def add(self, job_id: str) -> None:
        """Remember a job, from now on."""
        now = self._clock()
        self._until.pop(job_id, None)
        while self._until and (len(self._until) >= CANCELS_REMEMBERED or next(iter(self._until.values())) <= now):
            del self._until[next(iter(self._until))]
        self._until[job_id] = now + CANCEL_MEMORY_MS / 1000
