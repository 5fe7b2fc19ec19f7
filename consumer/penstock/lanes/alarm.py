"""One thing that is to be called later, at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls after some time, unless something else is to be called later or nothing any more."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> bool:
        """Whether something is to be called."""
        return self._timer is not None

    def set(self, seconds: float, call: Callable[[], None]) -> None:
        """Call after so many seconds, in place of whatever was to be called."""
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring, call)

    def cancel(self) -> None:
        """Forget what was to be called; cancelling twice is fine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, call: Callable[[], None]) -> None:
        self._timer = None
        call()
