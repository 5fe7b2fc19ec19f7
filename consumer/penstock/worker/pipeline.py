"""A delivery has one outcome, one decision, one settlement.

    intake ──▶ lane ──▶ child ──▶ outcome ──▶ decide ──▶ settle

This is the whole way of a job through a worker. What is refused at the door takes the same way with the outcome
that it has at once; what cannot run now goes back to wait in the broker. Nothing here blocks or decodes a body. What a
job yields while it runs goes beside this way (`worker/streams.py`); its outcome comes here once that has arrived.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from penstock.domain.budget import HOLD_UP_MS, QUARANTINE_MS, RetryBudget, hold_up_ms
from penstock.domain.cancellation import Told, cancelled
from penstock.domain.decision import Complete, decide
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.retry import NO_RETRY
from penstock.domain.task import QueueSpec
from penstock.results.ports import ResultStore
from penstock.telemetry.metrics import Metrics
from penstock.wire.failure import Failure
from penstock.wire.headers import is_job_id, job_id_time_ms
from penstock.wire.registry import CancelStep, ErrorCode, Event
from penstock.worker.cancels import Cancels
from penstock.worker.claims import Claims
from penstock.worker.in_hand import InHand, Meeting
from penstock.worker.intake import Intake
from penstock.worker.settlement import Settlement, awaits, identity

_log = logging.getLogger(__name__)

#: Outcomes of jobs that were refused, not tried.
_REFUSED: Final = frozenset({OutcomeKind.UNDECODABLE, OutcomeKind.EXPIRED})


class Runs(Protocol):
    """A lane, as the pipeline needs it. It calls `ended` with each job, when its attempt has ended."""

    def submit(self, delivery: Delivery) -> None:
        """Run a job when a slot is free."""
        ...

    def quarantine(self, delivery: Delivery) -> bool:
        """Run a job alone, now; False: the quarantine slot is taken."""
        ...

    def cancel(self, job_id: str, told: Told) -> bool:
        """Stop a job, wherever it is; `told` is called once, now or when it has ended. False: it is not here."""
        ...


class Pipeline:
    """The way of the jobs of one queue.

    Args:
        spec: The queue.
        intake: Reads and refuses.
        lane: Runs.
        settlement: Carries decisions out.
        store: Where earlier results are looked up; None: there is no store.
        claims: Brings long bodies; None: there is no store.
        in_hand: The jobs that the worker has.
        cancels: The jobs that are to be cancelled.
        metrics: Counts.
        clock: Monotonic, in seconds, for the retry budgets.
    """

    def __init__(
        self,
        spec: QueueSpec,
        intake: Intake,
        lane: Runs,
        settlement: Settlement,
        store: ResultStore | None,
        claims: Claims | None,
        in_hand: InHand,
        cancels: Cancels,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._intake = intake
        self._lane = lane
        self._settlement = settlement
        self._store = store
        self._claims = claims
        self._in_hand = in_hand
        self._cancels = cancels
        #: Jobs whose earlier result, or whose body, is being fetched: neither at the door nor in the lane.
        self._fetching: set[str] = set()
        self._metrics = metrics
        self._clock = clock
        self._budgets = {
            name: RetryBudget(versions[max(versions)].retry.share, clock()) for name, versions in spec.tasks.items()
        }
        self.open = True
        #: Jobs that were sent back to wait, since the start.
        self.postponed = 0

    def arrived(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """The broker has delivered a message."""
        delivery = self._intake.read(channel, method, properties, body)
        try:
            self._received(delivery, int(time.time() * 1000))
        except Exception:
            # The consumer gives it back; it must not meet itself when it is handed out again.
            self._in_hand.release(delivery, ended=False)
            raise

    def _received(self, delivery: Delivery, now_ms: int) -> None:
        met = self._in_hand.meet(delivery)
        if met is Meeting.NEW:
            self._take(delivery, now_ms)
        elif met is Meeting.ADOPTED:
            self._metrics.adopted(delivery)
        elif met is Meeting.ENDED:
            self._settlement.found_ended(delivery)
        elif not self.open:
            self._settlement.return_unstarted(delivery)
        elif (refusal := self._intake.refuse(delivery, now_ms)) and refusal.kind is OutcomeKind.UNDECODABLE:
            # A copy of it would be believed where it does not belong.
            self.ended(delivery, refusal)
        else:
            self._hold_up(delivery, now_ms)

    def _take(self, delivery: Delivery, now_ms: int) -> None:
        """What becomes of a job that is new here."""
        if not self.open:
            self._settlement.return_unstarted(delivery)
        elif (refusal := self._intake.refuse(delivery, now_ms)) is not None:
            self.ended(delivery, refusal)
        elif delivery.job_id in self._cancels:
            self.ended(delivery, cancelled(delivery, CancelStep.NEVER_STARTED))
        elif self._intake.waits(delivery, now_ms):
            assert delivery.not_before_ms is not None
            self.postponed += 1
            self._settlement.postpone(delivery, delivery.not_before_ms)
        elif self._intake.worn(delivery):
            self._settlement.refresh(delivery)
        elif delivery.attempt > 1 and not self._budgets[delivery.task].take(self._clock()):
            self._metrics.retry_postponed(delivery)
            self._hold_up(delivery, now_ms)
        elif delivery.again and self._store is not None and awaits(delivery)[0]:
            self._fetching.add(delivery.job_id)
            self._store.find(delivery.job_id, lambda body: self._looked_up(delivery, body))
        else:
            self._start(delivery, now_ms)

    def _looked_up(self, delivery: Delivery, body: bytes | None) -> None:
        """The store has said whether the job has a result already."""
        self._fetching.discard(delivery.job_id)
        try:
            if body is not None:
                self._settlement.found_result(delivery, body)
            elif not (self.open and delivery.channel.open):
                # Without its channel the job is handed out again, here or elsewhere: nothing has started yet.
                self._settlement.return_unstarted(delivery)
            else:
                self._start(delivery, int(time.time() * 1000))
        except Exception:  # noqa: BLE001 -- see _given_up
            self._given_up(delivery)

    def cancel(self, job_id: str, told: Told) -> bool:
        """Cancel a job that is here and has not ended; False: there is none."""
        if job_id in self._fetching:
            told(CancelStep.NEVER_STARTED)  # `_start` will see it among the cancelled
            return True
        return self._lane.cancel(job_id, told)

    def _start(self, delivery: Delivery, now_ms: int) -> None:
        if delivery.job_id in self._cancels:
            self.ended(delivery, cancelled(delivery, CancelStep.NEVER_STARTED))
            return
        if delivery.blob is not None and delivery.file is None:
            assert self._claims is not None  # or it was refused
            self._fetching.add(delivery.job_id)
            self._claims.bring(delivery, lambda found: self._brought(delivery, found))
            return
        if delivery.spent.suspicious:
            if not self._lane.quarantine(delivery):
                self._hold_up(delivery, now_ms)
                return
            self._metrics.quarantined(delivery)
        waited_s = None
        if delivery.attempt == 1:
            self._budgets[delivery.task].pay()
            if delivery.not_before_ms is None:
                waited_s = max(0.0, (now_ms - job_id_time_ms(delivery.job_id)) / 1000)
        self._metrics.started(delivery, waited_s)
        if not delivery.spent.suspicious:
            self._lane.submit(delivery)

    def _brought(self, delivery: Delivery, found: bool | OSError) -> None:
        """The store has given the job's body, or has none."""
        self._fetching.discard(delivery.job_id)
        try:
            if not (self.open and delivery.channel.open):
                self._settlement.return_unstarted(delivery)
            elif found is True:
                self._start(delivery, int(time.time() * 1000))
            elif found is False:
                assert delivery.blob is not None
                text = f"the body of {delivery.blob.size} bytes is not in the store; its time may be up"
                failure = Failure(code=ErrorCode.BLOB_UNAVAILABLE, message=text, retryable=False)
                self.ended(delivery, Outcome(OutcomeKind.UNDECODABLE, failure=failure))
            else:
                extra = {"event": Event.JOB_GIVEN_BACK, "reason": str(found), **identity(delivery)}
                _log.error("there is no room for the job's body; it waits", extra=extra)
                self.unstarted(delivery)
        except Exception:  # noqa: BLE001 -- see _given_up
            self._given_up(delivery)

    def unstarted(self, delivery: Delivery) -> None:
        """The lane could not start a job that it had taken; nothing is spent."""
        self._hold_up(delivery, int(time.time() * 1000))

    def _hold_up(self, delivery: Delivery, now_ms: int) -> None:
        """Send a job back to wait that is due but cannot start: over budget, slot taken, or running here already."""
        born_ms = job_id_time_ms(delivery.job_id) if is_job_id(delivery.job_id) else now_ms
        since_ms = delivery.spent.first_at_ms or born_ms
        self.postponed += 1
        most_ms = QUARANTINE_MS if delivery.spent.suspicious else HOLD_UP_MS[1]
        self._settlement.postpone(delivery, now_ms + hold_up_ms(now_ms - since_ms, most_ms=most_ms))

    def ended(self, delivery: Delivery, outcome: Outcome) -> None:
        """An attempt has ended: decide, settle."""
        try:
            self._settle(delivery, outcome)
        except Exception:  # noqa: BLE001 -- see _given_up
            self._given_up(delivery)

    def _given_up(self, delivery: Delivery) -> None:
        """Give a job back that met a defect of ours: otherwise nobody would ever settle it."""
        extra = {"event": Event.JOB_GIVEN_BACK, **identity(delivery)}
        _log.exception("a job could not be settled; it goes back to its queue", extra=extra)
        delivery.channel.give_back(delivery.tag, counted=True)
        self._in_hand.release(delivery, ended=False)

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        task = self._spec.find(delivery.task, delivery.version)
        decision = decide(
            outcome,
            spent=delivery.spent,
            policy=task.retry if task else NO_RETRY,
            job_id=delivery.job_id,
            deadline_ms=delivery.deadline_ms,
            now_ms=int(time.time() * 1000),
            # Who awaits a replayed job is an operator's command, which may be gone: the job has to be kept.
            awaited=any(awaits(delivery)) and not delivery.replays,
        )
        self._metrics.finished(delivery, outcome.kind, outcome.run_s)
        if outcome.kind is OutcomeKind.RAISED:
            self._log(Event.JOB_RAISED, delivery, outcome, logging.ERROR)
        elif outcome.kind is OutcomeKind.CANCELLED:
            self._log(Event.JOB_CANCELLED, delivery, outcome, logging.INFO)
        elif outcome.kind in _REFUSED and isinstance(decision, Complete):
            self._log(Event.JOB_REFUSED, delivery, outcome, logging.WARNING)
        self._settlement.settle(delivery, outcome, decision)

    @staticmethod
    def _log(event: Event, delivery: Delivery, outcome: Outcome, level: int) -> None:
        failure = outcome.failure
        assert failure is not None
        extra = {"event": event, **identity(delivery), "traceback": outcome.trace}
        _log.log(level, f"{failure.code}: {failure.message}", extra=extra)
