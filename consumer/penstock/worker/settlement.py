"""Carrying a decision out: everything that stands in for the message is confirmed before it is acked.

    Complete     store or reply ─confirmed─▶ ack      a long result goes into the store, and its reply names it there
    RetryLater   waiting copy ───confirmed─▶ ack
    DeadLetter   dead copy, and store or reply ─confirmed─▶ ack
    give back    nack, or a waiting copy where a nack would be counted

A crash in between repeats the job; nothing loses it. What the broker refuses is tried again while the delivery is
still ours; the prefetch bounds how much can wait that way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from penstock.broker import messages
from penstock.broker.ports import Confirm, Publisher
from penstock.domain.decision import Complete, DeadLetter, Decision, RetryLater
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.spent import Spent
from penstock.domain.topology import Topology, level_for, retry_key
from penstock.memory_file import MemoryFile
from penstock.results.ports import ResultStore
from penstock.telemetry.metrics import Metrics
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure
from penstock.wire.headers import is_job_id, is_task
from penstock.wire.registry import BLOB_GRACE_MS, BLOB_SETTLED_MS, BLOB_TTL_MS, Event, ResultMode
from penstock.wire.result import Result, encode_result
from penstock.worker.in_hand import InHand

_log = logging.getLogger(__name__)

#: Waits before a refused publication is tried again, in seconds; the last one repeats.
_AGAIN_S: Final = (0.1, 1.0, 5.0, 15.0)
_REPLIES: Final = frozenset({ResultMode.REPLY, ResultMode.REPLY_AND_STORED})
#: Outcomes of attempts that had begun.
_TRIED: Final = frozenset({OutcomeKind.RAISED, OutcomeKind.CHILD_LOST, OutcomeKind.TIMED_OUT})


class _Long(NamedTuple):
    """A result too long for a message."""

    blob: Blob
    file: MemoryFile


_Answer: TypeAlias = bytes | _Long


class Settlement:
    """Settles the deliveries of a worker.

    Args:
        publisher: For replies and copies.
        store: For stored results; None: this worker keeps none.
        topology: Names of the namespace.
        in_hand: Told which jobs are settled.
        gives_back_free: Whether the broker counts nothing when a job is given back.
        worker: The worker's name.
        max_body_bytes: Longest result that is replied in a message.
        metrics: Where settlements are counted.
    """

    def __init__(
        self,
        publisher: Publisher,
        store: ResultStore | None,
        topology: Topology,
        *,
        in_hand: InHand,
        gives_back_free: Callable[[], bool],
        worker: str,
        max_body_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._replies = topology.name("replies")
        self._retry = topology.name("retry")
        self._dead = topology.name("dead")
        self._in_hand = in_hand
        self._gives_back_free = gives_back_free
        self._worker = worker
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics

    def settle(self, delivery: Delivery, outcome: Outcome, decision: Decision) -> None:
        """Carry a decision out."""
        if isinstance(decision, Complete):
            answer: _Answer | None = decision.body
            if decision.failure is not None:
                answer = self._error_result(delivery, outcome, decision.failure, decision.spent)
            elif outcome.file is not None:
                assert outcome.blob is not None
                answer = _Long(outcome.blob, outcome.file)
            self._answer(delivery, answer)
        elif isinstance(decision, RetryLater):
            self._retry_later(delivery, decision)
        elif isinstance(decision, DeadLetter):
            self._dead_letter(delivery, outcome, decision)

    # ── jobs that are not run now ───────────────────────────────────────────────────────────────

    def postpone(self, delivery: Delivery, due_ms: int) -> None:
        """Let the job wait in the broker until `due_ms`; its attempt stays the same."""
        self._wait(delivery, delivery.spent, due_ms, lambda: self._ack(delivery))

    def refresh(self, delivery: Delivery) -> None:
        """Put a fresh copy in place of a message that the broker would soon give up.

        The copy knows how often the job was handed out, so it runs alone, and not for ever.
        """

        def confirmed() -> None:
            text = f"handed out {delivery.spent.deliveries} times without an end; a fresh copy runs alone"
            self._note(Event.JOB_REFRESHED, delivery, text, logging.WARNING)
            self._ack(delivery)

        self._wait(delivery, delivery.spent, int(time.time() * 1000), confirmed)

    def return_unstarted(self, delivery: Delivery) -> None:
        """Give a job back of which nothing is spent. Where the broker counts that, a copy goes in its place."""
        self._give_back(delivery, delivery.spent)

    def return_begun(self, delivery: Delivery) -> None:
        """Give a job back that was cut off while it ran: a hand-out that came to no end, so that its fence grows."""
        self._give_back(delivery, replace(delivery.spent, deliveries=delivery.spent.deliveries + 1))

    def _give_back(self, delivery: Delivery, spent: Spent) -> None:
        if self._gives_back_free() or not (delivery.channel.open and is_job_id(delivery.job_id)):
            delivery.channel.give_back(delivery.tag, counted=False)
            self._in_hand.release(delivery, ended=False)
        else:
            due_ms = max(int(time.time() * 1000), delivery.not_before_ms or 0)
            self._wait(delivery, spent, due_ms, lambda: self._ack(delivery))

    def found_ended(self, delivery: Delivery) -> None:
        """The worker has ended this job before; its ack was lost."""
        self._found(delivery)
        delivery.channel.ack(delivery.tag)
        self._keep_body(delivery, BLOB_SETTLED_MS)

    def found_result(self, delivery: Delivery, body: bytes) -> None:
        """The job's result is stored: it is only brought to whoever awaits a reply."""
        self._found(delivery)
        if awaits(delivery)[1]:
            self._reply(delivery, body)
        else:
            self._end(delivery)

    def _found(self, delivery: Delivery) -> None:
        self._metrics.found_done(delivery)
        self._note(Event.JOB_FOUND_DONE, delivery, "it has a result already and is not run again", logging.INFO)

    # ── copies ──────────────────────────────────────────────────────────────────────────────────

    def _retry_later(self, delivery: Delivery, decision: RetryLater) -> None:
        def confirmed() -> None:
            self._metrics.retried(delivery)
            wait_s = max(0.0, decision.due_ms / 1000 - time.time())
            text = f"{decision.failure.message}; attempt {decision.spent.attempts + 1} in {wait_s:.1f} s"
            self._note(Event.JOB_RETRY_SCHEDULED, delivery, text, logging.WARNING)
            self._ack(delivery)

        self._wait(delivery, decision.spent, decision.due_ms, confirmed)

    def _wait(self, delivery: Delivery, spent: Spent, due_ms: int, confirmed: Callable[[], None]) -> None:
        wait_ms = due_ms - int(time.time() * 1000)
        level = level_for(wait_ms)
        if delivery.deadline_ms is None:
            self._keep_body(delivery, max(0, wait_ms) + BLOB_TTL_MS)
        properties = messages.waiting_copy(delivery, spent, not_before_ms=due_ms)
        self._copy(delivery, self._retry, retry_key(level, delivery.task), properties, confirmed)

    def _dead_letter(self, delivery: Delivery, outcome: Outcome, decision: DeadLetter) -> None:
        def confirmed() -> None:
            self._metrics.dead_lettered(delivery)
            self._keep_body(delivery, BLOB_TTL_MS)
            delivery.blob = None  # as long as that, whatever comes
            failure = decision.failure
            self._note(Event.JOB_DEAD_LETTERED, delivery, f"{failure.code}: {failure.message}", logging.ERROR)
            body = self._error_result(delivery, outcome, failure, decision.spent)
            self._answer(delivery, body)

        now_ms = int(time.time() * 1000)
        properties = messages.dead_copy(
            delivery, decision.failure, decision.spent, outcome, now_ms=now_ms, worker=self._worker
        )
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
            pause = pause_s(tries)
            text = f"{exchange} {key}: the copy was {confirm.value}; tried again in {pause:g} s"
            self._note(Event.JOB_SETTLEMENT_DEFERRED, delivery, text, logging.ERROR)
            asyncio.get_running_loop().call_later(
                pause, self._copy, delivery, exchange, key, properties, confirmed, tries + 1
            )

        if delivery.channel.open:
            self._publisher.publish(exchange, key, properties, delivery.body, done)
        else:
            self._in_hand.release(delivery, ended=False)

    # ── the answer ──────────────────────────────────────────────────────────────────────────────

    def _answer(self, delivery: Delivery, answer: _Answer | None) -> None:
        """Bring the result to whoever awaits it; then the job is over."""
        stores, replies = awaits(delivery)
        if answer is None or not (stores or replies):
            self._end(delivery)
        elif not stores or self._store is None:
            self._reply(delivery, answer)
        else:
            self._keep(self._store, delivery, answer, replies=replies)

    def _keep(self, store: ResultStore, delivery: Delivery, answer: _Answer, *, replies: bool) -> None:
        def done(first: bool) -> None:
            if not first:
                self._metrics.duplicate_result(delivery)
            if not replies:
                self._end(delivery)
            elif not first:
                # What is replied is what is stored, or the caller could see two results.
                store.find(delivery.job_id, lambda kept: self._reply(delivery, kept or answer))
            elif isinstance(answer, bytes):
                self._reply(delivery, answer)
            else:
                self._send(delivery, b"", answer.blob)

        if isinstance(answer, bytes):
            store.put(delivery.job_id, answer, delivery.reply_to, done)
        else:
            store.put_file(delivery.job_id, answer.blob, answer.file, delivery.reply_to, done, as_blob=replies)

    def _reply(self, delivery: Delivery, answer: _Answer) -> None:
        if isinstance(answer, bytes) and len(answer) > self._max_body_bytes:
            answer = _Long(Blob.of(answer), MemoryFile.holding(answer))
        if isinstance(answer, bytes):
            self._send(delivery, answer)
        else:
            assert self._store is not None  # where there is none, nothing is too long for a message
            blob, file = answer
            self._store.blobs.keep(delivery.job_id, blob, file, BLOB_GRACE_MS, lambda: self._send(delivery, b"", blob))

    def _send(self, delivery: Delivery, body: bytes, blob: Blob | None = None, tries: int = 0) -> None:
        """Publish the reply; `blob`: it is in the store."""

        def done(confirm: Confirm) -> None:
            if confirm is Confirm.ACKED:
                self._end(delivery)
            elif confirm is Confirm.RETURNED:
                self._metrics.unroutable_reply(delivery)
                self._note(Event.JOB_REPLY_UNROUTABLE, delivery, "the requester is gone", logging.INFO)
                # Whoever asks again has not had the answer.
                self._ack(delivery)
            elif delivery.channel.open:
                # Seen once while the requester's queue was being deleted; the next answer is a return.
                again = partial(self._send, delivery, body, blob, tries + 1)
                asyncio.get_running_loop().call_later(pause_s(tries), again)
            else:
                # Nobody has the answer, and the broker hands the job out again.
                self._in_hand.release(delivery, ended=False)

        if delivery.reply_to is None:
            self._end(delivery)
            return
        self._publisher.publish(self._replies, delivery.reply_to, messages.reply(delivery, blob), body, done)

    def _error_result(self, delivery: Delivery, outcome: Outcome, failure: Failure, spent: Spent) -> bytes | None:
        """The answer of a job that failed.

        None: nobody awaits it, or the message has no proper id or task, which a result must carry.
        """
        if not (any(awaits(delivery)) and is_job_id(delivery.job_id) and is_task(delivery.task)):
            return None
        now_ms = int(time.time() * 1000)
        ran = outcome.kind is OutcomeKind.RAISED or (outcome.kind is OutcomeKind.CANCELLED and outcome.tries > 0)
        result = Result(
            job_id=delivery.job_id,
            task=delivery.task,
            tv=task_version(delivery),
            attempt=_attempts(outcome, spent),
            started_at=now_ms - int(outcome.run_s * 1000) if ran else None,
            finished_at=now_ms,
            worker=self._worker,
            error=failure,
        )
        return encode_result(result)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def _end(self, delivery: Delivery) -> None:
        """The job is over."""
        delivery.channel.ack(delivery.tag)
        self._keep_body(delivery, BLOB_SETTLED_MS)
        self._in_hand.release(delivery, ended=True)

    def _ack(self, delivery: Delivery) -> None:
        """The message is done with; the job may come again."""
        delivery.channel.ack(delivery.tag)
        self._in_hand.release(delivery, ended=False)

    def _keep_body(self, delivery: Delivery, ttl_ms: int) -> None:
        """Let the job's body, if it is in the store, stay there for so long from now on."""
        if delivery.blob is not None and delivery.blob.size > 0 and self._store is not None:
            self._store.blobs.expire(delivery.job_id, delivery.blob, ttl_ms)

    def _note(self, event: Event, delivery: Delivery, text: str, level: int) -> None:
        _log.log(level, text, extra={"event": event, **identity(delivery)})


def _attempts(outcome: Outcome, spent: Spent) -> int:
    """The attempt that ended the job, 0 when it was never tried; a cancelled one is charged to no budget."""
    if outcome.kind is OutcomeKind.CANCELLED:
        return spent.attempts + outcome.tries
    return spent.attempts if outcome.kind in _TRIED else 0


def pause_s(tries: int) -> float:
    """Seconds before what the broker has refused is published again, after so many tries before."""
    return _AGAIN_S[min(tries, len(_AGAIN_S) - 1)]


def awaits(delivery: Delivery) -> tuple[bool, bool]:
    """Whether the result is to be stored, and whether it is to be replied."""
    return delivery.stores, delivery.mode in _REPLIES and bool(delivery.reply_to)


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
