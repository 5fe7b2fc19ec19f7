"""Pipeline: a delivery has one outcome, one decision, one settlement."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from pika import BasicProperties, spec

from penstock.broker.publisher import Confirm
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.retry import Retry
from penstock.domain.topology import Topology
from penstock.wire.failure import Failure
from penstock.wire.registry import CRASH_LIMIT
from penstock.worker.intake import Intake
from penstock.worker.pipeline import Pipeline
from tests.unit.builders import JOB_ID, make_queue, make_task
from tests.unit.worker.fakes import Desk

FAILURE = Failure(code="TASK_ERROR", message="ValueError: no", retryable=True)
LABELS = {"queue": "stats", "task": "stats.norm"}


class Bench(Desk):
    """A pipeline whose lane is the test itself."""

    def __init__(self) -> None:
        super().__init__(Topology())
        queue = make_queue(make_task(retry=Retry(attempts=3)))
        intake = Intake(queue, Topology(), strict=False, stores_results=True, max_body_bytes=1024)
        self.submitted: list[Delivery] = []
        self.pipeline = Pipeline(queue, intake, self.submitted.append, self.settlement, self.metrics)

    def arrive(self, *, key: str = "stats.norm", tag: int = 7, kind: str = "job.v1", **headers: Any) -> None:
        """The broker delivers a message that awaits a reply."""
        method = spec.Basic.Deliver(consumer_tag="c", delivery_tag=tag, exchange="penstock.jobs", routing_key=key)
        properties = BasicProperties(
            message_id=JOB_ID,
            type=kind,
            reply_to="shop.web-1",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        self.pipeline.arrived(self.channel, method, properties, b"sealed")

    def finished(self, outcome: str) -> float:
        return self.sample("penstock_jobs_finished_total", **LABELS, outcome=outcome)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def now_ms() -> int:
    return int(time.time() * 1000)


# ── arrived ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_proper_job_goes_to_the_lane_and_is_not_settled(bench: Bench) -> None:
    # Given a pipeline
    # When a job arrives
    bench.arrive()

    # Then the lane has it and the broker still holds it
    (delivery,) = bench.submitted
    assert (delivery.tag, delivery.body) == (7, b"sealed")
    assert bench.channel.untouched
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 1


def test_a_refused_job_never_reaches_the_lane_and_is_answered_and_settled(bench: Bench) -> None:
    # Given a job that expired
    bench.arrive(x_deadline=now_ms() - 1)

    # When, then: the answer goes out and the ack waits for its confirm
    assert bench.submitted == []
    reply = bench.publisher.last
    assert reply.result.error is not None
    assert reply.result.error.code == "EXPIRED"
    assert bench.channel.untouched
    reply.done(Confirm.ACKED)
    assert bench.channel.acked == [7]
    assert bench.finished("expired") == 1
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 0


def test_a_malformed_message_is_kept_in_the_dead_queue_and_answered(bench: Bench) -> None:
    # Given a message from a future version
    bench.arrive(kind="job.v2")

    # When, then: a dead copy, the answer, the ack
    assert bench.submitted == []
    copy = bench.publisher.last
    assert (copy.exchange, copy.body) == ("penstock.dead", b"sealed")
    assert copy.headers["x-error-code"] == "UNSUPPORTED_ENVELOPE"
    copy.done(Confirm.ACKED)
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == [7]
    assert bench.finished("undecodable") == 1


def test_a_message_of_another_type_keeps_its_type_in_the_dead_queue(bench: Bench) -> None:
    """PROFILE.md: the job's properties. Who mends it later must see that it was a job.v2."""
    bench.arrive(kind="job.v2")
    assert bench.publisher.last.properties.type == "job.v2"


def test_a_task_that_nobody_knows_makes_no_series(bench: Bench) -> None:
    bench.arrive(key="stats.nonsense")
    assert b"nonsense" not in bench.metrics.page()
    labels = {"queue": "stats", "task": "_OTHER", "outcome": "undecodable"}
    assert bench.sample("penstock_jobs_finished_total", **labels) == 1


def test_a_job_that_is_not_due_goes_back_to_wait_and_is_not_counted_as_started(bench: Bench) -> None:
    # Given a job that is due in an hour
    bench.arrive(x_not_before=now_ms() + 3_600_000)

    # When, then: a copy waits in the broker
    assert bench.submitted == []
    assert bench.publisher.last.exchange == "penstock.retry"
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 0
    assert bench.finished("expired") == 0


def test_a_job_that_is_late_and_not_due_is_expired() -> None:
    """It must not go round the ladder for an hour before it is told so."""
    bench = Bench()
    bench.arrive(x_not_before=now_ms() + 3_600_000, x_deadline=now_ms() - 1)
    assert bench.publisher.last.exchange == "penstock.replies"


