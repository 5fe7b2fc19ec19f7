"""The guard of a container's memory: a child ends before the system ends the parent, and with it every job."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from penstock.domain import crowding
from penstock.domain.crowding import Reading
from penstock.lanes.memory import sessions
from penstock.wire.registry import Event
from penstock.worker.served import ServedQueue

_log = logging.getLogger(__name__)

#: Seconds that the system has to give back the memory of a child that has ended, before another one has to.
_SETTLE_S: Final = 1.0


class MemoryGuard:
    """Ends the largest child of a worker while its container is nearly full, one at a time.

    Args:
        queues: The worker's.
        read: How full the container is; None: there is no limit.
        weigh: The bytes that children have, with what they started, by process id; and of which of them it is to be
            known that a template has forked them. Defaults to what the system says.
        clock: In seconds. Defaults to the monotonic clock.
    """

    def __init__(
        self,
        queues: Sequence[ServedQueue],
        read: Callable[[], Reading | None],
        *,
        weigh: Callable[[Collection[int], Collection[int]], Mapping[int, int]] = sessions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queues = queues
        self._read = read
        self._weigh = weigh
        self._clock = clock
        self._not_before = float("-inf")

    def look(self) -> None:
        """Read how full the container is, and do what that wants."""
        reading = self._read()
        if reading is None or not reading.full or self._clock() < self._not_before:
            return
        if any(queue.lane.giving_way for queue in self._queues):
            return  # what it has is about to be free
        lanes = {pid: queue.lane for queue in self._queues for pid in queue.lane.pids}
        sizes = self._weigh(lanes, [pid for pid, lane in lanes.items() if lane.spec.lane.preload])
        self._not_before = self._clock() + _SETTLE_S
        if (pid := crowding.largest(reading, sizes)) is None:
            return
        why = crowding.sentence(reading)
        lane = lanes[pid]
        fields = {"queue": lane.spec.name, "pid": pid, "rss": sizes[pid], "used": reading.used, "limit": reading.limit}
        _log.error(f"a child is ended: {why}", extra={"event": Event.WORKER_MEMORY_FULL, **fields})
        lane.give_way(pid, why)
