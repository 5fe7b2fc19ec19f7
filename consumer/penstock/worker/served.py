"""One queue of a worker: its lane, its pipeline and its consumer."""

from __future__ import annotations

from penstock.broker.consumer import Consumer
from penstock.domain.delivery import Delivery
from penstock.domain.lane import PREFETCH_PER_SLOT, is_short
from penstock.domain.outcome import Outcome
from penstock.domain.task import QueueSpec
from penstock.domain.topology import Topology
from penstock.errors import WorkerError
from penstock.lanes.supervisor import Lane
from penstock.settings import WorkerSettings
from penstock.telemetry.metrics import Metrics
from penstock.worker.intake import Intake
from penstock.worker.pipeline import Pipeline
from penstock.worker.settlement import Settlement
from penstock.worker.shutdown import Shutdown


class ServedQueue:
    """Joins the parts that serve one queue.

    Args:
        spec: The queue.
        settings: The worker's.
        worker: The worker's name.
        settlement: Shared by all queues.
        metrics: Shared by all queues.
        shutdown: Told when no child is left.
    """

    def __init__(
        self,
        spec: QueueSpec,
        settings: WorkerSettings,
        *,
        worker: str,
        settlement: Settlement,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> None:
        topology = Topology(settings.namespace)
        intake = Intake(
            spec,
            topology,
            strict=settings.strict,
            stores_results=settings.redis_url is not None,
            max_body_bytes=settings.max_body_bytes,
        )
        self.spec = spec
        self.lane = Lane(
            spec,
            worker=worker,
            max_body_bytes=settings.max_body_bytes,
            on_outcome=self._ended,
            on_unstarted=settlement.return_unstarted,
            on_broken=lambda why: shutdown.fail(WorkerError(why)),
        )
        self.pipeline = Pipeline(spec, intake, self.lane.submit, settlement, metrics)
        self.consumer = Consumer(
            topology.work_queue(spec.name),
            prefetch=PREFETCH_PER_SLOT * spec.lane.slots,
            on_message=self.pipeline.arrived,
        )
        self._settlement = settlement
        self._short = False

    def _ended(self, delivery: Delivery, outcome: Outcome) -> None:
        # The lane and the pipeline know each other; one of them comes first.
        self.pipeline.ended(delivery, outcome)

    def adjust(self) -> None:
        """Fit the prefetch to the length of the jobs."""
        self._short = is_short(self.lane.mean_s, already=self._short)
        self.consumer.boost(self._short)

    async def drain(self, drain_s: float) -> int:
        """Take no more jobs, give back what has not started, finish what runs; returns how many did not end."""
        self.pipeline.open = False
        self.consumer.stop()
        for delivery in self.lane.take_waiting():
            self._settlement.return_unstarted(delivery)
        cut = await self.lane.stop(drain_s)
        for delivery in cut:
            self._settlement.return_unstarted(delivery)
        return len(cut)
