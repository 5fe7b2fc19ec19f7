"""The time of a broker in memory: the loop's, or a test's own."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

from penstock.domain.timer import Timer


class Clock(Protocol):
    """Tells the time and calls back."""

    def now(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back after so many seconds."""
        ...


class LoopClock:
    """Real time; calls come from the running loop."""

    def now(self) -> float:
        """See Clock.now."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """See Clock.call_later."""
        return asyncio.get_running_loop().call_later(seconds, callback)


class FakeClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _FakeTimer]] = []

    def now(self) -> float:
        """See Clock.now."""
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """See Clock.call_later."""
        timer = _FakeTimer(callback)
        heapq.heappush(self._timers, (self._now + seconds, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass; what falls due on the way is called in its order, at its time."""
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self._now = until


class _FakeTimer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None
