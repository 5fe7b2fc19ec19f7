"""What a worker publishes: a reply and what comes before it, copies that wait or are dead, answers; and commands.

Copies carry the body unread and only the headers of the registry: what the broker added (x-death and its
relatives) is left behind, because RabbitMQ 3.10 drops a message whose target it finds in a copied x-death.
"""

from __future__ import annotations

from typing import Any, Final

from pika import BasicProperties

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome
from penstock.domain.spent import Spent
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure
from penstock.wire.registry import (
    CONTENT_TYPE,
    HEADER_ATTEMPT,
    HEADER_BACKOFF_MS,
    HEADER_CRASHES,
    HEADER_CREDIT,
    HEADER_DEADLINE,
    HEADER_DELIVERIES,
    HEADER_ERROR_CODE,
    HEADER_ERROR_MESSAGE,
    HEADER_ERROR_TYPE,
    HEADER_EXIT,
    HEADER_FAILED_AT,
    HEADER_FENCE,
    HEADER_FIRST_AT,
    HEADER_HANGS,
    HEADER_JOB,
    HEADER_MAX_RESULT,
    HEADER_NOT_BEFORE,
    HEADER_ORDER,
    HEADER_PEAK_RSS,
    HEADER_QUEUE,
    HEADER_REPEAT,
    HEADER_REPLAYS,
    HEADER_RESULT_MODE,
    HEADER_RUN_MS,
    HEADER_SEQ,
    HEADER_SLOTS,
    HEADER_STEP,
    HEADER_TASK_VERSION,
    HEADER_TRACE,
    HEADER_USER,
    HEADER_WORKER,
    MAX_TRACE_BYTES,
    TYPE_CANCEL,
    TYPE_CANCELLED,
    TYPE_CREDIT,
    TYPE_ITEM,
    TYPE_ORDER,
    TYPE_PROGRESS,
    TYPE_RESULT,
    TYPE_STATUS,
    CancelStep,
    Order,
)

_PERSISTENT: Final = 2
_TRANSIENT: Final = 1


def reply(delivery: Delivery, blob: Blob | None = None) -> BasicProperties:
    """Properties of a result; it lives in a queue that dies with its requester. `blob`: it is in the store."""
    headers: dict[str, Any] = blob.headers() if blob is not None else {}
    if delivery.yields and not delivery.stores:
        headers = {**headers, HEADER_FENCE: delivery.fence}  # that of the items that came as messages
    return BasicProperties(
        headers=headers or None,
        content_type=CONTENT_TYPE,
        type=TYPE_RESULT,
        correlation_id=delivery.job_id,
        delivery_mode=_TRANSIENT,
    )


def items(delivery: Delivery, seq: int, *, worker: str) -> BasicProperties:
    """Properties of items that a job yields, the first of which has this number, from 0."""
    return _told(delivery, TYPE_ITEM, {HEADER_FENCE: delivery.fence, HEADER_SEQ: seq, HEADER_WORKER: worker})


def progress(delivery: Delivery, *, worker: str) -> BasicProperties:
    """Properties of what a job says of how far it is."""
    return _told(delivery, TYPE_PROGRESS, {HEADER_FENCE: delivery.fence, HEADER_WORKER: worker})


def _told(delivery: Delivery, type_: str, headers: dict[str, Any]) -> BasicProperties:
    return BasicProperties(
        headers=headers,
        content_type=CONTENT_TYPE,
        type=type_,
        correlation_id=delivery.job_id,
        delivery_mode=_TRANSIENT,
    )


def credit(job_id: str, *, worker: str, fence: int, upto: int, user: str) -> BasicProperties:
    """Properties of the command that lets a job send more items; its body is empty.

    Args:
        job_id: The job.
        worker: The worker that sends the items.
        fence: That of the items.
        upto: How many the worker may have sent in all; -1: there is no reader any more.
        user: Who sends it: the connection's user.
    """
    return BasicProperties(
        headers={HEADER_JOB: job_id, HEADER_WORKER: worker, HEADER_FENCE: fence, HEADER_CREDIT: upto},
        type=TYPE_CREDIT,
        user_id=user,
        delivery_mode=_TRANSIENT,
    )


def cancel(job_id: str, *, user: str, reply_to: str | None = None) -> BasicProperties:
    """Properties of the command to cancel a job; its body is empty.

    Args:
        job_id: The job.
        user: Who sends it: the connection's user.
        reply_to: Where workers acknowledge it; None: nowhere.
    """
    return BasicProperties(
        headers={HEADER_JOB: job_id},
        type=TYPE_CANCEL,
        message_id=job_id,
        correlation_id=job_id,
        reply_to=reply_to,
        user_id=user,
        delivery_mode=_TRANSIENT,
    )


def cancelled(job_id: str, *, worker: str, step: CancelStep) -> BasicProperties:
    """Properties of what a worker answers to the command to cancel a job; its body is empty."""
    return BasicProperties(
        headers={HEADER_JOB: job_id, HEADER_WORKER: worker, HEADER_STEP: str(step)},
        type=TYPE_CANCELLED,
        correlation_id=job_id,
        delivery_mode=_TRANSIENT,
    )


