"""The messages that stand in for a dead one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from penstock.admin import copies
from penstock.admin.dead_job import read
from penstock.wire.blob import Blob
from tests.unit.admin.builders import FAILED_AT, dead, held

BROKERS = {
    "x-death": [{"reason": "delivery_limit"}],
    "x-first-death-queue": "q",
    "x-last-death-reason": "r",
    "x-delivery-count": 7,
    "x-acquired-count": 9,
    "CC": ["x"],
    "BCC": ["y"],
}
WORKERS = {
    "x-error-code": "TASK_ERROR",
    "x-error-message": "no",
    "x-failed-at": FAILED_AT,
    "x-attempt": 3,
    "x-crashes": 2,
    "x-hangs": 1,
    "x-first-at": 1,
    "x-run-ms": 2,
    "x-backoff-ms": 3,
    "x-worker": "w",
    "x-trace": "t",
    "x-exit": "SIGSEGV",
    "x-user": "shop",
    "x-result": "stored",
    "x-deadline": 5,
    "x-repeat": 1,
    "x-not-before": 4,
    "x-task-version": 2,
    "x-contract": "abcd",
    "traceparent": "00-a-b-01",
    "tracestate": "k=v",
    "x-replays": 1,
    "x-edited-at": 6,
}


def test_a_renewed_copy_says_the_same_and_nothing_of_the_brokers() -> None:
    key, headers = copies.renewed(dead(dict(WORKERS)), {**WORKERS, **BROKERS}, queue="stats")
    assert (key, headers) == ("stats.norm", WORKERS)


def test_a_renewed_copy_of_what_the_broker_gave_up_has_the_headers_of_a_worker() -> None:
    # Given a retry copy that the broker gave up
    death = {
        "reason": "delivery_limit",
        "exchange": "penstock.return",
        "routing-keys": ["1s.stats.norm"],
        "time": datetime(2026, 1, 31, tzinfo=UTC),
    }
    message = held(key="stats", headers={"x-death": [death], "x-attempt": 2, "x-crashes": 1}, user_id="shop")
    job = read(message, queue="stats", return_exchange="penstock.return")

    # When it is renewed
    key, headers = copies.renewed(job, message.properties.headers, queue="stats")

    # Then whoever reads the copy finds the same job
    assert key == "stats.norm"
    assert "x-death" not in headers
    again = read(held(key=key, headers=headers), queue="stats", return_exchange="penstock.return")
    assert (again.code, again.message, again.failed_at_ms) == (job.code, job.message, job.failed_at_ms)
    assert (again.user, again.attempt, again.crashes) == ("shop", 2, 1)


def test_a_copy_of_what_names_no_task_still_finds_its_dead_queue() -> None:
    assert copies.renewed(dead(key="stats"), {}, queue="stats")[0] == "stats"


@pytest.mark.parametrize("deadline_ms", [None, 99])
def test_an_edited_copy_has_the_deadline_of_its_body_and_says_when_it_was_edited(deadline_ms: int | None) -> None:
    _, headers = copies.edited(dead(dict(WORKERS)), WORKERS, queue="stats", deadline_ms=deadline_ms, now_ms=77)
    assert headers.get("x-deadline") == deadline_ms
    assert headers["x-edited-at"] == 77
    assert headers["x-error-code"] == "TASK_ERROR"


def test_a_replayed_job_has_no_past_but_its_replays() -> None:
    assert copies.replayed(dead(dict(WORKERS)), {**WORKERS, **BROKERS}) == {
        "x-deadline": 5,
        "x-task-version": 2,
        "x-contract": "abcd",
        "traceparent": "00-a-b-01",
        "tracestate": "k=v",
        "x-result": "reply+stored",
        "x-replays": 2,
    }


@pytest.mark.parametrize(
    ("mode", "replayed", "stored"),
    [
        ("none", "reply", False),
        ("reply", "reply", False),
        ("stored", "reply+stored", True),
        ("reply+stored", "reply+stored", True),
    ],
)
def test_a_replay_is_reported_and_stored_where_the_first_was(mode: str, replayed: str, stored: bool) -> None:
    job = dead({"x-result": mode})
    assert copies.replayed(job, {})["x-result"] == replayed
    assert copies.stored(job) is stored


def test_a_replayed_job_still_names_the_body_that_lies_in_redis() -> None:
    claim = {"x-blob": "ab" * 32, "x-blob-size": 5000, "x-max-result": 10_000}
    job = dead(claim, body=b"")
    assert (job.size, job.blob) == (5000, Blob("ab" * 32, 5000))
    made = copies.replayed(job, claim)
    assert {name: made[name] for name in claim} == claim
    assert copies.renewed(job, claim, queue="stats")[1].items() >= claim.items()
