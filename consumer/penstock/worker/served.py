"""One queue of a worker: its lane, its pipeline and its consumer."""

from __future__ import annotations

from typing import Any

from penstock.broker.ports import Broker
from penstock.domain.cancellation import Told
from penstock.domain.delivery import Delivery
from penstock.domain.lane import MAX_PREFETCH, PREFETCH_PER_SLOT, is_short
from penstock.domain.outcome import Outcome
from penstock.domain.task import QueueSpec
from penstock.domain.topology import Topology
from penstock.errors import WorkerError
from penstock.lanes.supervisor import Lane
from penstock.results.ports import ResultStore
from penstock.settings import WorkerSettings
from penstock.telemetry.metrics import Metrics
from penstock.worker.cancels import Cancels
from penstock.worker.claims import Claims
from penstock.worker.drain import Tally
from penstock.worker.in_hand import InHand
from penstock.worker.intake import Intake
from penstock.worker.pipeline import Pipeline
from penstock.worker.settlement import Settlement
from penstock.worker.shutdown import Shutdown
from penstock.worker.streams import Streams


class ServedQueue:
    """Joins the parts that serve one queue.

    Args:
        spec: The queue.
        settings: The worker's.
        worker: The worker's name.
        broker: Where its jobs come from.
        settlement: Shared by all queues.
        store: Shared by all queues.
        claims: Shared by all queues.
        in_hand: Shared by all queues.
        cancels: Shared by all queues.
        metrics: Shared by all queues.
        shutdown: Told when no child is left.
    """

    def __init__(
        self,
        spec: QueueSpec,
        settings: WorkerSettings,
        *,
        worker: str,
        broker: Broker,
        settlement: Settlement,
        store: ResultStore | None,
        claims: Claims | None,
        in_hand: InHand,
        cancels: Cancels,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> None:
        topology = Topology(settings.namespace)
        intake = Intake(
            spec,
            topology,
            strict=settings.strict,
            has_store=store is not None,
            max_body_bytes=settings.max_body_bytes,
            max_blob_bytes=settings.max_blob_bytes,
        )
        self.spec = spec
        self.streams = Streams(
            broker.publisher,
            store.items if store else None,
            topology,
            worker=worker,
            metrics=metrics,
            grant=self._grant,
        )
        self.lane = Lane(
            spec,
            worker=worker,
            max_body_bytes=settings.max_body_bytes,
            max_blob_bytes=settings.max_blob_bytes if store else settings.max_body_bytes,
            contracts=settings.contracts,
            on_outcome=self._ended,
            on_unstarted=self._unstarted,
            on_item=self.streams.item,
            on_progress=self.streams.progress,
            on_broken=lambda why: shutdown.fail(WorkerError(why)) if settings.on_broken == "exit" else None,
        )
        self.pipeline = Pipeline(spec, intake, self.lane, settlement, store, claims, in_hand, cancels, metrics)
        batch = max((task.batch.size for task in spec.all() if task.batch), default=1)
        self._prefetch = min(PREFETCH_PER_SLOT * spec.lane.slots * batch, MAX_PREFETCH)
        self.consumer = broker.consumer(
            topology.work_queue(spec.name), prefetch=self._prefetch, on_message=self._arrived
        )
        #: Whether no job is asked for at the moment.
        self.paused = False
        #: Whether an operator wants it so.
        self.held = False
        self._settlement = settlement
        self._short = False
        self._postponed = 0
        self._tally: Tally | None = None

    def _arrived(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if self._tally is not None:
            self._tally.given_back += 1
        self.pipeline.arrived(channel, method, properties, body)

    def _grant(self, delivery: Delivery, upto: int | None) -> None:
        # The lane and the streams know each other, too.
        self.lane.grant(delivery, upto)

    def _ended(self, delivery: Delivery, outcome: Outcome) -> None:
        if self._tally is not None:
            self._tally.ended.append(delivery)
        # The lane and the pipeline know each other; one of them comes first.
        if self.streams.starts:
            self.streams.ended(delivery, lambda: self.pipeline.ended(delivery, outcome))
        else:
            self.pipeline.ended(delivery, outcome)

    def _unstarted(self, delivery: Delivery) -> None:
        self.streams.forget(delivery)
        self.pipeline.unstarted(delivery)

    def cancel(self, job_id: str, told: Told) -> bool:
        """Cancel a job if this queue has it; `told` is called once, now or later. False: it has not."""
        return self.pipeline.cancel(job_id, told)

    def credit(self, job_id: str, fence: int, upto: int) -> None:
        """A reader has room for so many items of a job's start in all; see Streams.credit."""
        self.streams.credit(job_id, fence, upto)

    def adjust(self) -> None:
        """Fit the prefetch to the length of the jobs, and to those that are only passed on to wait."""
        self._short = is_short(self.lane.mean_s, already=self._short)
        passed_on = self.pipeline.postponed - self._postponed
        self._postponed = self.pipeline.postponed
        self.consumer.boost(self._short or passed_on >= self._prefetch)

    @property
    def trouble(self) -> str | None:
        """Why it should take no jobs; None: it may."""
        return "an operator has paused it" if self.held else self.lane.trouble

    def give_back_waiting(self) -> None:
        """Give back what no child has."""
        for delivery in self.lane.take_waiting():
            self._settlement.return_unstarted(delivery)

    def pause(self, why: str) -> None:
        """Take no more jobs until `resume`; pausing twice is fine."""
        self.paused = True
        self.consumer.pause(why)

    def resume(self) -> None:
        """Take jobs again."""
        self.paused = False
        self.consumer.resume()

    async def drain(self, drain_s: float, tally: Tally) -> None:
        """Take no more jobs, give back what has not started, finish what runs, hand back the rest."""
        self._tally = tally
        self.pipeline.open = False
        self.consumer.stop()
        self._give_back_waiting(tally)
        cut = await self.lane.stop(drain_s)
        tally.handed_back += len(cut)
        for delivery in cut:
            self.streams.forget(delivery)
            self._settlement.return_begun(delivery)
        # Jobs that were sent ahead to a child that was killed had not started either.
        self._give_back_waiting(tally)

    def _give_back_waiting(self, tally: Tally) -> None:
        waiting = self.lane.take_waiting()
        tally.given_back += len(waiting)
        for delivery in waiting:
            self._settlement.return_unstarted(delivery)