def test_a_closed_pipeline_gives_everything_back_unstarted(bench: Bench) -> None:
    # Given a worker that drains
    bench.pipeline.open = False

    # When jobs arrive that were on their way, good and bad
    bench.arrive(tag=1)
    bench.arrive(tag=2, kind="job.v2")
    bench.arrive(tag=3, x_not_before=now_ms() + 3_600_000)

    # Then somebody else gets them
    assert bench.channel.given_back == [(1, False), (2, False), (3, False)]
    assert (bench.submitted, bench.publisher.messages) == ([], [])


@pytest.mark.parametrize(
    ("headers", "count"),
    [({}, 1), ({"x_attempt": 2}, 0), ({"x_not_before": 1_730_000_000_000}, 0)],
)
def test_the_wait_is_measured_for_first_attempts_that_were_due_at_once(
    bench: Bench, headers: dict[str, Any], count: int
) -> None:
    bench.arrive(**headers)
    assert bench.sample("penstock_job_wait_seconds_count", **LABELS) == count


def test_the_wait_runs_from_the_moment_in_the_job_id(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made_s = int(JOB_ID.replace("-", "")[:12], 16) / 1000
    monkeypatch.setattr("penstock.worker.pipeline.time.time", lambda: made_s + 1.5)
    bench.arrive()
    assert bench.sample("penstock_job_wait_seconds_sum", **LABELS) == pytest.approx(1.5)


def test_a_clock_that_is_ahead_makes_no_negative_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.worker.pipeline.time.time", lambda: 1_000_000_000.0)
    bench.arrive()
    assert bench.sample("penstock_job_wait_seconds_sum", **LABELS) == 0


# ── ended ───────────────────────────────────────────────────────────────────────────────────────────


def ended(bench: Bench, outcome: Outcome, **headers: Any) -> None:
    """A job arrives, runs and ends with this outcome."""
    bench.arrive(**headers)
    bench.pipeline.ended(bench.submitted[-1], outcome)


def test_a_success_is_replied_with_the_bytes_of_the_child(bench: Bench) -> None:
    # Given a job that ended well
    ended(bench, Outcome(OutcomeKind.SUCCEEDED, b"result", run_s=0.2))

    # When its reply is confirmed, then it is settled
    assert bench.publisher.last.body == b"result"
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == [7]
    assert bench.finished("succeeded") == 1
    assert bench.sample("penstock_job_run_seconds_sum", **LABELS) == pytest.approx(0.2)


def test_a_failure_that_is_tried_again_is_neither_answered_nor_dead(bench: Bench) -> None:
    ended(bench, Outcome(OutcomeKind.RAISED, b"result", FAILURE, delay_s=4.0, run_s=0.1))
    assert [message.exchange for message in bench.publisher.messages] == ["penstock.retry"]
    assert bench.publisher.last.headers["x-attempt"] == 2


def test_the_last_attempt_ends_dead_and_answered(bench: Bench) -> None:
    # Given the third of three attempts
    ended(bench, Outcome(OutcomeKind.RAISED, b"result", FAILURE, delay_s=4.0, run_s=0.1), x_attempt=3)

    # When, then
    bench.publisher.last.done(Confirm.ACKED)
    assert [m.exchange for m in bench.publisher.messages] == ["penstock.dead", "penstock.replies"]


def test_a_retry_past_the_deadline_is_not_scheduled(bench: Bench) -> None:
    outcome = Outcome(OutcomeKind.RAISED, b"result", FAILURE, delay_s=60.0, run_s=0.1)
    ended(bench, outcome, x_deadline=now_ms() + 30_000)
    assert bench.publisher.last.exchange == "penstock.dead"


@pytest.mark.parametrize(("count", "given_back"), [(0, True), (CRASH_LIMIT - 2, True), (CRASH_LIMIT - 1, False)])
def test_a_lost_child_gives_its_job_back_until_the_broker_has_counted_enough(
    bench: Bench, count: int, given_back: bool
) -> None:
    lost = Failure(code="CHILD_LOST", message="SIGKILL", retryable=True)
    ended(bench, Outcome(OutcomeKind.CHILD_LOST, failure=lost), x_delivery_count=count)
    assert bench.channel.given_back == ([(7, True)] if given_back else [])
    assert bool(bench.publisher.messages) is not given_back


def test_an_exception_is_logged_with_its_traceback_and_its_job(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    # Given a job that raised
    with caplog.at_level(logging.INFO):
        ended(bench, Outcome(OutcomeKind.RAISED, b"x", FAILURE, run_s=0.1, trace="Traceback ..."))

    # When the log is read, then one record tells all of it
    (record,) = [r for r in caplog.records if vars(r).get("event") == "job.raised"]
    assert record.getMessage() == "TASK_ERROR: ValueError: no"
    fields = vars(record)
    assert (fields["job_id"], fields["task"], fields["queue"]) == (JOB_ID, "stats.norm", "stats")
    assert fields["traceback"] == "Traceback ..."


def test_a_refusal_that_leaves_no_dead_letter_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        bench.arrive(x_deadline=1)
    (record,) = [r for r in caplog.records if vars(r).get("event") == "job.refused"]
    assert "EXPIRED" in record.getMessage()
