"""What running jobs yield, on its way to whoever awaits their results: in messages, into the store, or nowhere.

    reply                   item.v1 messages, each with what came in one turn; their reader lets the job go on (credit)
    stored, reply+stored    one call of the store at a time with all that has come; the job goes on as they are kept
    none                    dropped, and those of a replayed job whose result is a reply

Whatever was begun for a job ends before its result is settled, so a result never overtakes its items. The credit
bounds how many items are here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from penstock.broker.ports import Publisher
from penstock.domain.delivery import Delivery
from penstock.domain.timer import Timer
from penstock.domain.topology import Topology
from penstock.results.ports import ItemStore
from penstock.telemetry.metrics import Metrics
from penstock.wire.items import encode_progress
from penstock.wire.registry import PROGRESS_INTERVAL_MS
from penstock.worker.replied import Replied
from penstock.worker.settlement import awaits
from penstock.worker.stored import Stored
from penstock.worker.ways import Grant, Means, Nowhere, Way

_INTERVAL_S: Final = PROGRESS_INTERVAL_MS / 1000


class _Start:
    """One start of a job that has yielded, or said how far it is."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.way: Way = Nowhere()
        #: While one is busy, its place is not free for another.
        self.left: Way | None = None
        #: What is to be called when nothing is on its way any more; None: the job runs.
        self.then: Callable[[], None] | None = None
        self.newest: bytes | None = None
        self.timer: Timer | None = None


class Streams:
    """The items and the progress of one queue's running jobs.

    Args:
        publisher: For messages to requesters.
        store: For the items of stored results; None: this worker keeps none.
        topology: Names of the namespace.
        worker: The worker's name.
        metrics: Counts.
        grant: Lets a job send more.
        later: Calls something after so many seconds. Defaults to the running loop.
    """

    def __init__(
        self,
        publisher: Publisher,
        store: ItemStore | None,
        topology: Topology,
        *,
        worker: str,
        metrics: Metrics,
        grant: Grant,
        later: Callable[[float, Callable[[], None]], Timer] | None = None,
    ) -> None:
        self._means = Means(
            publish=partial(publisher.publish, topology.name("replies")),
            grant=grant,
            metrics=metrics,
            worker=worker,
            later=later or _later,
        )
        self._store = store
        #: The starts by job id; empty most of the time, which is all that other jobs look at.
        self.starts: dict[str, _Start] = {}

    # ── what jobs do ────────────────────────────────────────────────────────────────────────────

    def item(self, delivery: Delivery, seq: int, body: bytes) -> None:
        """A job has yielded."""
        self._start_of(delivery).way.item(seq, body)

    def progress(self, delivery: Delivery, fraction: float, text: str) -> None:
        """A job has said how far it is: it is passed on at most once in an interval, the newest in the end."""
        start = self._start_of(delivery)
        start.newest = encode_progress(fraction, text)
        if start.timer is None:
            self._tell(start)

    def ended(self, delivery: Delivery, then: Callable[[], None]) -> None:
        """The attempt has ended; `then` is called once nothing of it is on its way."""
        start = self.starts.get(delivery.job_id)
        if start is None or start.delivery is not delivery:
            then()
            return
        start.way.end()
        if start.timer is not None:
            start.timer.cancel()
        if start.newest is not None:
            start.way.progress(start.newest)
            start.newest = None
        start.then = then
        self._settle(start)

    def forget(self, delivery: Delivery) -> None:
        """The attempt was cut off, and the job goes back: the next start yields everything."""
        self.ended(delivery, lambda: None)

    # ── what readers say ────────────────────────────────────────────────────────────────────────

    def credit(self, job_id: str, fence: int, upto: int) -> None:
        """A reader has room for so many items in all; -1: it wants no more. Of another start, it means nothing."""
        start = self.starts.get(job_id)
        if start is None or start.delivery.fence != fence or not isinstance(way := start.way, Replied) or not way.read:
            return
        if upto == -1:
            way.drop_items()
            self._means.grant(start.delivery, None)
            self._settle(start)  # what was refused, or waits to be sent, may have been the last that it waited for
        elif upto > way.granted:
            way.granted = upto
            self._means.grant(start.delivery, upto)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _start_of(self, delivery: Delivery) -> _Start:
        start = self.starts.get(delivery.job_id)
        if start is None or start.delivery is not delivery:
            start = self.starts[delivery.job_id] = _Start(delivery)
            start.way = self._way(start)
        return start

    def _way(self, start: _Start) -> Way:
        delivery = start.delivery

        def changed(way: Way, gone: bool) -> None:
            if gone and start.way is way:
                self._leave(start)
            self._settle(start)

        stores, replies = awaits(delivery)
        if stores and self._store is not None:
            return Stored(self._means, self._store, delivery, changed)
        # Who awaits the reply to a replayed job is an operator's command, which reads no items.
        if replies and not delivery.replays:
            return Replied(self._means, delivery, changed)
        self._means.grant(delivery, None)
        return Nowhere()

    def _leave(self, start: _Start) -> None:
        """Send no more of a start; the job goes on, and is not held back."""
        start.left, start.way = start.way, Nowhere()
        self._means.grant(start.delivery, None)

    def _settle(self, start: _Start) -> None:
        """Call what waits for the end of what is on its way, if there is an end."""
        if start.then is None or start.way.busy or (start.left is not None and start.left.busy):
            return
        then, start.then = start.then, None
        if self.starts.get(start.delivery.job_id) is start:
            del self.starts[start.delivery.job_id]
        then()

    def _tell(self, start: _Start) -> None:
        """Pass on what is new; the next one has to wait for the interval to end."""
        start.timer = None
        if start.newest is not None:
            body, start.newest = start.newest, None
            start.way.progress(body)
            start.timer = self._means.later(_INTERVAL_S, lambda: self._tell(start))


def _later(seconds: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, call)
