"""The broken children of a lane: when it should take no jobs any more, and which of them is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from penstock.domain.lane import PROBE_S, mostly_broken
from penstock.lanes.place import Place, SlotState
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)


class Breaker:
    """Watches over the places whose children failed too often.

    Every PROBE_S one of them is tried. When it has done a job the cause is gone, and the others get their chance at
    once.

    Args:
        queue: The queue's name.
        places: The places of its lane.
        spawn: Starts a child in a place.
        on_broken: Called with a sentence whenever the last place that was left is broken.
    """

    def __init__(
        self,
        queue: str,
        places: Sequence[Place],
        *,
        spawn: Callable[[Place], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._places = places
        self._spawn = spawn
        self._on_broken = on_broken
        self._last_exit = ""
        self._timer: asyncio.TimerHandle | None = None
        #: The place that was tried last and has not done a job yet.
        self._tried: Place | None = None

    @property
    def trouble(self) -> str | None:
        """Why no job should be taken for the lane, most of its children being broken; None: one may."""
        broken = sum(place.state is SlotState.BROKEN for place in self._places)
        if not mostly_broken(broken, len(self._places)):
            return None
        left_s = 0.0
        if self._timer is not None:
            left_s = max(0.0, self._timer.when() - asyncio.get_running_loop().time())
        return (
            f"queue {self._queue}: {broken} of {len(self._places)} children are broken (last: {self._last_exit}); "
            f"one is tried in {left_s:.0f} s"
        )

    def broke(self, place: Place, fields: dict[str, Any]) -> None:
        """The child of a place has failed too often; `fields` are what the log says of it."""
        place.state = SlotState.BROKEN
        text = f"child failed too often and is broken; one is tried every {PROBE_S:g} s"
        _log.critical(text, extra={"event": Event.CHILD_BROKEN, **fields})
        self._last_exit = str(fields["exit"])
        if self._tried is place:
            self._tried = None
        if self._timer is None:
            self._wait()
        if all(other.state is SlotState.BROKEN for other in self._places):
            self._on_broken(
                f"every child of queue {self._queue} failed {place.failures} times in a row "
                f"(last: {self._last_exit}); mend the cause and start the worker again"
            )

    def a_job_ended(self) -> None:
        """A child has done a job: if it is the one that was tried, the others follow."""
        if self._tried is None or self._tried.failures:
            return
        self.stop()
        for place in self._places:
            if place.state is SlotState.BROKEN:
                place.failures = 0
                self._spawn(place)

    def try_one(self) -> None:
        """Half-open: one child may show that the cause is gone."""
        self.stop()
        broken = [place for place in self._places if place.state is SlotState.BROKEN]
        if not broken:
            return
        self._tried = broken[0]
        _log.warning("a broken child is tried again", extra={"event": Event.CHILD_PROBED, "queue": self._queue})
        if len(broken) > 1:
            self._wait()
        self._spawn(self._tried)

    def stop(self) -> None:
        """Try no child any more."""
        self._tried = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PROBE_S, self.try_one)
