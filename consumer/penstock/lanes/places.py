"""The places of a lane: their children are started, and replaced when they have ended or are to end."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from penstock.domain import supervision
from penstock.domain.supervision import Action, Reason, SlotState, Standing, Step
from penstock.domain.task import QueueSpec
from penstock.errors import CatalogError
from penstock.lanes.breaker import Breaker
from penstock.lanes.end import End
from penstock.lanes.judgement import boot_error
from penstock.lanes.place import Place
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: What the log says of an end after which the next child starts at once: whether anything is wrong, and what.
_AT_ONCE: Final = {
    Reason.TIMEOUT: (logging.WARNING, "child killed: its job ran too long"),
    Reason.CANCELLED: (logging.WARNING, "child killed: its job was cancelled and did not end by itself"),
    Reason.RECYCLED: (logging.INFO, "child recycled"),
}


class Places:
    """Carries out what `domain.supervision` says of the children of one lane.

    Args:
        spec: The queue.
        make: Makes an empty place.
        ends_start: Told why a child could not start; returns whether that was the end of the start of the lane.
        on_broken: Called with a sentence whenever the last place that was left is broken.
    """

    def __init__(
        self,
        spec: QueueSpec,
        *,
        make: Callable[[], Place],
        ends_start: Callable[[Exception], bool],
        on_broken: Callable[[str], None],
    ) -> None:
        self._spec = spec
        self._make = make
        self._ends_start = ends_start
        self._all = [make() for _ in range(spec.lane.children)]
        self.breaker = Breaker(spec.name, self._wanted, spawn=self._spawn, on_broken=on_broken)
        #: Whether children are left that are to be replaced for another reason than their limits.
        self.restarting = False

    def __iter__(self) -> Iterator[Place]:
        return iter(self._all)

    def states(self) -> Counter[str]:
        """How many are in which state; a ready one is `idle` or `busy`."""
        states: Counter[str] = Counter()
        for place in self._all:
            ready = place.state is SlotState.READY
            states[("busy" if place.busy else "idle") if ready else place.state.value] += 1
        return states

    def start(self) -> None:
        """Start a child in every place."""
        for place in self._all:
            self._spawn(place)

    def restart(self) -> None:
        """Have every child replaced in its turn, by `recycle`, and a broken one tried: the cause may be gone."""
        for place in self._all:
            place.outdate()
        self.restarting = any(place.stale for place in self._all)
        self.breaker.try_one()

    def widen(self) -> None:
        """Have the child of a shared lane replaced, by `recycle`, if it has not the width that is wanted now."""
        self.restarting = self.restarting or any(place.stale for place in self._all)

    def resize(self, count: int) -> None:
        """Have so many places: start children in new ones, or let surplus ones end after the jobs that they have."""
        standings = {place: place.standing for place in self._wanted()}
        busy = [place for place in standings if place.busy]
        for place in supervision.surplus(standings, busy, len(standings) - count):
            self._dismiss(place)
        missing = count - len(standings)
        for place in [place for place in self._all if not place.wanted and place.state is SlotState.STARTING]:
            if missing > 0:
                place.wanted = True  # nothing has been said to its child yet
                missing -= 1
        for _ in range(missing):
            self._all.append(self._make())
            self._spawn(self._all[-1])

    def became_ready(self, place: Place) -> None:
        """A child is ready; one that was dismissed while it started may go."""
        if not place.wanted:
            place.retire()

    def recycle(self) -> None:
        """Replace children whose time is up, at most a quarter of them at once."""
        if self._spec.lane.recycle is None and not self.restarting:
            return
        self.restarting = any(place.stale for place in self._all)
        if self._spec.lane.shared:
            self._relieve()
            return
        wanted = self._wanted()
        room = supervision.replaceable(len(wanted), sum(place.missing for place in wanted))
        due = sorted((place for place in wanted if place.due), key=lambda place: place.busy)
        for place in due[:room]:
            place.retire()

    def ended(self, place: Place, end: End, fields: dict[str, Any]) -> None:
        """The child of a place has ended: start the next one, at once or after a growing delay, or give up.

        `fields` are what the log says of the end.
        """
        wanted = place.wanted and place.successor is None
        step = supervision.child_ended(place.standing, end.reason, end.status, wanted=wanted)
        if step.action is Action.LEAVE:
            place.standing = step.standing
            self._say_left(place, end, fields)
            self._remove(place)
        elif step.action is Action.START:
            level, text = _AT_ONCE[end.reason]
            event = Event.CHILD_LOST if level > logging.INFO else Event.CHILD_EXITED
            _log.log(level, text, extra={"event": event, **fields})
            place.standing = step.standing
            self._spawn(place)
        else:
            self._failed(place, step, fields, boot_error(self._spec, end.said, end.status))

    def _say_left(self, place: Place, end: End, fields: dict[str, Any]) -> None:
        if place.wanted:
            _log.info("child ended: another has taken over", extra={"event": Event.CHILD_EXITED, **fields})
        elif end.reason is Reason.RECYCLED:
            _log.info("child ended: fewer are wanted", extra={"event": Event.CHILD_EXITED, **fields})
        else:
            _log.warning("child died, none follows: fewer are wanted", extra={"event": Event.CHILD_LOST, **fields})

    def _wanted(self) -> list[Place]:
        return [place for place in self._all if place.wanted]

    def _dismiss(self, place: Place) -> None:
        """A place is wanted no more; its child finishes what it has."""
        place.wanted = False
        self.breaker.left(place)
        if place.child is None:
            place.alarm.cancel()
            self._remove(place)
        elif place.state is SlotState.READY:
            place.retire()

    def _remove(self, place: Place) -> None:
        self._all.remove(place)
        self.breaker.left(place)

    def _spawn(self, place: Place) -> None:
        try:
            place.start()
        except OSError as error:
            text = f"queue {self._spec.name}: cannot run {self._spec.lane.python or sys.executable}: {error}"
            fields = {"queue": self._spec.name, "exit": str(error)}
            self._failed(place, supervision.failed(place.standing), fields, CatalogError(text))

    def _failed(self, place: Place, step: Step, fields: dict[str, Any], error: Exception) -> None:
        """A child died or could not be started."""
        if self._ends_start(error):
            place.standing = Standing(state=SlotState.BROKEN)
            return
        place.standing = step.standing
        if step.action is Action.BREAK:
            self.breaker.broke(place, fields)
            return
        place.alarm.set(step.delay_s, lambda: self._spawn(place))
        text = f"child died, the next one starts in {step.delay_s:g} s"
        _log.error(text, extra={"event": Event.CHILD_LOST, **fields})

    def _relieve(self) -> None:
        """Replace the only child: its jobs may take long, so the next one is there before it takes no more."""
        for place in [place for place in self._all if place.due]:
            if place.successor is None:
                place.successor = self._make()
                self._all.append(place.successor)
                self._spawn(place.successor)
            elif place.successor.state is SlotState.READY:
                place.retire()
