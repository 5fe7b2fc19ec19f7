"""The messages that a worker publishes: what is copied, what is left behind."""

from __future__ import annotations

from typing import Any

import pytest
from pika import BasicProperties

from penstock.broker import messages
from penstock.wire.failure import Failure
from penstock.wire.registry import ResultMode
from tests.unit.builders import JOB_ID, make_delivery

FAILURE = Failure(code="TASK_ERROR", message="ValueError: no", retryable=False)
TRACE = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "tracestate": "x=y", "x-contract": "abcd"}
FULL: dict[str, Any] = {
    "attempt": 2,
    "version": 3,
    "deadline_ms": 1_730_000_030_000,
    "not_before_ms": 1_730_000_000_000,
    "mode": ResultMode.REPLY_AND_STORED,
    "reply_to": "shop.web-1",
    "user": "shop",
    "priority": 4,
    "kept": TRACE,
}


def waiting(**changes: Any) -> BasicProperties:
    return messages.waiting_copy(make_delivery(**changes), attempt=3, not_before_ms=1_730_000_005_000)


def dead(**changes: Any) -> BasicProperties:
    return messages.dead_copy(make_delivery(**changes), FAILURE, now_ms=1_730_000_009_000, worker="w.1")


def test_a_waiting_copy_carries_the_job_and_what_changes() -> None:
    # Given a job with everything that a job can have
    # When a copy is made that waits for attempt 3
    made = waiting(**FULL)

    # Then the properties are the job's and the headers say when and which attempt
    assert (made.type, made.content_type, made.delivery_mode) == ("job.v1", "application/vnd.msgpack", 2)
    assert (made.message_id, made.correlation_id) == (JOB_ID, JOB_ID)
    assert (made.reply_to, made.priority) == ("shop.web-1", 4)
    assert made.headers == {
        **TRACE,
        "x-attempt": 3,
        "x-not-before": 1_730_000_005_000,
        "x-result": "reply+stored",
        "x-task-version": 3,
        "x-deadline": 1_730_000_030_000,
        "x-user": "shop",
    }


def test_a_dead_copy_says_what_went_wrong_where_and_when() -> None:
    made = dead(**FULL)
    assert (made.type, made.message_id, made.delivery_mode) == ("job.v1", JOB_ID, 2)
    assert made.headers == {
        **TRACE,
        "x-attempt": 2,
        "x-result": "reply+stored",
        "x-task-version": 3,
        "x-deadline": 1_730_000_030_000,
        "x-user": "shop",
        "x-error-code": "TASK_ERROR",
        "x-error-message": "ValueError: no",
        "x-failed-at": 1_730_000_009_000,
        "x-worker": "w.1",
    }


@pytest.mark.parametrize("make", [waiting, dead])
def test_what_the_job_does_not_have_the_copy_does_not_have_either(make: Any) -> None:
    # Given a job with nothing but its id
    made = make()

    # When it is copied, then no header is empty
    assert (made.reply_to, made.priority) == (None, None)
    assert {"x-user", "x-deadline", "x-task-version"}.isdisjoint(made.headers)
    assert None not in made.headers.values()


@pytest.mark.parametrize("make", [waiting, dead])
def test_a_copy_names_its_user_in_a_header_and_never_as_user_id(make: Any) -> None:
    """RabbitMQ refuses a user_id that is not the publishing connection's."""
    made = make(**FULL)
    assert made.user_id is None
    assert made.headers["x-user"] == "shop"


@pytest.mark.parametrize("make", [waiting, dead])
def test_a_copy_neither_expires_nor_changes_the_headers_of_the_delivery(make: Any) -> None:
    # Given a delivery whose headers somebody else may still read
    kept = dict(TRACE)

    # When it is copied
    made = make(**{**FULL, "kept": kept})

    # Then they are as they were
    assert made.expiration is None
    assert kept == TRACE


def test_copies_can_be_encoded_with_64_bit_integers() -> None:
    """Milliseconds do not fit into 32 bits."""
    for made in (waiting(**FULL), dead(**FULL)):
        pieces = made.encode()
        decoded = BasicProperties()
        decoded.decode(b"".join(pieces))
        assert decoded.headers == made.headers


def test_a_reply_is_correlated_with_its_job_and_does_not_outlive_its_requester() -> None:
    # Given a job with headers and a user
    made = messages.reply(make_delivery(**FULL))

    # When a result is published, then nothing of the job's own properties travels with it
    assert (made.type, made.content_type) == ("result.v1", "application/vnd.msgpack")
    assert (made.correlation_id, made.delivery_mode) == (JOB_ID, 1)
    assert (made.headers, made.reply_to, made.user_id, made.message_id) == (None, None, None, None)
