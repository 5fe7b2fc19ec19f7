"""The messages that a worker publishes: what is copied, what is left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pika import BasicProperties

from penstock.broker import messages
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.spent import NOTHING, Spent
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure
from penstock.wire.registry import MAX_TRACE_BYTES, ResultMode
from tests.unit.builders import JOB_ID, make_delivery

FAILURE = Failure(code="TASK_ERROR", message="ValueError: no", retryable=False)
RAISED = Outcome(OutcomeKind.RAISED, failure=FAILURE)
#: A job that has had two attempts, neither of them a crash or a hang.
TWICE = Spent(failures=2)
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
    "repeat": 1,
    "replays": 2,
}


def waiting(spent: Spent = TWICE, **changes: Any) -> BasicProperties:
    return messages.waiting_copy(make_delivery(**changes), spent, not_before_ms=1_730_000_005_000)


def dead(spent: Spent = TWICE, outcome: Outcome = RAISED, **changes: Any) -> BasicProperties:
    assert outcome.failure is not None
    delivery = make_delivery(**changes)
    return messages.dead_copy(delivery, outcome.failure, spent, outcome, now_ms=1_730_000_009_000, worker="w.1")


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
        "x-fence": 10_000,
        "x-not-before": 1_730_000_005_000,
        "x-repeat": 1,
        "x-replays": 2,
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
        "x-repeat": 1,
        "x-replays": 2,
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
    assert {"x-user", "x-deadline", "x-task-version", "x-repeat", "x-replays"}.isdisjoint(made.headers)
    assert None not in made.headers.values()


ACCOUNT: dict[str, Any] = {
    "failures": 1,
    "crashes": 2,
    "hangs": 3,
    "deliveries": 9,
    "first_at_ms": 1_730_000_001_000,
    "run_ms": 4000,
    "backoff_ms": 5000,
}


@pytest.mark.parametrize(("make", "attempt"), [(waiting, 7), (dead, 6)])
def test_a_copy_carries_the_account_of_what_the_job_has_spent(make: Any, attempt: int) -> None:
    # Given a job that has spent something of everything
    headers = make(Spent(**ACCOUNT)).headers

    # When it is copied, then the next worker, or who looks into the dead queue, knows all of it
    account = {
        "x-attempt": attempt,
        "x-crashes": 2,
        "x-hangs": 3,
        "x-first-at": 1_730_000_001_000,
        "x-run-ms": 4000,
        "x-backoff-ms": 5000,
    }
    assert headers == headers | account


def test_a_waiting_copy_carries_how_often_the_job_was_handed_out_without_an_end() -> None:
    assert waiting(Spent(deliveries=9)).headers["x-deliveries"] == 9


@pytest.mark.parametrize("make", [waiting, dead])
def test_what_is_not_spent_is_not_written(make: Any) -> None:
    headers = make(NOTHING).headers
    assert {"x-crashes", "x-hangs", "x-deliveries", "x-first-at", "x-run-ms", "x-backoff-ms"}.isdisjoint(headers)


def test_a_copy_of_a_job_that_was_never_tried_waits_for_its_first_attempt_or_died_before_it() -> None:
    assert waiting(NOTHING).headers["x-attempt"] == 1
    assert dead(NOTHING).headers["x-attempt"] == 0


# ── evidence ────────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_copy_has_the_evidence_of_a_child_that_died() -> None:
    # Given a child that died of a segmentation fault
    evidence = Evidence(exit="SIGSEGV", peak_rss=3 * 2**30, stack="Fatal Python error")
    outcome = Outcome(OutcomeKind.CHILD_LOST, failure=FAILURE, evidence=evidence)

    # When its job is dead
    headers = dead(outcome=outcome).headers

    # Then the copy says of what it died, what it held, and where it was
    assert (headers["x-exit"], headers["x-peak-rss"], headers["x-trace"]) == (
        "SIGSEGV",
        3 * 2**30,
        "Fatal Python error",
    )


def test_what_is_not_known_of_a_child_is_left_out() -> None:
    evidence = Evidence(exit="exit status 3", peak_rss=None, stack=None)
    headers = dead(outcome=Outcome(OutcomeKind.CHILD_LOST, failure=FAILURE, evidence=evidence)).headers
    assert headers["x-exit"] == "exit status 3"
    assert {"x-peak-rss", "x-trace", "x-error-type"}.isdisjoint(headers)


def test_a_dead_copy_has_the_class_and_the_traceback_of_an_exception() -> None:
    failure = Failure(code="TASK_ERROR", message="no", retryable=False, exc_type="ValueError")
    headers = dead(outcome=Outcome(OutcomeKind.RAISED, failure=failure, trace="Traceback")).headers
    assert (headers["x-error-type"], headers["x-trace"]) == ("ValueError", "Traceback")


@pytest.mark.parametrize("end", ["x", "ä", "\ud800"])
def test_of_a_long_traceback_the_end_is_kept(end: str) -> None:
    """The error stands there. A header must be UTF-8 and fit into a frame."""
    trace = "ä" * 10_000 + f"{end}ValueError: no"
    kept = dead(outcome=Outcome(OutcomeKind.RAISED, failure=FAILURE, trace=trace)).headers["x-trace"]
    assert kept.endswith("ValueError: no")
    assert MAX_TRACE_BYTES - 3 <= len(kept.encode()) <= MAX_TRACE_BYTES


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
    for made in (waiting(Spent(**ACCOUNT), **FULL), dead(Spent(**ACCOUNT), **FULL)):
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


def test_a_reply_after_items_that_were_messages_names_their_start() -> None:
    blob = Blob.of(b"long")
    job = make_delivery(fence=10_007, yields=True, mode=ResultMode.REPLY)
    assert messages.reply(job).headers == {"x-fence": 10_007}
    assert messages.reply(job, blob).headers == {**blob.headers(), "x-fence": 10_007}
    assert messages.reply(replace(job, mode=ResultMode.REPLY_AND_STORED)).headers is None
