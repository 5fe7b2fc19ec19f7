"""The slots of a lane that runs batches: an idle child gets one whole, and all of its jobs run at once."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

from penstock.domain.delivery import Delivery
from penstock.domain.lane import AHEAD_JOBS, AHEAD_S
from penstock.domain.task import QueueSpec
from penstock.domain.timer import Timer
from penstock.lanes.batches import Batches
from penstock.lanes.child import Child
from penstock.lanes.frames import Kind, pack
from penstock.lanes.slots import Slot, Slots

_INFINITE: Final = float("inf")
_by_expected = attrgetter("expected_s")


class BatchSlots(Slots):
    """Hands batches, and the jobs of tasks that have none, to children.

    Nothing is sent ahead to a child that runs a batch.

    Args:
        spec: The queue.
        clock: The loop's clock, in seconds.
        call_later: Calls something after so many seconds.
    """

    def __init__(
        self, spec: QueueSpec, clock: Callable[[], float], call_later: Callable[[float, Callable[[], None]], Timer]
    ) -> None:
        super().__init__(clock)
        self._batches = Batches(spec, clock)
        self._call_later = call_later
        self._timer: Timer | None = None
        #: Whether a batch is next when a single job waits, too: they take turns, so that neither starves.
        self._batch_is_next = True

    @property
    def waiting(self) -> int:
        """Jobs that no child has."""
        return len(self._waiting) + len(self._batches)

    def submit(self, delivery: Delivery) -> None:
        """See Slots.submit."""
        if self._batches.collects(delivery):
            self._batches.add(delivery)
        else:
            super().submit(delivery)

    def take_waiting(self) -> list[Delivery]:
        """See Slots.take_waiting."""
        return super().take_waiting() + self._batches.take_all()

    def withdraw(self, job_id: str) -> Delivery | None:
        """See Slots.withdraw."""
        return super().withdraw(job_id) or self._batches.withdraw(job_id)

    def put_back(self, deliveries: list[Delivery]) -> None:
        """See Slots.put_back."""
        super().put_back([delivery for delivery in deliveries if not self._batches.collects(delivery)])
        self._batches.put_back(delivery for delivery in deliveries if self._batches.collects(delivery))

    def put_apart(self, deliveries: list[Delivery]) -> None:
        """See Slots.put_apart."""
        self._batches.put_apart(deliveries)

    def dispatch(self) -> None:
        """See Slots.dispatch."""
        self._expect_overrun()
        given: set[Child] = set()
        now = self._clock()
        while (slot := self._serve_next(now)) is not None:
            given.add(slot.child)
        for child in given:
            child.flush()
        self._wake(now)

    def finished(self, slot: Slot, number: int, run_s: float) -> Delivery | None:
        """See Slots.finished; a job has taken its share of the call."""
        return super().finished(slot, number, run_s / slot.width)

    def _serve_next(self, now: float) -> Slot | None:
        """Hand out what is next; None: nothing is, or there is no child for it."""
        if not self._ready:
            return None
        slot = min(self._ready, key=_by_expected)
        if (self._batch_is_next or not self._waiting) and self._batches.due(now):
            # Single jobs are sent ahead no more: otherwise no child might ever be idle.
            if slot.jobs:
                return None
            self._batch_is_next = False
            self._assign_batch(slot, self._batches.take())
            return slot
        if not self._waiting or (slot.jobs and (slot.expected_s > AHEAD_S or len(slot.jobs) >= AHEAD_JOBS)):
            return None
        self._batch_is_next = True
        if not slot.jobs:
            slot.width, slot.together = 1, False
        self._assign(slot, self._waiting.popleft())
        return slot

    def _assign_batch(self, slot: Slot, deliveries: list[Delivery]) -> None:
        slot.width, slot.together = len(deliveries), len(deliveries) > 1
        slot.child.send(pack(Kind.BATCH, 0, (len(deliveries),)))
        for delivery in deliveries:
            self._assign(slot, delivery)
        slot.expected_s = _INFINITE

    def _wake(self, now: float) -> None:
        """Hand out again when the time makes a batch due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (seconds := self._batches.due_in(now)) is not None:
            self._timer = self._call_later(seconds, self.dispatch)
