"""The slots of a lane: which child gets which job, and which job a dead child was running."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import Final

from penstock.domain.delivery import Delivery
from penstock.domain.lane import AHEAD_JOBS, AHEAD_S, moving_mean
from penstock.lanes.child import Child
from penstock.lanes.frames import Kind, pack

#: What a job costs a child besides its run time, in seconds: reading, decoding, encoding, writing.
_HANDLING_S: Final = 30e-6
_INFINITE: Final = float("inf")


@dataclass(slots=True)
class Assigned:
    """A job in a child.

    Attributes:
        delivery: The job.
        expected_s: How long it was expected to take; infinite when its task has not run yet, or yields.
        since: When it began, by the lane's clock; infinite while it waits in the child's socket.
        told: Whether it has yielded, or said how far it is: what it tells in a later start needs a larger fence.
    """

    delivery: Delivery
    expected_s: float
    since: float = _INFINITE
    told: bool = False


@dataclass(slots=True, eq=False)
class Slot:
    """One ready child and its jobs: it begins them in their order, and runs up to `width` at once.

    Attributes:
        child: The process.
        width: How many jobs it runs at once.
        together: Whether they are in one call: nobody knows which of them is the cause of what it does.
        jobs: Its jobs by frame number, oldest first; those beyond the first `width` wait in its socket.
        expected_s: Sum of what they are expected to take.
    """

    child: Child
    width: int = 1
    together: bool = False
    jobs: dict[int, Assigned] = field(default_factory=dict)
    expected_s: float = 0.0

    def running(self) -> Iterator[tuple[int, Assigned]]:
        """The numbers and the jobs that run, oldest first."""
        return islice(self.jobs.items(), self.width)

    def number_of(self, job_id: str) -> int | None:
        """The frame number of a job; None: the child does not have it."""
        return next((number for number, job in self.jobs.items() if job.delivery.job_id == job_id), None)


class Slots:
    """Hands waiting jobs to children.

    An idle child comes first; otherwise a job is sent ahead to the child that is expected to be free soonest,
    if that is within AHEAD_S. Everything else waits here, in order. Nothing is sent ahead to a child that runs
    several jobs at once: it hardly ever waits for the next one; nor to one that has a job that yields.

    Args:
        clock: The loop's clock, in seconds.
        width: How many jobs each child that is started now is to run at once. Defaults to 1.
    """

    def __init__(self, clock: Callable[[], float], width: int = 1) -> None:
        self._clock = clock
        self.width = width
        self._ready: list[Slot] = []
        #: Those that finish what they have and get nothing more.
        self._closed: list[Slot] = []
        self._waiting: deque[Delivery] = deque()
        self._means: dict[str, float] = {}
        self._number = 0
        #: Moving mean of the run time over all tasks, in seconds; None before the first.
        self.mean_s: float | None = None

    @property
    def waiting(self) -> int:
        """Jobs that no child has."""
        return len(self._waiting)

    @property
    def ready(self) -> Iterable[Slot]:
        """The slots whose child is ready."""
        return self._ready

    @property
    def in_children(self) -> int:
        """Jobs that a child has."""
        return sum(len(slot.jobs) for slot in (*self._ready, *self._closed))

    def submit(self, delivery: Delivery) -> None:
        """Queue a job; `dispatch` hands it out."""
        self._waiting.append(delivery)

    def take_waiting(self) -> list[Delivery]:
        """Remove and return the jobs that no child has."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def withdraw(self, job_id: str) -> Delivery | None:
        """Remove and return a job that no child has; None: none is waiting by this id."""
        for delivery in self._waiting:
            if delivery.job_id == job_id:
                self._waiting.remove(delivery)
                return delivery
        return None

    def add(self, child: Child, width: int | None = None) -> Slot:
        """A child has become ready that runs so many jobs at once; None: as many as one that is started now."""
        slot = Slot(child, self.width if width is None else width)
        self._ready.append(slot)
        return slot

    def close(self, slot: Slot) -> None:
        """Give a child no more jobs than it has."""
        self._ready.remove(slot)
        self._closed.append(slot)

    def remove(self, slot: Slot) -> list[Delivery]:
        """A child is gone; returns its jobs, the running ones first."""
        (self._closed if slot in self._closed else self._ready).remove(slot)
        return [assigned.delivery for assigned in slot.jobs.values()]

    def put_back(self, deliveries: list[Delivery]) -> None:
        """Jobs that were not started go to the front, in their order."""
        self._waiting.extendleft(reversed(deliveries))

    def put_apart(self, deliveries: list[Delivery]) -> None:
        """Jobs that ran in one call go to the front; each is to have a call of its own now."""
        self.put_back(deliveries)

    def dispatch(self) -> None:
        """Hand out what can be handed out."""
        waiting, ready = self._waiting, self._ready
        self._expect_overrun()
        given: set[Child] = set()
        while waiting and ready:
            slot = min(ready, key=_by_expected)
            if len(slot.jobs) >= slot.width and (
                slot.width > 1 or slot.expected_s > AHEAD_S or len(slot.jobs) >= AHEAD_JOBS
            ):
                break
            self._assign(slot, waiting.popleft())
            given.add(slot.child)
        for child in given:
            child.flush()

    def _expect_overrun(self) -> None:
        overrun = self._clock() - AHEAD_S
        for slot in self._ready:
            if slot.jobs and _oldest(slot).since < overrun:
                # The running job takes longer than was expected, nobody knows how long: nothing waits behind it.
                slot.expected_s = _INFINITE

    def _assign(self, slot: Slot, delivery: Delivery) -> None:
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        # How long a job that yields takes is for its reader to say, who may even await a job that would be behind it.
        mean_s = _INFINITE if delivery.yields else self._means.get(delivery.task, _INFINITE)
        expected = mean_s + _HANDLING_S
        if not slot.jobs:
            slot.expected_s = 0.0
        since = self._clock() if len(slot.jobs) < slot.width else _INFINITE
        slot.jobs[number] = Assigned(delivery, expected, since)
        slot.expected_s += expected
        meta = (
            delivery.task,
            delivery.job_id,
            delivery.attempt,
            delivery.version,
            delivery.deadline_ms,
            delivery.fence,
            delivery.spent.failures,
            delivery.max_result,
            delivery.blob and delivery.blob.sha256,
            delivery.stores,
        )
        file = delivery.file
        slot.child.send(pack(Kind.JOB, number, meta, delivery.body, with_fd=file is not None), file)

    def shift(self, seconds: float) -> None:
        """The parent stood still for so long: that time does not count as run time of any job."""
        now = self._clock()
        for slot in (*self._ready, *self._closed):
            for _, assigned in slot.running():
                assigned.since = min(now, assigned.since + seconds)

    def finished(self, slot: Slot, number: int, run_s: float) -> Delivery | None:
        """A child has answered a job; None: the slot has no such job."""
        assigned = slot.jobs.pop(number, None)
        if assigned is None:
            return None
        if assigned.since < _INFINITE and len(slot.jobs) >= slot.width:
            # The child takes the next one from its socket.
            next(islice(slot.jobs.values(), slot.width - 1, None)).since = self._clock()
        if slot.jobs and slot.expected_s < _INFINITE:
            slot.expected_s -= assigned.expected_s
        elif not (slot.jobs and slot.together):  # nothing is sent behind a call that is not answered whole
            slot.expected_s = sum(other.expected_s for other in slot.jobs.values())
        task = assigned.delivery.task
        self._means[task] = moving_mean(self._means.get(task), run_s)
        self.mean_s = moving_mean(self.mean_s, run_s)
        return assigned.delivery


def _oldest(slot: Slot) -> Assigned:
    return next(iter(slot.jobs.values()))


_by_expected = attrgetter("expected_s")
