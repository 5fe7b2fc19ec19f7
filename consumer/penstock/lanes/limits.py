"""Limits, held by the parent: they hold for code that keeps the GIL or ignores signals, too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from penstock.domain.task import QueueSpec
from penstock.lanes.slots import Slot

#: How often running jobs are held against their limits, in seconds.
TICK_S: Final = 0.05
#: Every how manieth look the memory of children is read, too.
WEIGH_TICKS: Final = 4
#: A look that comes later than this, in seconds, means that the parent itself stood still.
STALL_S: Final = 0.25


class Limit(StrEnum):
    """What a job may not exceed."""

    TIMEOUT = "timeout"
    MEMORY = "memory"
    #: None of its own: it was cancelled, and the time is over that it had to end by itself.
    CANCEL = "cancelled"


@dataclass(slots=True)
class Sentence:
    """Running jobs have exceeded a limit: their child is to leave its stack and is then killed.

    Attributes:
        numbers: The jobs' frame numbers.
        limit: Which limit.
        carried_out: Whether the child was killed; until then a success still counts.
    """

    numbers: set[int]
    limit: Limit
    carried_out: bool = False


def overdue(slot: Slot, spec: QueueSpec, now: float) -> set[int]:
    """The frame numbers of the slot's running jobs that have run longer than their task's timeout."""
    found = set()
    for number, assigned in slot.running():
        task = spec.find(assigned.delivery.task, assigned.delivery.version)
        if task is not None and task.timeout_s is not None and now - assigned.since > task.timeout_s:
            found.add(number)
    return found


def exceeded(slot: Slot, spec: QueueSpec, *, memory: int | None, rss: int, now: float) -> Sentence | None:
    """The sentence on a child that is above one of its limits; None: it is above none.

    Args:
        slot: Its jobs.
        spec: The queue.
        memory: The bytes that it may have resident; None: there is no limit.
        rss: The bytes that it had resident when it was weighed last.
        now: By the lane's clock.
    """
    if numbers := overdue(slot, spec, now):
        return Sentence(numbers, Limit.TIMEOUT)
    if memory is not None and rss > memory:
        return Sentence({number for number, _ in slot.running()}, Limit.MEMORY)
    return None


def stood_still(before: float, now: float) -> float:
    """For how many of the seconds between two looks the parent stood still, 0 when it did not.

    A machine or a container that was frozen, or a parent that was stopped, says nothing about the jobs.
    """
    late = now - before - TICK_S
    return late if late > STALL_S else 0.0
