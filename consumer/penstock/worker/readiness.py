"""Why a worker would not run a job now: one answer for /readyz and for the pause of intake."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.broker.ports import Broker
from penstock.results.ports import ResultStore
from penstock.worker.served import ServedQueue
from penstock.worker.shutdown import Shutdown


class Readiness:
    """Looks at every part of a worker.

    Args:
        queues: The queues that it serves.
        broker: Where jobs come from and copies and replies go.
        store: Where results go; None: this worker keeps none.
        shutdown: Whether it is to stop.
    """

    def __init__(
        self, queues: Sequence[ServedQueue], broker: Broker, store: ResultStore | None, shutdown: Shutdown
    ) -> None:
        self._queues = queues
        self._broker = broker
        self._store = store
        self._shutdown = shutdown
        #: Set when children are ready and the queues are to be consumed.
        self.started = False

    def unsettleable(self) -> list[str]:
        """Why a job that ends now could not be settled, one reason each; empty: it could."""
        reasons = self._broker.troubles()
        if self._store is not None and not self._store.up:
            reasons.append(f"Redis does not take results: {self._store.trouble}")
        return reasons

    def not_ready(self) -> list[str]:
        """Why this worker would not run a job now, one reason each; empty: it would."""
        if self._shutdown.requested.is_set():
            return ["draining"]
        if not self.started:
            return ["starting"]
        reasons = self.unsettleable()
        for queue in self._queues:
            # A pause has its cause among the reasons already.
            if not queue.consumer.consuming and not (queue.paused and (reasons or queue.trouble)):
                reasons.append(f"queue {queue.spec.name}: {queue.consumer.trouble}")
            states = queue.lane.states()
            if queue.lane.trouble is not None:
                reasons.append(queue.lane.trouble)
            elif not states["idle"] + states["busy"]:
                reasons.append(f"queue {queue.spec.name}: no child is ready")
        return reasons
