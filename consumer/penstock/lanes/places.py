"""The places of a lane: their children are started, and replaced when they have ended or are to end."""

from __future__ import annotations

import logging
import sys
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
        self.breaker = Breaker(spec.name, self._all, spawn=self._spawn, on_broken=on_broken)
        #: Whether children are left that are to be replaced for another reason than their limits.
        self.restarting = False

    def __iter__(self) -> Iterator[Place]:
        return iter(self._all)

    def start(self) -> None:
        """Start a child in every place."""
        for place in self._all:
            self._spawn(place)

    def restart(self) -> None:
        """Have every child replaced in its turn, by `recycle`."""
        for place in self._all:
            place.outdate()
        self.restarting = any(place.stale for place in self._all)

    def recycle(self) -> None:
        """Replace children whose time is up, at most a quarter of them at once."""
        if self._spec.lane.recycle is None and not self.restarting:
            return
        self.restarting = any(place.stale for place in self._all)
        if self._spec.lane.shared:
            self._relieve()
            return
        room = supervision.replaceable(len(self._all), sum(place.missing for place in self._all))
        due = sorted((place for place in self._all if place.due), key=lambda place: place.busy)
        for place in due[:room]:
            place.retire()

    def ended(self, place: Place, end: End, fields: dict[str, Any]) -> None:
        """The child of a place has ended: start the next one, at once or after a growing delay, or give up.

        `fields` are what the log says of the end.
        """
        step = supervision.child_ended(place.standing, end.reason, end.status, wanted=place.successor is None)
        if step.action is Action.LEAVE:
            place.standing = step.standing
            _log.info("child ended: another has taken over", extra={"event": Event.CHILD_EXITED, **fields})
            self._remove(place)
        elif step.action is Action.START:
            level, text = _AT_ONCE[end.reason]
            event = Event.CHILD_LOST if level > logging.INFO else Event.CHILD_EXITED
            _log.log(level, text, extra={"event": event, **fields})
            place.standing = step.standing
            self._spawn(place)
        else:
            self._failed(place, step, fields, boot_error(self._spec, end.said, end.status))

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
