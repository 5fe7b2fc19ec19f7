"""The pause of intake: no job is taken while none could be settled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from penstock.wire.registry import Event
from penstock.worker.served import ServedQueue

_log = logging.getLogger(__name__)


class IntakePause:
    """Pauses all queues while something is in the way of every settlement, and lets them go on afterwards.

    Without it a worker would run what its prefetch allows, sit on the results, and keep the next jobs from workers
    that are better off. What it has at hand already is run and settled when that is possible again: to give it back
    would cost the jobs a delivery, and the work is as good now as later.

    Args:
        queues: The queues that are paused.
        reasons: What is in the way, one reason each; empty: nothing.
    """

    def __init__(self, queues: Sequence[ServedQueue], reasons: Callable[[], list[str]]) -> None:
        self._queues = queues
        self._reasons = reasons
        self._paused = False

    def look(self) -> None:
        """Pause or resume, as things are now."""
        reasons = self._reasons()
        if reasons:
            self._pause("; ".join(reasons))
        elif self._paused:
            self._resume()

    def _pause(self, why: str) -> None:
        for queue in self._queues:
            queue.pause(why)
        if not self._paused:
            self._paused = True
            _log.warning(
                "no more jobs are taken: they could not be settled",
                extra={"event": Event.INTAKE_PAUSED, "queues": [q.spec.name for q in self._queues], "reason": why},
            )

    def _resume(self) -> None:
        self._paused = False
        for queue in self._queues:
            queue.resume()
        _log.info(
            "jobs are taken again",
            extra={"event": Event.INTAKE_RESUMED, "queues": [q.spec.name for q in self._queues]},
        )