def order(
    what: Order, *, queue: str | None, worker: str | None, user: str, reply_to: str | None, slots: int | None = None
) -> BasicProperties:
    """Properties of a command of an operator; its body is empty.

    Args:
        what: What workers are to do.
        queue: The queue that it is about; None: all of them.
        worker: The worker that is to do it; None: every one.
        user: Who sends it: the connection's user.
        reply_to: Where workers answer; None: nowhere.
        slots: How many jobs of the queue are to run at once. Defaults to None: that is not what it is about.
    """
    headers = {HEADER_ORDER: str(what), HEADER_QUEUE: queue, HEADER_WORKER: worker, HEADER_SLOTS: slots}
    return BasicProperties(
        headers={name: value for name, value in headers.items() if value is not None},
        type=TYPE_ORDER,
        reply_to=reply_to,
        user_id=user,
        delivery_mode=_TRANSIENT,
    )


def status(*, worker: str) -> BasicProperties:
    """Properties of what a worker answers to an operator; its body says how it is."""
    return BasicProperties(
        headers={HEADER_WORKER: worker}, content_type=CONTENT_TYPE, type=TYPE_STATUS, delivery_mode=_TRANSIENT
    )


def waiting_copy(delivery: Delivery, spent: Spent, *, not_before_ms: int) -> BasicProperties:
    """Properties of a copy that comes back at `not_before_ms` for the attempt that follows what is spent."""
    headers = {**_kept(delivery), **_account(spent)}
    headers[HEADER_NOT_BEFORE] = not_before_ms
    headers[HEADER_FENCE] = delivery.fence
    if spent.deliveries:
        headers[HEADER_DELIVERIES] = spent.deliveries
    return _copy(delivery, headers)


def dead_copy(
    delivery: Delivery, failure: Failure, spent: Spent, outcome: Outcome, *, now_ms: int, worker: str
) -> BasicProperties:
    """Properties of a copy for the dead queue, with what went wrong and all that is known of it."""
    headers = {**_kept(delivery), **_account(spent)}
    headers[HEADER_ATTEMPT] = spent.attempts  # the last one; 0 when the job was refused
    headers[HEADER_ERROR_CODE] = str(failure.code)
    headers[HEADER_ERROR_MESSAGE] = failure.message
    headers[HEADER_FAILED_AT] = now_ms
    headers[HEADER_WORKER] = worker
    evidence = outcome.evidence
    known = {
        HEADER_ERROR_TYPE: failure.exc_type,
        HEADER_EXIT: evidence.exit if evidence else None,
        HEADER_PEAK_RSS: evidence.peak_rss if evidence else None,
        HEADER_TRACE: _end_of(outcome.trace or (evidence.stack if evidence else None)),
    }
    headers.update({name: value for name, value in known.items() if value is not None})
    return _copy(delivery, headers)


def _account(spent: Spent) -> dict[str, Any]:
    """What the job has spent; what is nothing is left out."""
    counts = {
        HEADER_CRASHES: spent.crashes,
        HEADER_HANGS: spent.hangs,
        HEADER_FIRST_AT: spent.first_at_ms,
        HEADER_RUN_MS: spent.run_ms,
        HEADER_BACKOFF_MS: spent.backoff_ms,
    }
    return {HEADER_ATTEMPT: spent.attempts + 1, **{name: count for name, count in counts.items() if count}}


def _end_of(trace: str | None) -> str | None:
    """The end of a traceback, where the error stands, as far as it may be long in a header."""
    return trace and trace.encode(errors="replace")[-MAX_TRACE_BYTES:].decode(errors="ignore")


def _copy(delivery: Delivery, headers: dict[str, Any]) -> BasicProperties:
    # No user_id: only a user with the tag impersonator could keep the producer's. The header names it.
    return BasicProperties(
        content_type=CONTENT_TYPE,
        type=delivery.type or None,
        message_id=delivery.job_id,
        correlation_id=delivery.job_id,
        reply_to=delivery.reply_to,
        priority=delivery.priority,
        delivery_mode=_PERSISTENT,
        headers=headers,
    )


def _kept(delivery: Delivery) -> dict[str, Any]:
    headers = dict(delivery.kept)
    headers[HEADER_RESULT_MODE] = str(delivery.mode)
    optional = {
        HEADER_REPEAT: delivery.repeat or None,
        HEADER_REPLAYS: delivery.replays or None,
        HEADER_TASK_VERSION: delivery.version,
        HEADER_DEADLINE: delivery.deadline_ms,
        HEADER_USER: delivery.user,
        HEADER_MAX_RESULT: delivery.max_result or None,
    }
    if delivery.blob is not None and delivery.blob.size >= 0:
        headers.update(delivery.blob.headers())
    headers.update({name: value for name, value in optional.items() if value is not None})
    return headers
