"""How a lane ends: its children finish what they have, at most for some time; then they end, or are ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from penstock.domain.delivery import Delivery
from penstock.lanes.child import END_S
from penstock.lanes.place import Place
from penstock.lanes.starts import Starts

#: Seconds that the kernel has to end a killed child.
KILL_S: Final = 5.0


class Ending:
    """The end of one lane.

    Args:
        places: All of its places.
        in_children: How many jobs its children have.
        starts: What starts the children, and has something left to do when they are gone.
    """

    def __init__(
        self, places: Callable[[], Iterable[Place]], in_children: Callable[[], int], starts: Callable[[], Starts]
    ) -> None:
        #: Whether the lane is to end: nothing begins any more.
        self.begun = False
        #: Whether its children are to: what still runs in one is cut off.
        self.cutting = False
        #: The jobs that were.
        self.cut_off: list[Delivery] = []
        self._places = places
        self._in_children = in_children
        self._starts = starts
        self._hurried = False
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """A job or a child has ended, or what it left has gone."""
        self._changed.set()

    async def run(self, drain_s: float) -> list[Delivery]:
        """Let children finish what they have, at most `drain_s` seconds; returns the jobs that were cut off."""
        self.begun = True
        for place in self._places():
            if place.child is None:
                place.alarm.cancel()  # it would have been started again
        try:
            await asyncio.wait_for(self._until(lambda: not self._in_children()), drain_s)
        except TimeoutError:
            pass
        await self._end_children()
        return self.cut_off

    def hurry(self) -> None:
        """Wait for no job any longer."""
        self._hurried = True
        self._changed.set()

    def kill(self) -> None:
        """End all children at once, whatever they do; nothing is reported any more."""
        self.begun = self.cutting = True
        self._starts().stop()
        for place in self._places():
            place.kill()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not (condition() or self._hurried):
            self._changed.clear()
            await self._changed.wait()

    async def _end_children(self) -> None:
        """Let idle children end by themselves and kill the others."""
        self.cutting = True
        self._starts().stop()
        for place in self._places():
            place.alarm.cancel()
            if place.busy:
                place.kill()
            else:
                place.finish()
        self._hurried = False
        for seconds in (END_S, KILL_S):
            if await self._all_gone(seconds):
                return
            self.kill()

    async def _all_gone(self, seconds: float) -> bool:
        """Wait until no child is left, and nothing of one, at most `seconds`."""

        def gone() -> bool:
            return all(place.child is None for place in self._places()) and self._starts().idle

        try:
            await asyncio.wait_for(self._until(gone), seconds)
        except TimeoutError:
            return False
        return True
