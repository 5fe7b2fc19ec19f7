"""The broken children of a lane: when it should take no jobs any more, and which of them is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from penstock.domain import supervision
from penstock.domain.supervision import PROBE_S, Probing, SlotState, Standing
from penstock.lanes.place import Place
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)


class Breaker:
    """Watches over the places whose children failed too often: carries out what `domain.supervision` says of them.

    Every PROBE_S one of them is tried. When it has done a job the cause is gone, and the others get their chance at
    once. So jobs are taken as soon as it is ready, however many others are broken.

    Args:
        queue: The queue's name.
        places: The places that its lane wants now.
        spawn: Starts a child in a place.
        on_broken: Called with a sentence whenever the last place that was left is broken.
    """

    def __init__(
        self,
        queue: str,
        places: Callable[[], Sequence[Place]],
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
        self._probing: Probing[Place] = Probing()

    @property
    def trouble(self) -> str | None:
        """Why no job should be taken for the lane, most of its children being broken; None: one may."""
        places = self._places()
        tried = self._probing.tried
        if tried is not None and tried.state is SlotState.READY:
            return None  # half-open: what it can show, it shows by a job
        # Who has not got as far as to take over is not missed yet.
        heirs = {place.successor for place in places if place.state is SlotState.READY}
        broken = sum((place.state is SlotState.BROKEN or place is tried) and place not in heirs for place in places)
        if not supervision.mostly_broken(broken, len(places)):
            return None
        left_s = 0.0
        if self._timer is not None:
            left_s = max(0.0, self._timer.when() - asyncio.get_running_loop().time())
        return (
            f"queue {self._queue}: {broken} of {len(places)} children are broken (last: {self._last_exit}); "
            f"one is tried in {left_s:.0f} s"
        )

    def broke(self, place: Place, fields: dict[str, Any]) -> None:
        """The child of a place has failed too often; `fields` are what the log says of it."""
        hopeless = supervision.restart_delay(place.standing.failures) is not None
        why = "cannot start" if hopeless else f"failed {place.standing.failures} times in a row"
        text = f"child {why} and is broken; one is tried every {PROBE_S:g} s"
        _log.critical(text, extra={"event": Event.CHILD_BROKEN, **fields})
        self._last_exit = str(fields["exit"])
        self._go_on(supervision.broke(self._probing, place))
        if supervision.all_broken(other.standing for other in self._places()):
            self._on_broken(
                f"every child of queue {self._queue} is broken (last: {self._last_exit}); "
                "mend the cause and start the worker again"
            )

    def a_job_ended(self) -> None:
        """A child has done a job: if it is the one that was tried, the others follow."""
        if self._probing.tried is None:
            return  # as for nearly every job
        if (others := supervision.proved(self._probing, self._standings())) is None:
            return
        self.stop()
        for place in others:
            place.standing = supervision.forgiven(place.standing)
            self._spawn(place)

    def try_one(self) -> None:
        """Half-open: one child may show that the cause is gone."""
        self.stop()
        self._go_on(supervision.probe(self._standings()))
        if (tried := self._probing.tried) is None:
            return
        _log.warning("a broken child is tried again", extra={"event": Event.CHILD_PROBED, "queue": self._queue})
        self._spawn(tried)

    def left(self, place: Place) -> None:
        """A place is wanted no more."""
        self._go_on(supervision.left(self._probing, place))

    def stop(self) -> None:
        """Try no child any more."""
        self._go_on(Probing())

    def _standings(self) -> dict[Place, Standing]:
        return {place: place.standing for place in self._places()}

    def _go_on(self, probing: Probing[Place]) -> None:
        """The search stands like this now; its timer runs while another probe is to come."""
        self._probing = probing
        if not probing.waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif probing.waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PROBE_S, self.try_one)
