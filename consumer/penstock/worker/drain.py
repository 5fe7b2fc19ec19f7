"""How a worker ends: intake stops, what runs is finished, what has not started is given back, the rest handed back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from penstock.broker.ports import Broker
from penstock.domain.delivery import Delivery
from penstock.results.ports import ResultStore
from penstock.wire.registry import Event, Exit
from penstock.worker.in_hand import InHand
from penstock.worker.shutdown import Shutdown

if TYPE_CHECKING:
    from penstock.worker.served import ServedQueue

_log = logging.getLogger(__name__)

#: Seconds that the last settlements have at least, after the last job has ended; and after a second signal at most.
_SETTLE_S: Final = 3.0
_HURRY_S: Final = 0.5


@dataclass(slots=True)
class Tally:
    """What became of the jobs that a worker had when it was told to stop.

    Attributes:
        ended: Those that ended within the drain time.
        given_back: How many went back to their queue without having been started.
        handed_back: How many were cut off and went back.
    """

    ended: list[Delivery] = field(default_factory=list)
    given_back: int = 0
    handed_back: int = 0


class Drain:
    """One drain.

    Args:
        queues: The queues of the worker.
        broker: Where copies and replies go.
        store: Where results go; None: nowhere.
        in_hand: The jobs of the worker.
        shutdown: Says when the drain is to be cut short.
        seconds: What running jobs have.
    """

    def __init__(
        self,
        queues: Sequence[ServedQueue],
        broker: Broker,
        store: ResultStore | None,
        in_hand: InHand,
        shutdown: Shutdown,
        seconds: float,
    ) -> None:
        self._queues = queues
        self._broker = broker
        self._store = store
        self._in_hand = in_hand
        self._shutdown = shutdown
        self._seconds = seconds

    async def run(self) -> Exit:
        """Drain; OK when every job that had started was finished and settled, else TEMPFAIL."""
        _log.info(
            "draining: intake has stopped, running jobs are being finished",
            extra={"event": Event.WORKER_DRAINING, "seconds": self._seconds, "in_hand": len(self._in_hand)},
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        tally = Tally()
        hurrying = asyncio.create_task(self._hurry())
        await asyncio.gather(*(queue.drain(self._seconds, tally) for queue in self._queues))
        await self._settle_rest(max(deadline, loop.time() + _SETTLE_S))
        hurrying.cancel()
        for queue in self._queues:
            queue.consumer.flush()
        return self._report(tally)

    async def _hurry(self) -> None:
        """At the second signal, kill the children that still run a job."""
        await self._shutdown.hurried.wait()
        for queue in self._queues:
            queue.lane.hurry()

    async def _settle_rest(self, deadline: float) -> None:
        """Wait until everything is settled, at most until then; less after a second signal."""
        loop = asyncio.get_running_loop()
        while self._unsettled and loop.time() < deadline:
            if self._shutdown.hurried.is_set():
                deadline = min(deadline, loop.time() + _HURRY_S)
            await asyncio.sleep(0.005)

    @property
    def _unsettled(self) -> int:
        """How many jobs wait for an answer of the broker or the store."""
        stores = self._store.pending if self._store is not None else 0
        return max(len(self._in_hand), self._broker.publisher.pending, stores)

    def _report(self, tally: Tally) -> Exit:
        # What was settled after its channel had gone could not be acked.
        unacked = sum(not job.channel.open and job not in self._in_hand for job in tally.ended)
        left = self._unsettled + unacked
        clean = not (left or tally.handed_back)
        text = f"stopped: {len(tally.ended)} finished, {tally.given_back} given back, {tally.handed_back} handed back"
        if left:
            text += f"; {left} could not be settled and will be handed out again"
        _log.log(
            logging.INFO if clean else logging.WARNING,
            text,
            extra={
                "event": Event.WORKER_STOPPED,
                "finished": len(tally.ended),
                "given_back": tally.given_back,
                "handed_back": tally.handed_back,
                "unsettled": left,
                "settled": not left,
            },
        )
        return Exit.OK if clean else Exit.TEMPFAIL
