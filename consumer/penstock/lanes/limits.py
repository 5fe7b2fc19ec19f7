"""Limits, held by the parent: they hold for code that keeps the GIL or ignores signals, too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from penstock.domain.task import QueueSpec
from penstock.lanes.slots import Slot

#: How often running jobs are held against their limits, in seconds.
TICK_S: Final = 0.05
#: A look that comes later than this, in seconds, means that the parent itself stood still.
STALL_S: Final = 0.25


class Limit(StrEnum):
    """What a job may not exceed."""

    TIMEOUT = "timeout"
    MEMORY = "memory"


@dataclass(slots=True)
class Sentence:
    """A running job has exceeded a limit: its child is to leave its stack and is then killed.

    Attributes:
        number: The job's frame number.
        limit: Which limit.
        carried_out: Whether the child was killed; until then a success still counts.
    """

    number: int
    limit: Limit
    carried_out: bool = False


def overdue(slot: Slot, spec: QueueSpec, now: float) -> int | None:
    """The frame number of the slot's running job if it has run longer than its task's timeout, else None."""
    head = slot.head()
    if head is None:
        return None
    number, delivery = head
    task = spec.find(delivery.task, delivery.version)
    if task is None or task.timeout_s is None or now - slot.head_since <= task.timeout_s:
        return None
    return number


def stood_still(before: float, now: float) -> float:
    """For how many of the seconds between two looks the parent stood still, 0 when it did not.

    A machine or a container that was frozen, or a parent that was stopped, says nothing about the jobs.
    """
    late = now - before - TICK_S
    return late if late > STALL_S else 0.0
