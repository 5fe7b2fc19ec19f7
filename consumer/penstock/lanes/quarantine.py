"""The quarantine slot: a job that has killed a child runs alone, in a child that is started for it and ends with it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from penstock.domain.delivery import Delivery
from penstock.domain.supervision import Reason, failed_alone, forgiven
from penstock.lanes.end import End
from penstock.lanes.place import Place
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)


class Quarantine:
    """One place besides those of the lane, empty most of the time.

    It is never broken for good: a child that cannot start closes it for a growing time, at most for the last of
    RESTART_DELAYS_S, while jobs wait in the broker. A child that its job kills is what the place is for and closes
    nothing.

    Args:
        place: The place, with slots of its own.
        clock: In seconds.
        on_unstarted: Called with a job whose child could not start; nothing is known against the job.
    """

    def __init__(self, place: Place, *, clock: Callable[[], float], on_unstarted: Callable[[Delivery], None]) -> None:
        self.place = place
        self._clock = clock
        self._on_unstarted = on_unstarted
        self._closed_until = float("-inf")

    @property
    def in_progress(self) -> int:
        """Jobs that it has: 0 or 1."""
        return self.place.slots.waiting + self.place.slots.in_children

    def take(self, delivery: Delivery) -> bool:
        """Start a child for the job; False: there is one already, or none can be started now."""
        if self.place.child is not None or self._clock() < self._closed_until:
            return False
        try:
            self.place.start()
        except OSError as error:
            self._failed({"queue": delivery.queue, "exit": str(error)})
            return False
        self.place.slots.submit(delivery)
        return True

    def became_ready(self) -> None:
        """The child can run its job, or may go if that was taken back."""
        self.place.standing = forgiven(self.place.standing)
        if not self.place.slots.waiting:
            self.place.finish()

    def ended(self, end: End, fields: dict[str, object]) -> None:
        """The child is gone; its job, if it has not started, is reported."""
        if end.reason is Reason.BOOT:
            self._failed(fields)
        elif end.reason is Reason.FINISHED:
            _log.info("child ended: its job is done", extra={"event": Event.CHILD_EXITED, **fields})
        else:
            _log.warning("child of a job in quarantine died", extra={"event": Event.CHILD_LOST, **fields})
        for delivery in self.place.slots.take_waiting():
            self._on_unstarted(delivery)

    def _failed(self, fields: dict[str, object]) -> None:
        step = failed_alone(self.place.standing)
        self.place.standing = step.standing
        self._closed_until = self._clock() + step.delay_s
        text = f"child for a job in quarantine could not start, the next one may in {step.delay_s:g} s"
        _log.error(text, extra={"event": Event.CHILD_LOST, **fields})
