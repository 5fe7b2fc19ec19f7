"""The look that a lane takes at its children from time to time, by a clock that stands still when the parent does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.lanes.limits import TICK_S, WEIGH_TICKS, stood_still


class Watch:
    """Looks every TICK_S, as long as there is something to look at.

    Args:
        clock: In seconds.
        wanted: Whether there is.
        look: Called each time with the seconds for which the parent stood still since the last look, and whether it
            is time to weigh the children, too. Returns whether to go on.
    """

    def __init__(
        self, *, clock: Callable[[], float], wanted: Callable[[], bool], look: Callable[[float, bool], bool]
    ) -> None:
        self._clock = clock
        self._wanted = wanted
        self._look = look
        self._ticks = 0
        self._on = False
        #: When it was begun or last looked, by the clock.
        self.looked_at = 0.0

    def begin(self) -> None:
        """Look from now on, if that is wanted; beginning twice is fine."""
        if not self._on and self._wanted():
            self._on = True
            self.looked_at = self._clock()
            asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._on = False
        self._ticks += 1
        lost_s = stood_still(self.looked_at, self._clock())
        if self._look(lost_s, self._ticks % WEIGH_TICKS == 0):
            self.begin()
