"""A dead job as its message tells it, whoever wrote the message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pika import BasicProperties

from penstock.admin.dead_job import read
from tests.unit.admin.builders import FAILED_AT, dead, held
from tests.unit.builders import JOB_ID

DIED_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def given_up(exchange: str, key: str, **entry: Any) -> Any:
    """The job of a message that the broker put into the dead queue itself."""
    death = {
        "reason": "delivery_limit",
        "queue": "penstock.q.stats",
        "exchange": exchange,
        "routing-keys": [key],
        "time": DIED_AT,
        "count": 1,
        **entry,
    }
    older = {"reason": "expired", "exchange": "penstock.retry", "routing-keys": ["1s.stats.other"]}
    message = held(key="stats", headers={"x-death": [death, older]}, user_id="shop")
    return read(message, queue="stats", return_exchange="penstock.return")


def test_all_that_a_worker_wrote_is_read() -> None:
    # Given a dead job with every header
    job = dead(
        {
            "x-error-type": "ValueError",
            "x-first-at": FAILED_AT - 5000,
            "x-worker": "worker.w-1",
            "x-crashes": 1,
            "x-hangs": 2,
            "x-run-ms": 1500,
            "x-backoff-ms": 3000,
            "x-replays": 4,
            "x-exit": "SIGSEGV",
            "x-peak-rss": 2**30,
            "x-trace": "the trace",
            "x-user": "shop",
            "x-result": "stored",
            "x-deadline": FAILED_AT + 1,
            "x-task-version": 2,
            "x-contract": "abcd",
            "x-edited-at": FAILED_AT + 2,
            "traceparent": "00-a-b-01",
        },
        user_id="worker",
    )

    # When it is read, then each is where it belongs
    assert (job.name, job.job_id, job.task) == (JOB_ID, JOB_ID, "stats.norm")
    assert (job.code, job.message, job.exc_type) == ("TASK_ERROR", "ValueError: no", "ValueError")
    assert (job.attempt, job.crashes, job.hangs, job.replays) == (3, 1, 2, 4)
    assert (job.first_at_ms, job.failed_at_ms, job.edited_at_ms) == (FAILED_AT - 5000, FAILED_AT, FAILED_AT + 2)
    assert (job.run_ms, job.backoff_ms) == (1500, 3000)
    assert (job.worker, job.user) == ("worker.w-1", "shop")
    assert (job.exit, job.peak_rss, job.trace) == ("SIGSEGV", 2**30, "the trace")
    assert (job.mode, job.deadline_ms, job.version, job.contract) == ("stored", FAILED_AT + 1, 2, "abcd")
    assert job.traceparent == "00-a-b-01"


@pytest.mark.parametrize(("exchange", "key"), [("penstock.jobs", "stats.norm"), ("penstock.return", "15s.stats.norm")])
def test_a_job_that_the_broker_gave_up_has_its_task_its_user_and_a_code(exchange: str, key: str) -> None:
    job = given_up(exchange, key)
    assert (job.task, job.code, job.user) == ("stats.norm", "DELIVERY_LIMIT", "shop")
    assert job.failed_at_ms == DIED_AT.timestamp() * 1000
    assert (job.exchange, job.worker, job.attempt) == (exchange, None, 1)


def test_another_reason_of_the_brokers_is_told_and_takes_no_code_of_ours() -> None:
    job = given_up("penstock.jobs", "stats.norm", reason="maxlen")
    assert (job.code, "'maxlen'" in job.message) == ("?", True)


@pytest.mark.parametrize(
    "death", [None, 1, [], ["x"], [{}], [{"reason": 1, "routing-keys": [], "time": "x"}], [{"routing-keys": [b"\xff"]}]]
)
def test_a_death_that_makes_no_sense_is_survived(death: Any) -> None:
    job = read(held(key="stats", headers={"x-death": death}), queue="stats", return_exchange="penstock.return")
    assert (job.task, job.code) == (None, "?")


def test_what_a_worker_said_counts_more_than_what_the_broker_did_before() -> None:
    job = dead(
        {"x-death": [{"reason": "delivery_limit", "exchange": "penstock.jobs", "routing-keys": ["stats.other"]}]}
    )
    assert (job.code, job.task) == ("TASK_ERROR", "stats.norm")


def test_a_message_of_which_pika_could_read_nothing_has_a_name_all_the_same() -> None:
    message = held(body=b"anything")
    message = type(message)(
        tag=1, exchange="e", routing_key="x" * 250, deliveries=0, properties=BasicProperties(), body=b"anything"
    )
    job = read(message, queue="stats", return_exchange="penstock.return")
    assert (job.job_id, job.task, job.code, job.attempt) == (None, None, "?", 0)
    assert job.name == "~ee0874170b7f"
    assert job.size == 8


def test_headers_of_wrong_types_are_not_believed() -> None:
    job = dead(
        {
            "x-error-code": 5,
            "x-attempt": "three",
            "x-replays": -1,
            "x-worker": b"\xff",
            "x-peak-rss": True,
            "x-result": "everywhere",
        },
        reply_to="shop.a",
    )
    assert (job.code, job.attempt, job.replays, job.worker, job.peak_rss) == ("?", 0, 0, None, None)
    assert job.mode == "reply"


@pytest.mark.parametrize("key", ["stats", "other.norm", "stats.no space", ""])
def test_a_key_that_is_no_task_of_the_queue_names_none(key: str) -> None:
    assert dead(key=key).task is None
