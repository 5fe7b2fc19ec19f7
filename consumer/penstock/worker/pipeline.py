"""A delivery has one outcome, one decision, one settlement.

    intake ──▶ lane ──▶ child ──▶ outcome ──▶ decide ──▶ settle

This is the whole way of a job through a worker. What is refused at the door takes the same way with the outcome
that it has at once; what is not due yet goes back to wait in the broker. Nothing here blocks or decodes a body.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from penstock.domain.decision import Complete, decide
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.retry import NO_RETRY
from penstock.domain.task import QueueSpec
from penstock.telemetry.metrics import Metrics
from penstock.wire.headers import job_id_time_ms
from penstock.wire.registry import Event
from penstock.worker.intake import Intake
from penstock.worker.settlement import Settlement, awaits, identity

_log = logging.getLogger(__name__)

#: Outcomes of jobs that were refused, not tried.
_REFUSED: Final = frozenset({OutcomeKind.UNDECODABLE, OutcomeKind.EXPIRED})


class Pipeline:
    """The way of the jobs of one queue.

    Args:
        spec: The queue.
        intake: Reads and refuses.
        submit: Hands a job to the lane, which calls `ended` when its attempt has ended.
        settlement: Carries decisions out.
        metrics: Counts.
    """

    def __init__(
        self,
        spec: QueueSpec,
        intake: Intake,
        submit: Callable[[Delivery], None],
        settlement: Settlement,
        metrics: Metrics,
    ) -> None:
        self._tasks = spec.tasks
        self._intake = intake
        self._submit = submit
        self._settlement = settlement
        self._metrics = metrics
        self.open = True

    def arrived(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """The broker has delivered a message."""
        delivery = self._intake.read(channel, method, properties, body)
        now_ms = int(time.time() * 1000)
        if not self.open:
            self._settlement.return_unstarted(delivery)
        elif (refusal := self._intake.refuse(delivery, now_ms)) is not None:
            self.ended(delivery, refusal)
        elif self._intake.waits(delivery, now_ms):
            self._settlement.postpone(delivery)
        else:
            first = delivery.attempt == 1 and delivery.not_before_ms is None
            waited_s = max(0.0, (now_ms - job_id_time_ms(delivery.job_id)) / 1000) if first else None
            self._metrics.started(delivery, waited_s)
            self._submit(delivery)

    def ended(self, delivery: Delivery, outcome: Outcome) -> None:
        """An attempt has ended: decide, settle."""
        task = self._tasks.get(delivery.task)
        decision = decide(
            outcome,
            attempt=delivery.attempt,
            attempts=(task.retry if task else NO_RETRY).attempts,
            deliveries=delivery.deliveries,
            deadline_ms=delivery.deadline_ms,
            now_ms=int(time.time() * 1000),
            awaited=any(awaits(delivery)),
        )
        self._metrics.finished(delivery, outcome.kind, outcome.run_s)
        if outcome.trace is not None:
            self._log(Event.JOB_RAISED, delivery, outcome, logging.ERROR)
        elif outcome.kind in _REFUSED and isinstance(decision, Complete):
            self._log(Event.JOB_REFUSED, delivery, outcome, logging.WARNING)
        self._settlement.settle(delivery, decision)

    @staticmethod
    def _log(event: Event, delivery: Delivery, outcome: Outcome, level: int) -> None:
        failure = outcome.failure
        assert failure is not None
        extra = {"event": event, **identity(delivery), "traceback": outcome.trace}
        _log.log(level, f"{failure.code}: {failure.message}", extra=extra)
