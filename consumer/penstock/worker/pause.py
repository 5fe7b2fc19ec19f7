"""The pause of intake: no job is taken while none could be settled, or hardly a child is left to run it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from penstock.wire.registry import Event
from penstock.worker.served import ServedQueue

_log = logging.getLogger(__name__)


class IntakePause:
    """Pauses queues while something is in the way, and lets them go on afterwards.

    What is in the way of every settlement pauses all of them. Without it a worker would run what its prefetch allows,
    sit on the results, and keep the next jobs from workers that are better off. What it has at hand already is run
    and settled when that is possible again: to give it back would cost the jobs a delivery, and the work is as good
    now as later. A queue that an operator has paused, or most of whose children are broken, is paused by itself; what
    no child has then is given back.

    Args:
        queues: The queues that are paused.
        reasons: What is in the way of every settlement, one reason each; empty: nothing.
    """

    def __init__(self, queues: Sequence[ServedQueue], reasons: Callable[[], list[str]]) -> None:
        self._queues = queues
        self._reasons = reasons
        self._paused: set[str] = set()

    def look(self) -> None:
        """Pause or resume, as things are now."""
        reasons = self._reasons()
        self._say({queue.spec.name: why for queue in self._queues if (why := "; ".join(reasons) or queue.trouble)})
        for queue in self._queues:
            if queue.spec.name in self._paused and not reasons:
                queue.give_back_waiting()

    def _say(self, whys: dict[str, str]) -> None:
        for queue in self._queues:
            name = queue.spec.name
            if name in whys:
                queue.pause(whys[name])
            elif name in self._paused:
                queue.resume()
        fresh = [name for name in whys if name not in self._paused]
        names = [queue.spec.name for queue in self._queues]
        gone = [name for name in names if name in self._paused and name not in whys]
        self._paused = set(whys)
        if fresh:
            extra = {"event": Event.INTAKE_PAUSED, "queues": fresh, "reason": whys[fresh[0]]}
            _log.warning("no more jobs are taken", extra=extra)
        if gone:
            _log.info("jobs are taken again", extra={"event": Event.INTAKE_RESUMED, "queues": gone})
