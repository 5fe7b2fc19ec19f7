"""What the log says of a child whose event loop does not go on."""

from __future__ import annotations

import logging

from penstock.domain.delivery import Delivery
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)


def say_blocked(queue: str, pid: int, delivery: Delivery | None, seconds: float, stack: str) -> None:
    """A job, or something that is not known as one, has kept the child's other jobs from going on, at this stack."""
    who = delivery.task if delivery else "something"
    text = f"{who} has blocked the event loop for {seconds:.1f} s: no other job of this child goes on meanwhile"
    fields = {"queue": queue, "pid": pid, "traceback": stack}
    if delivery is not None:
        fields |= {"job_id": delivery.job_id, "task": delivery.task}
    _log.warning(text, extra={"event": Event.CHILD_BLOCKED, **fields})
