"""Time limits, by the parent's clock: they hold for code that keeps the GIL or ignores signals, too."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.domain.task import TaskSpec
from penstock.lanes.slots import Slot


def overdue(slot: Slot, tasks: Mapping[str, TaskSpec], now: float) -> int | None:
    """The frame number of the slot's running job if it has run longer than its task's timeout, else None."""
    head = slot.head()
    if head is None:
        return None
    number, delivery = head
    task = tasks.get(delivery.task)
    if task is None or task.timeout_s is None or now - slot.head_since <= task.timeout_s:
        return None
    return number
