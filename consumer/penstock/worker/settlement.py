"""Carrying a decision out: everything that stands in for the message is confirmed before it is acked.

    Complete     store or reply ─confirmed─▶ ack
    RetryLater   waiting copy ───confirmed─▶ ack
    DeadLetter   dead copy, and store or reply ─confirmed─▶ ack
    GiveBack     reject with requeue

A crash in between repeats the job; nothing loses it. What the broker refuses is tried again while the delivery is
still ours; the prefetch bounds how much can wait that way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from penstock.broker import messages
from penstock.broker.publisher import Confirm, Publisher
from penstock.domain.decision import Complete, DeadLetter, Decision, GiveBack, RetryLater
from penstock.domain.delivery import Delivery
from penstock.domain.topology import Topology, level_for, retry_key
from penstock.results.ports import ResultStore
from penstock.telemetry.metrics import Metrics
from penstock.wire.failure import Failure
from penstock.wire.headers import is_job_id, is_task
from penstock.wire.registry import ErrorCode, Event, ResultMode
from penstock.wire.result import Result, encode_result

_log = logging.getLogger(__name__)

#: Waits before a refused publication is tried again, in seconds; the last one repeats.
_AGAIN_S: Final = (0.1, 1.0, 5.0, 15.0)
_REPLIES: Final = frozenset({ResultMode.REPLY, ResultMode.REPLY_AND_STORED})
_STORES: Final = frozenset({ResultMode.STORED, ResultMode.REPLY_AND_STORED})
#: Failures that the parent reports of an attempt that had begun.
_TRIED: Final = frozenset({ErrorCode.CHILD_LOST, ErrorCode.TIMEOUT})


class Settlement:
    """Settles the deliveries of a worker.

    Args:
        publisher: For replies and copies.
        store: For stored results; None: this worker keeps none.
        topology: Names of the namespace.
        worker: The worker's name.
        metrics: Where settlements are counted.
    """

    def __init__(
        self,
        publisher: Publisher,
        store: ResultStore | None,
        topology: Topology,
        *,
        worker: str,
        metrics: Metrics,
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._replies = topology.name("replies")
        self._retry = topology.name("retry")
        self._dead = topology.name("dead")
        self._worker = worker
        self._metrics = metrics

    def settle(self, delivery: Delivery, decision: Decision) -> None:
        """Carry a decision out."""
        if isinstance(decision, Complete):
            self._answer(delivery, decision.body, decision.failure, lambda: self._ack(delivery))
        elif isinstance(decision, RetryLater):
            self._retry_later(delivery, decision)
        elif isinstance(decision, DeadLetter):
            self._dead_letter(delivery, decision)
        elif isinstance(decision, GiveBack):
            self._note(Event.JOB_GIVEN_BACK, delivery, decision.failure.message, logging.ERROR)
            delivery.channel.give_back(delivery.tag, counted=True)

    def postpone(self, delivery: Delivery) -> None:
        """Let a job that is not due wait in the broker; its attempt stays the same."""
        assert delivery.not_before_ms is not None
        self._wait(delivery, delivery.attempt, delivery.not_before_ms, lambda: self._ack(delivery))

    def return_unstarted(self, delivery: Delivery) -> None:
        """Give a job back that was not tried."""
        delivery.channel.give_back(delivery.tag, counted=False)

    # ── the four ways ───────────────────────────────────────────────────────────────────────────

    def _retry_later(self, delivery: Delivery, decision: RetryLater) -> None:
        def confirmed() -> None:
            self._metrics.retried(delivery)
            self._note(
                Event.JOB_RETRY_SCHEDULED,
                delivery,
                f"{decision.failure.message}; attempt {delivery.attempt + 1} in {decision.delay_s:.1f} s",
                logging.WARNING,
            )
            self._ack(delivery)

        due_ms = int(time.time() * 1000 + decision.delay_s * 1000)
        self._wait(delivery, delivery.attempt + 1, due_ms, confirmed)

    def _wait(self, delivery: Delivery, attempt: int, due_ms: int, confirmed: Callable[[], None]) -> None:
        level = level_for(due_ms - int(time.time() * 1000))
        properties = messages.waiting_copy(delivery, attempt=attempt, not_before_ms=due_ms)
        self._copy(delivery, self._retry, retry_key(level, delivery.task), properties, confirmed)

    def _dead_letter(self, delivery: Delivery, decision: DeadLetter) -> None:
        def confirmed() -> None:
            self._metrics.dead_lettered(delivery)
            code = decision.failure.code
            self._note(Event.JOB_DEAD_LETTERED, delivery, f"{code}: {decision.failure.message}", logging.ERROR)
            self._answer(delivery, decision.body, decision.failure, lambda: self._ack(delivery))

        now_ms = int(time.time() * 1000)
        properties = messages.dead_copy(delivery, decision.failure, now_ms=now_ms, worker=self._worker)
        # A key that is no task of this queue would not find the dead queue.
        key = delivery.task if delivery.task.startswith(f"{delivery.queue}.") else delivery.queue
        self._copy(delivery, self._dead, key, properties, confirmed)

    def _copy(
        self,
        delivery: Delivery,
        exchange: str,
        key: str,
        properties: Any,
        confirmed: Callable[[], None],
        tries: int = 0,
    ) -> None:
        """Publish a copy of the job. Without the original's channel there would soon be two of it."""

        def done(confirm: Confirm) -> None:
            if confirm is Confirm.ACKED:
                confirmed()
                return
            pause = _pause_s(tries)
            text = f"{exchange} {key}: the copy was {confirm.value}; tried again in {pause:g} s"
            self._note(Event.JOB_SETTLEMENT_DEFERRED, delivery, text, logging.ERROR)
            asyncio.get_running_loop().call_later(
                pause, self._copy, delivery, exchange, key, properties, confirmed, tries + 1
            )

        if delivery.channel.open:
            self._publisher.publish(exchange, key, properties, delivery.body, done)

    # ── the answer ──────────────────────────────────────────────────────────────────────────────

    def _answer(
        self, delivery: Delivery, body: bytes | None, failure: Failure | None, settled: Callable[[], None]
    ) -> None:
        """Bring the result to whoever awaits it, then call `settled`."""
        stores, replies = awaits(delivery)
        if body is None and failure is not None and (stores or replies):
            body = self._error_result(delivery, failure)
        if body is None or not (stores or replies):
            settled()
        elif not stores or self._store is None:
            self._reply(delivery, body, settled)
        else:
            self._keep(delivery, body, (lambda: self._reply(delivery, body, settled)) if replies else settled)

    def _keep(self, delivery: Delivery, body: bytes, settled: Callable[[], None]) -> None:
        def done(first: bool) -> None:
            if not first:
                self._metrics.duplicate_result(delivery)
            settled()

        assert self._store is not None
        self._store.put(delivery.job_id, body, delivery.reply_to, done)

    def _reply(self, delivery: Delivery, body: bytes, settled: Callable[[], None], tries: int = 0) -> None:
        def done(confirm: Confirm) -> None:
            if confirm is Confirm.REFUSED and delivery.channel.open:
                # Seen once while the requester's queue was being deleted; the next answer is a return.
                again = partial(self._reply, delivery, body, settled, tries + 1)
                asyncio.get_running_loop().call_later(_pause_s(tries), again)
                return
            if confirm is not Confirm.ACKED:
                self._metrics.unroutable_reply(delivery)
                self._note(Event.JOB_REPLY_UNROUTABLE, delivery, "the requester is gone", logging.INFO)
            settled()

        if delivery.reply_to is None:
            settled()
            return
        self._publisher.publish(self._replies, delivery.reply_to, messages.reply(delivery), body, done)

    def _error_result(self, delivery: Delivery, failure: Failure) -> bytes | None:
        """The answer that the parent writes itself: the child is dead or never saw the job.

        None: the message has no proper id or task, which a result must carry.
        """
        if not (is_job_id(delivery.job_id) and is_task(delivery.task)):
            return None
        result = Result(
            job_id=delivery.job_id,
            task=delivery.task,
            tv=task_version(delivery),
            attempt=delivery.attempt if failure.code in _TRIED else 0,
            finished_at=int(time.time() * 1000),
            worker=self._worker,
            error=failure,
        )
        return encode_result(result)

    def _ack(self, delivery: Delivery) -> None:
        delivery.channel.ack(delivery.tag)

    def _note(self, event: Event, delivery: Delivery, text: str, level: int) -> None:
        _log.log(level, text, extra={"event": event, **identity(delivery)})


def _pause_s(tries: int) -> float:
    return _AGAIN_S[min(tries, len(_AGAIN_S) - 1)]


def awaits(delivery: Delivery) -> tuple[bool, bool]:
    """Whether the result is to be stored, and whether it is to be replied."""
    return delivery.mode in _STORES, delivery.mode in _REPLIES and bool(delivery.reply_to)


def task_version(delivery: Delivery) -> int:
    """The version that a result names: the header's if it is one, else 1."""
    version = delivery.version
    return version if version is not None and 0 < version < 2**31 else 1


def identity(delivery: Delivery) -> dict[str, object]:
    """The fields by which log lines name a job."""
    return {
        "job_id": delivery.job_id,
        "task": delivery.task,
        "queue": delivery.queue,
        "attempt": delivery.attempt,
        "traceparent": delivery.kept.get("traceparent"),
    }
