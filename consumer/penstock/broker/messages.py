"""The three messages that a worker publishes: a reply, a copy that waits, a copy that is dead.

Copies carry the body unread and only the headers of the registry: what the broker added (x-death and its
relatives) is left behind, because RabbitMQ 3.10 drops a message whose target it finds in a copied x-death.
"""

from __future__ import annotations

from typing import Any, Final

from pika import BasicProperties

from penstock.domain.delivery import Delivery
from penstock.wire.failure import Failure
from penstock.wire.registry import (
    CONTENT_TYPE,
    HEADER_ATTEMPT,
    HEADER_DEADLINE,
    HEADER_ERROR_CODE,
    HEADER_ERROR_MESSAGE,
    HEADER_FAILED_AT,
    HEADER_NOT_BEFORE,
    HEADER_RESULT_MODE,
    HEADER_TASK_VERSION,
    HEADER_USER,
    HEADER_WORKER,
    TYPE_RESULT,
)

_PERSISTENT: Final = 2
_TRANSIENT: Final = 1


def reply(delivery: Delivery) -> BasicProperties:
    """Properties of a result; it lives in a queue that dies with its requester."""
    return BasicProperties(
        content_type=CONTENT_TYPE,
        type=TYPE_RESULT,
        correlation_id=delivery.job_id,
        delivery_mode=_TRANSIENT,
    )


def waiting_copy(delivery: Delivery, *, attempt: int, not_before_ms: int) -> BasicProperties:
    """Properties of a copy that comes back at `not_before_ms` to start attempt `attempt`."""
    headers = _kept(delivery)
    headers[HEADER_ATTEMPT] = attempt
    headers[HEADER_NOT_BEFORE] = not_before_ms
    return _copy(delivery, headers)


def dead_copy(delivery: Delivery, failure: Failure, *, now_ms: int, worker: str) -> BasicProperties:
    """Properties of a copy for the dead queue, with what went wrong."""
    headers = _kept(delivery)
    headers[HEADER_ATTEMPT] = delivery.attempt
    headers[HEADER_ERROR_CODE] = str(failure.code)
    headers[HEADER_ERROR_MESSAGE] = failure.message
    headers[HEADER_FAILED_AT] = now_ms
    headers[HEADER_WORKER] = worker
    return _copy(delivery, headers)


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
        HEADER_TASK_VERSION: delivery.version,
        HEADER_DEADLINE: delivery.deadline_ms,
        HEADER_USER: delivery.user,
    }
    headers.update({name: value for name, value in optional.items() if value is not None})
    return headers
