"""Pipeline: a delivery has one outcome, one decision, one settlement."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from pika import BasicProperties, spec

from penstock.broker.ports import Confirm
from penstock.domain.budget import FLOOR_PER_S
from penstock.domain.cancellation import Told, cancelled
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.retry import Retry
from penstock.domain.topology import Topology
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure
from penstock.wire.headers import job_id_time_ms
from penstock.wire.registry import MAX_DELIVERIES, REFRESH_AFTER, CancelStep
from penstock.worker.cancels import Cancels
from penstock.worker.intake import Intake
from penstock.worker.pipeline import Pipeline
from tests.unit.builders import JOB_ID, job_id, make_queue, make_task
from tests.unit.worker.fakes import Desk, FakeChannel

FAILURE = Failure(code="TASK_ERROR", message="ValueError: no", retryable=True)
LOST = Failure(code="CHILD_LOST", message="SIGKILL", retryable=True)
RAISED = Outcome(OutcomeKind.RAISED, failure=FAILURE, delay_s=4.0, run_s=0.1)
SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED, b"result", run_s=0.2)
LABELS = {"queue": "stats", "task": "stats.norm"}


class Bench(Desk):
    """A pipeline whose lane is the test itself."""

    def __init__(self, *, stores: bool = True, share: float | None = 0.0) -> None:
        super().__init__(Topology(), stores=stores)
        queue = make_queue(make_task(retry=Retry(attempts=3, share=share)))
        intake = Intake(queue, Topology(), strict=False, has_store=True, max_body_bytes=1024)
        self.submitted: list[Delivery] = []
        self.quarantined: list[Delivery] = []
        self.quarantine_free = True
        self.clock_s = 1000.0
        self.cancels = Cancels(lambda: self.clock_s)
        self.told_lane: list[tuple[str, Told]] = []
        self.pipeline = Pipeline(
            queue,
            intake,
            self,
            self.settlement,
            self.store if stores else None,
            self.claims if stores else None,
            self.in_hand,
            self.cancels,
            self.metrics,
            clock=lambda: self.clock_s,
        )

    # ── the lane ────────────────────────────────────────────────────────────────────────────────

    def submit(self, delivery: Delivery) -> None:
        self.submitted.append(delivery)

    def quarantine(self, delivery: Delivery) -> bool:
        if self.quarantine_free:
            self.quarantined.append(delivery)
        return self.quarantine_free

    def cancel(self, job_id: str, told: Told) -> bool:
        if not any(delivery.job_id == job_id for delivery in self.submitted):
            return False
        self.told_lane.append((job_id, told))
        return True

    @property
    def idle(self) -> bool:
        return not (self.submitted or self.quarantined)

    # ── the broker ──────────────────────────────────────────────────────────────────────────────

    def arrive(
        self,
        *,
        key: str = "stats.norm",
        tag: int = 7,
        kind: str = "job.v1",
        redelivered: bool = False,
        returned: bool = False,
        message_id: str = JOB_ID,
        channel: FakeChannel | None = None,
        body: bytes = b"sealed",
        **headers: Any,
    ) -> None:
        """The broker delivers a message that awaits a reply."""
        method = spec.Basic.Deliver(
            consumer_tag="c",
            delivery_tag=tag,
            redelivered=redelivered,
            exchange="penstock.return" if returned else "penstock.jobs",
            routing_key=f"1s.{key}" if returned else key,
        )
        properties = BasicProperties(
            message_id=message_id,
            type=kind,
            reply_to="shop.web-1",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        self.pipeline.arrived(channel or self.channel, method, properties, body)

    def come_back(self, *, tag: int, **changes: Any) -> None:
        """The copy that was published last comes back from the ladder."""
        copy = self.publisher.last
        assert copy.exchange == "penstock.retry"
        headers = {name.replace("-", "_"): value for name, value in copy.headers.items()}
        self.arrive(returned=True, tag=tag, **{**headers, "x_not_before": 1, **changes})

    def finished(self, outcome: str) -> float:
        return self.sample("penstock_jobs_finished_total", **LABELS, outcome=outcome)

    def held_up(self) -> tuple[int, dict[str, Any]]:
        """The job went back to wait: how long, in milliseconds, and the headers of its copy."""
        copy = self.publisher.last
        assert (copy.exchange, copy.body) == ("penstock.retry", b"sealed")
        assert copy.key.endswith(".stats.norm")
        return copy.headers["x-not-before"] - now_ms(), copy.headers


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
    assert len(bench.in_hand) == 1
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 1


def test_a_refused_job_never_reaches_the_lane_and_is_answered_and_settled(bench: Bench) -> None:
    # Given a job that expired
    bench.arrive(x_deadline=now_ms() - 1)

    # When, then: the answer goes out and the ack waits for its confirm
    assert bench.idle
    reply = bench.publisher.last
    assert reply.result.error is not None
    assert reply.result.error.code == "EXPIRED"
    assert bench.channel.untouched
    reply.done(Confirm.ACKED)
    assert bench.channel.acked == [7]
    assert len(bench.in_hand) == 0
    assert bench.finished("expired") == 1
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 0


def test_an_expired_job_is_told_where_its_time_went(bench: Bench) -> None:
    # Given a job that was tried twice and then waited past its deadline
    spent: dict[str, Any] = {"x_attempt": 3, "x_run_ms": 1500, "x_backoff_ms": 4000}
    bench.arrive(returned=True, x_deadline=now_ms() - 1, **spent)

    # When its caller reads the answer
    error = bench.publisher.last.result.error

    # Then it has an account of the time
    assert error is not None
    in_queues_ms = now_ms() - job_id_time_ms(JOB_ID) - 5500
    assert error.details["queue_ms"] == pytest.approx(in_queues_ms, abs=5000)
    assert (error.details["run_ms"], error.details["backoff_ms"], error.details["attempts"]) == (1500, 4000, 2)


def test_a_malformed_message_is_kept_in_the_dead_queue_and_answered(bench: Bench) -> None:
    # Given a message from a future version
    bench.arrive(kind="job.v2")

    # When, then: a dead copy, the answer, the ack
    assert bench.idle
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
    due_ms = now_ms() + 3_600_000
    bench.arrive(x_not_before=due_ms)

    # When, then: a copy waits in the broker, with the same moment
    assert bench.idle
    assert bench.publisher.last.exchange == "penstock.retry"
    assert bench.publisher.last.headers["x-not-before"] == due_ms
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 0
    assert bench.finished("expired") == 0


def test_a_job_that_is_late_and_not_due_is_expired() -> None:
    """It must not go round the ladder for an hour before it is told so."""
    bench = Bench()
    bench.arrive(x_not_before=now_ms() + 3_600_000, x_deadline=now_ms() - 1)
    assert bench.publisher.last.exchange == "penstock.replies"


def test_a_closed_pipeline_gives_everything_back_unstarted(bench: Bench) -> None:
    # Given a worker that drains, on a broker that counts nothing for it
    bench.gives_back_free = True
    bench.pipeline.open = False

    # When jobs arrive that were on their way, good, bad and twins
    bench.arrive(tag=1)
    bench.arrive(tag=2, kind="job.v2", message_id=job_id(2))
    bench.arrive(tag=3, x_not_before=now_ms() + 3_600_000, message_id=job_id(3))

    # Then somebody else gets them
    assert bench.channel.given_back == [(1, False), (2, False), (3, False)]
    assert bench.idle
    assert (bench.publisher.messages, len(bench.in_hand)) == ([], 0)


@pytest.mark.parametrize(
    ("headers", "count"),
    [({}, 1), ({"x_attempt": 2, "returned": True}, 0), ({"x_not_before": 1_730_000_000_000}, 0)],
)
def test_the_wait_is_measured_for_first_attempts_that_were_due_at_once(
    bench: Bench, headers: dict[str, Any], count: int
) -> None:
    bench.arrive(**headers)
    bench.publisher.messages.clear()
    for find in bench.store.finds:
        find.done(None)
    assert len(bench.submitted) == 1
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


# ── jobs that were here before ──────────────────────────────────────────────────────────────────────


def test_a_job_that_runs_here_and_is_handed_out_again_is_adopted(bench: Bench) -> None:
    # Given a job that runs while the connection is lost
    bench.arrive(tag=7)
    bench.channel.open = False

    # When the broker hands it out again over a new channel
    channel = FakeChannel()
    bench.arrive(tag=1, channel=channel, redelivered=True, x_delivery_count=1)

    # Then nothing starts twice
    (delivery,) = bench.submitted
    assert channel.untouched
    assert bench.sample("penstock_deliveries_adopted_total", queue="stats") == 1

    # And its end is the end of the new delivery
    bench.pipeline.ended(delivery, SUCCEEDED)
    bench.publisher.last.done(Confirm.ACKED)
    assert (bench.channel.acked, channel.acked) == ([], [1])
    assert len(bench.in_hand) == 0


def test_a_job_whose_ack_was_lost_is_acked_and_not_run_again(bench: Bench) -> None:
    # Given a job that ended here, whose connection was lost before the ack arrived
    bench.arrive(tag=7)
    bench.pipeline.ended(bench.submitted.pop(), SUCCEEDED)
    bench.channel.open = False
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == []

    # When it is handed out again
    channel = FakeChannel()
    bench.arrive(tag=1, channel=channel, redelivered=True, x_delivery_count=1)

    # Then it is acked at once, without a second answer
    assert channel.acked == [1]
    assert bench.idle
    assert len(bench.publisher.messages) == 1
    assert bench.sample("penstock_jobs_found_done_total", queue="stats") == 1


def test_a_job_whose_answer_nobody_took_is_answered_when_it_is_published_again(bench: Bench) -> None:
    """A producer's reply queue dies with its connection; when it is back, it repeats what it knows nothing of."""
    # Given a job whose reply came back
    bench.arrive(tag=7)
    bench.pipeline.ended(bench.submitted.pop(), SUCCEEDED)
    bench.publisher.last.done(Confirm.RETURNED)
    assert bench.channel.acked == [7]

    # When it is published again
    bench.arrive(tag=8, x_repeat=1)

    # Then it is run again
    assert [delivery.tag for delivery in bench.submitted] == [8]


def test_a_second_message_of_a_job_that_runs_here_is_held_up(bench: Bench) -> None:
    # Given a job that runs
    bench.arrive(tag=7)

    # When its producer publishes it again
    bench.arrive(tag=8, x_repeat=1)

    # Then it waits in the broker, and the first is untouched
    assert [delivery.tag for delivery in bench.submitted] == [7]
    bench.held_up()
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == [8]
    assert len(bench.in_hand) == 1

    # And once the first has ended, nothing is left to do for it
    bench.pipeline.ended(bench.submitted.pop(), SUCCEEDED)
    copy = bench.publisher.messages[0]
    bench.publisher.last.done(Confirm.ACKED)
    bench.publisher.messages.append(copy)
    bench.come_back(tag=9)
    assert bench.channel.acked == [8, 7, 9]
    assert bench.idle


@pytest.mark.parametrize("wrong", [{"kind": "job.v2"}, {"key": "images.thumb"}])
def test_a_malformed_message_with_the_id_of_a_job_that_runs_here_is_refused(
    bench: Bench, wrong: dict[str, Any]
) -> None:
    """On RabbitMQ 3.10 CC brings any key into a queue; a copy of it would be believed in the queue that it names."""
    # Given a job that runs
    bench.arrive(tag=7)

    # When a message with the same id comes that could not be run
    bench.arrive(tag=8, **wrong)

    # Then it ends in the dead queue of this queue
    assert [message.exchange for message in bench.publisher.messages] == ["penstock.dead"]
    bench.publisher.last.done(Confirm.ACKED)
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == [8]

    # And says nothing of the job that runs, whose retry is run
    bench.pipeline.ended(bench.submitted.pop(), RAISED)
    bench.publisher.last.done(Confirm.ACKED)
    bench.come_back(tag=9)
    assert [delivery.attempt for delivery in bench.submitted] == [2]


def test_a_twin_whose_deadline_has_passed_waits_for_what_the_first_has_to_say(bench: Bench) -> None:
    # Given a job that runs with a deadline, and its twin that arrives after it
    bench.arrive(tag=7)
    bench.arrive(tag=8, x_repeat=1, x_deadline=now_ms() - 1)

    # When, then
    bench.held_up()


def test_a_job_that_comes_back_from_the_ladder_is_not_mistaken_for_an_ended_one(bench: Bench) -> None:
    """On RabbitMQ 4.3 messages from a wait queue may come as redelivered."""
    # Given a job that is not due
    bench.arrive(tag=7, x_not_before=now_ms() + 3000)
    bench.publisher.last.done(Confirm.ACKED)

    # When its copy comes back, marked like that
    bench.come_back(tag=8, redelivered=True)

    # Then it is run, fails, and its retry is run too
    bench.pipeline.ended(bench.submitted.pop(), RAISED)
    bench.publisher.last.done(Confirm.ACKED)
    bench.come_back(tag=9, redelivered=True)
    (delivery,) = bench.submitted
    assert (delivery.tag, delivery.attempt) == (9, 2)
    assert bench.channel.acked == [7, 8]


# ── results that may be there already ───────────────────────────────────────────────────────────────

AGAIN: list[dict[str, Any]] = [{"redelivered": True}, {"returned": True}, {"x_repeat": 1}]


@pytest.mark.parametrize("how", AGAIN, ids=lambda how: next(iter(how)))
def test_a_job_that_may_have_ended_before_is_looked_up(bench: Bench, how: dict[str, Any]) -> None:
    # Given a job whose result is to be stored, which comes again
    bench.arrive(x_result="stored", **how)

    # When the store is asked, then nothing starts before it answers
    (find,) = bench.store.finds
    assert find.job_id == JOB_ID
    assert bench.idle
    assert bench.channel.untouched

    # And without a result the job runs
    find.done(None)
    assert len(bench.submitted) == 1
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 1


def test_a_stored_result_is_enough(bench: Bench) -> None:
    # Given a job that is redelivered after its result was stored
    bench.arrive(x_result="stored", redelivered=True)

    # When the store has it
    bench.store.finds[0].done(b"earlier result")

    # Then the job is settled without running
    assert bench.idle
    assert bench.channel.acked == [7]
    assert bench.publisher.messages == []
    assert len(bench.in_hand) == 0
    assert bench.sample("penstock_jobs_found_done_total", queue="stats") == 1


def test_a_stored_result_is_brought_to_who_awaits_a_reply(bench: Bench) -> None:
    # Given a job with both, whose worker died between the two
    bench.arrive(x_result="reply+stored", redelivered=True)
    bench.store.finds[0].done(b"earlier result")

    # When, then the stored bytes are the reply, and it is confirmed before the ack
    reply = bench.publisher.last
    assert (reply.exchange, reply.key, reply.body) == ("penstock.replies", "shop.web-1", b"earlier result")
    assert bench.channel.untouched
    reply.done(Confirm.ACKED)
    assert bench.channel.acked == [7]


@pytest.mark.parametrize("message", [{}, {"x_result": "reply", "redelivered": True}, {"x_result": "stored"}])
def test_a_job_that_cannot_have_a_stored_result_is_not_looked_up(bench: Bench, message: dict[str, Any]) -> None:
    bench.arrive(**message)
    assert bench.store.finds == []
    assert len(bench.submitted) == 1


def test_a_worker_without_a_store_looks_nothing_up() -> None:
    bench = Bench(stores=False)
    bench.arrive(redelivered=True)
    assert len(bench.submitted) == 1


def test_a_worker_that_drains_while_the_store_is_asked_gives_the_job_back(bench: Bench) -> None:
    # Given a look-up on its way
    bench.gives_back_free = True
    bench.arrive(x_result="stored", redelivered=True)

    # When the worker is told to stop before the store answers
    bench.pipeline.open = False
    bench.store.finds[0].done(None)

    # Then somebody else gets the job
    assert bench.idle
    assert bench.channel.given_back == [(7, False)]


def test_a_job_that_lost_its_channel_while_the_store_was_asked_is_not_started(bench: Bench) -> None:
    """The broker hands it out again, perhaps to somebody else; nothing has started here."""
    # Given a store that was down for as long as it took
    bench.arrive(x_result="stored", redelivered=True)
    bench.channel.open = False

    # When it answers, then the job is forgotten here
    bench.store.finds[0].done(None)
    assert bench.idle
    assert len(bench.in_hand) == 0

    # And taken when it comes
    channel = FakeChannel()
    bench.arrive(x_result="stored", redelivered=True, channel=channel)
    bench.store.finds[1].done(None)
    assert len(bench.submitted) == 1


def test_a_job_that_was_adopted_while_the_store_was_asked_is_started(bench: Bench) -> None:
    # Given a look-up during which the connection came back
    bench.arrive(x_result="stored", redelivered=True)
    bench.channel.open = False
    channel = FakeChannel()
    bench.arrive(x_result="stored", redelivered=True, channel=channel, tag=1)

    # When the store answers once
    assert len(bench.store.finds) == 1
    bench.store.finds[0].done(None)

    # Then the job runs, for its new delivery
    (delivery,) = bench.submitted
    assert (delivery.channel, delivery.tag) == (channel, 1)


# ── suspicious jobs ─────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_killed_its_child_runs_alone(bench: Bench) -> None:
    # Given a job whose first attempt crashed
    bench.arrive(returned=True, x_attempt=2, x_crashes=1)

    # When, then
    assert bench.submitted == []
    (delivery,) = bench.quarantined
    assert (delivery.attempt, delivery.spent.crashes) == (2, 1)
    assert bench.channel.untouched
    assert bench.sample("penstock_jobs_quarantined_total", **LABELS) == 1
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 1


def test_a_suspicious_job_that_finds_the_quarantine_slot_taken_waits_in_the_broker(bench: Bench) -> None:
    # Given a job that crashed ten seconds ago, and a slot that is taken
    bench.quarantine_free = False
    crashed: dict[str, Any] = {"x_attempt": 2, "x_crashes": 1, "x_first_at": now_ms() - 10_000}
    bench.arrive(returned=True, **crashed)

    # When, then it waits two seconds and loses nothing
    assert bench.idle
    wait_ms, headers = bench.held_up()
    assert 1500 < wait_ms <= 2500
    assert (headers["x-attempt"], headers["x-crashes"]) == (2, 1)
    assert bench.sample("penstock_jobs_quarantined_total", **LABELS) == 0
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 0
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == [7]
    assert len(bench.in_hand) == 0


def test_a_job_whose_lane_cannot_start_it_after_all_waits_in_the_broker(bench: Bench) -> None:
    # Given a job in quarantine, whose child did not come up
    bench.arrive(returned=True, x_attempt=2, x_crashes=1, x_first_at=now_ms() - 10_000)

    # When the lane says so, then it waits, with nothing spent
    bench.pipeline.unstarted(bench.quarantined[0])
    _, headers = bench.held_up()
    assert (headers["x-attempt"], headers["x-crashes"]) == (2, 1)


def test_a_message_that_was_handed_out_too_often_is_replaced_by_a_fresh_copy(bench: Bench) -> None:
    # Given a message whose workers died five times
    bench.arrive(redelivered=True, x_delivery_count=REFRESH_AFTER)

    # When, then a copy with the count takes its place before the broker gives it up
    assert bench.idle
    copy = bench.publisher.last
    assert (copy.exchange, copy.key) == ("penstock.retry", "1s.stats.norm")
    assert (copy.headers["x-deliveries"], copy.headers["x-attempt"]) == (REFRESH_AFTER, 1)
    assert bench.channel.untouched
    copy.done(Confirm.ACKED)
    assert bench.channel.acked == [7]

    # And when it comes back it runs alone
    bench.come_back(tag=8)
    assert (bench.submitted, len(bench.quarantined)) == ([], 1)


def test_a_message_just_below_that_count_is_run(bench: Bench) -> None:
    bench.arrive(redelivered=True, x_delivery_count=REFRESH_AFTER - 1)
    assert len(bench.submitted) == 1


def test_a_job_that_was_handed_out_fifty_times_without_an_end_is_dead(bench: Bench) -> None:
    # Given the copies of a job over which workers died again and again
    bench.arrive(returned=True, redelivered=True, x_deliveries=MAX_DELIVERIES - 2, x_delivery_count=2)

    # When, then
    assert bench.idle
    copy = bench.publisher.last
    assert copy.exchange == "penstock.dead"
    assert copy.headers["x-error-code"] == "DELIVERY_LIMIT"
    copy.done(Confirm.ACKED)
    error = bench.publisher.last.result.error
    assert error is not None
    assert error.code == "DELIVERY_LIMIT"


# ── the retry budget ────────────────────────────────────────────────────────────────────────────────


def retries(bench: Bench, count: int) -> None:
    """So many retries of so many jobs arrive at once."""
    for number in range(count):
        bench.arrive(returned=True, x_attempt=2, tag=number, message_id=job_id(number), x_first_at=now_ms() - 20_000)


def test_retries_beyond_the_budget_go_back_to_wait(bench: Bench) -> None:
    # Given a task whose retries are limited to the floor
    floor = int(FLOOR_PER_S)

    # When more retries are due at once
    retries(bench, floor + 3)

    # Then the rest waits, with its attempt
    assert len(bench.submitted) == floor
    assert len(bench.publisher.messages) == 3
    wait_ms, headers = bench.held_up()
    assert 4000 < wait_ms <= 5500
    assert headers["x-attempt"] == 2
    assert bench.sample("penstock_retries_postponed_total", **LABELS) == 3

    # And a second later as many may start
    bench.clock_s += 1
    bench.publisher.last.done(Confirm.ACKED)
    bench.come_back(tag=99, message_id=job_id(floor + 2))
    assert len(bench.submitted) == floor + 1


def test_first_attempts_are_never_held_up_and_pay_for_retries() -> None:
    # Given a task that may retry as much as it does
    bench = Bench(share=1.0)
    retries(bench, int(FLOOR_PER_S) + 1)
    assert len(bench.publisher.messages) == 1

    # When first attempts come
    bench.submitted.clear()
    for number in range(5):
        bench.arrive(tag=number, message_id=job_id(1000 + number))
    assert len(bench.submitted) == 5

    # Then as many retries may start
    for number in range(6):
        bench.arrive(returned=True, x_attempt=2, tag=number, message_id=job_id(2000 + number))
    assert len(bench.submitted) == 10


def test_a_task_without_a_limit_retries_as_it_likes() -> None:
    bench = Bench(share=None)
    retries(bench, 500)
    assert len(bench.submitted) == 500


@pytest.mark.parametrize(("trouble_ms", "wait_ms"), [(0, 2000), (10_000, 2500), (600_000, 15_000), (10**8, 15_000)])
def test_the_longer_the_trouble_lasts_the_more_seldom_a_job_looks_for_the_quarantine_slot(
    bench: Bench, trouble_ms: int, wait_ms: int
) -> None:
    bench.quarantine_free = False
    bench.arrive(returned=True, x_attempt=2, x_crashes=1, x_first_at=now_ms() - trouble_ms)
    waits_ms, _ = bench.held_up()
    assert waits_ms == pytest.approx(wait_ms, abs=500)


# ── ended ───────────────────────────────────────────────────────────────────────────────────────────


def ended(bench: Bench, outcome: Outcome, **headers: Any) -> None:
    """A job arrives, runs and ends with this outcome."""
    bench.arrive(**headers)
    for find in bench.store.finds:
        find.done(None)
    bench.pipeline.ended((bench.submitted or bench.quarantined)[-1], outcome)


def test_a_success_is_replied_with_the_bytes_of_the_child(bench: Bench) -> None:
    # Given a job that ended well
    ended(bench, SUCCEEDED)

    # When its reply is confirmed, then it is settled
    assert bench.publisher.last.body == b"result"
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == [7]
    assert bench.finished("succeeded") == 1
    assert bench.sample("penstock_job_run_seconds_sum", **LABELS) == pytest.approx(0.2)


def test_a_failure_that_is_tried_again_is_neither_answered_nor_dead(bench: Bench) -> None:
    ended(bench, RAISED)
    assert [message.exchange for message in bench.publisher.messages] == ["penstock.retry"]
    assert bench.publisher.last.headers["x-attempt"] == 2


def test_the_last_attempt_ends_dead_and_answered(bench: Bench) -> None:
    # Given the third of three attempts
    ended(bench, RAISED, returned=True, x_attempt=3)

    # When, then
    bench.publisher.last.done(Confirm.ACKED)
    assert [m.exchange for m in bench.publisher.messages] == ["penstock.dead", "penstock.replies"]
    assert bench.publisher.last.result.attempt == 3


def test_a_retry_past_the_deadline_is_not_scheduled(bench: Bench) -> None:
    outcome = Outcome(OutcomeKind.RAISED, failure=FAILURE, delay_s=60.0, run_s=0.1)
    ended(bench, outcome, x_deadline=now_ms() + 30_000)
    assert bench.publisher.last.exchange == "penstock.dead"


def test_a_job_that_kills_its_child_runs_alone_until_its_budget_is_used_up(bench: Bench) -> None:
    # Given a job that kills every child
    lost = Outcome(OutcomeKind.CHILD_LOST, failure=LOST, evidence=Evidence(exit="SIGSEGV", peak_rss=2**30, stack="C"))
    ended(bench, lost)

    # When it comes back twice
    for crashes in (1, 2):
        copy = bench.publisher.last
        assert (copy.exchange, copy.headers["x-crashes"], copy.headers["x-attempt"]) == (
            "penstock.retry",
            crashes,
            crashes + 1,
        )
        copy.done(Confirm.ACKED)
        bench.come_back(tag=crashes)
        assert len(bench.quarantined) == crashes
        bench.pipeline.ended(bench.quarantined[-1], lost)

    # Then it is dead, with the evidence
    copy = bench.publisher.last
    assert (copy.exchange, copy.headers["x-crashes"]) == ("penstock.dead", 3)
    assert (copy.headers["x-exit"], copy.headers["x-peak-rss"], copy.headers["x-trace"]) == ("SIGSEGV", 2**30, "C")


def test_an_exception_is_logged_with_its_traceback_and_its_job(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    # Given a job that raised
    with caplog.at_level(logging.INFO):
        ended(bench, Outcome(OutcomeKind.RAISED, failure=FAILURE, run_s=0.1, trace="Traceback ..."))

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


# ── defects of ours ─────────────────────────────────────────────────────────────────────────────────


class DefectError(Exception):
    """What should never happen, happens."""


def defective(*_: Any, **__: Any) -> None:
    raise DefectError


def test_a_job_that_could_not_be_taken_in_is_not_held_when_it_comes_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a lane that raises
    with monkeypatch.context() as broken:
        broken.setattr(bench, "submit", defective)
        with pytest.raises(DefectError):  # the consumer gives the job back
            bench.arrive(tag=7)

    # When the job is handed out again, then it does not meet itself
    bench.arrive(tag=8, redelivered=True)
    assert [delivery.tag for delivery in bench.submitted] == [8]


def test_a_job_whose_end_could_not_be_settled_goes_back_to_its_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It came out among the frames of other jobs, and nobody would ever have settled this one."""
    # Given a job that has ended
    bench.arrive(tag=7)

    # When its settlement raises
    with monkeypatch.context() as broken:
        broken.setattr(bench.publisher, "publish", defective)
        bench.pipeline.ended(bench.submitted.pop(), SUCCEEDED)

    # Then it costs the job a delivery, and is logged
    assert bench.channel.given_back == [(7, True)]
    assert len(bench.in_hand) == 0
    (record,) = [r for r in caplog.records if vars(r).get("event") == "job.given_back"]
    assert record.exc_info is not None
    assert vars(record)["job_id"] == JOB_ID


def test_a_job_that_could_not_be_started_after_its_look_up_goes_back_to_its_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.arrive(x_result="stored", redelivered=True)
    monkeypatch.setattr(bench, "submit", defective)
    bench.store.finds[0].done(None)
    assert bench.channel.given_back == [(7, True)]
    assert len(bench.in_hand) == 0


# ── long bodies ─────────────────────────────────────────────────────────────────────────────────────

CLAIM: dict[str, Any] = {"x_blob": "ab" * 32, "x_blob_size": 5000}


def test_a_long_body_is_brought_before_the_job_starts(bench: Bench) -> None:
    # Given a job whose body is in the store
    bench.arrive(body=b"", **CLAIM)
    assert bench.idle
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 0

    # When it is here
    (fetch,) = bench.store.blobs.fetches
    assert (fetch.job_id, fetch.blob) == (JOB_ID, Blob("ab" * 32, 5000))
    fetch.done(True)

    # Then the lane has the job with its file
    (delivery,) = bench.submitted
    assert delivery.file is fetch.file
    assert bench.sample("penstock_jobs_started_total", **LABELS) == 1


def test_a_job_whose_body_is_gone_is_refused_and_kept(bench: Bench) -> None:
    bench.arrive(body=b"", **CLAIM)
    bench.store.blobs.fetches[0].done(False)
    assert bench.idle
    copy = bench.publisher.last
    assert (copy.exchange, copy.headers["x-error-code"]) == ("penstock.dead", "BLOB_UNAVAILABLE")
    assert (copy.headers["x-blob"], copy.headers["x-blob-size"]) == ("ab" * 32, 5000)


def test_a_job_for_whose_body_there_is_no_room_waits_and_spends_nothing(bench: Bench) -> None:
    bench.arrive(body=b"", **CLAIM)
    bench.store.blobs.fetches[0].done(OSError("no memory"))
    copy = bench.publisher.last
    assert (copy.exchange, copy.headers["x-attempt"], copy.headers["x-blob"]) == ("penstock.retry", 1, "ab" * 32)
    copy.done(Confirm.ACKED)
    assert bench.claims.held_bytes == 0


def test_a_body_that_comes_after_the_drain_has_begun_starts_nothing(bench: Bench) -> None:
    bench.arrive(body=b"", **CLAIM)
    bench.pipeline.open = False
    bench.gives_back_free = True
    bench.store.blobs.fetches[0].done(True)
    assert bench.idle
    assert bench.channel.given_back == [(7, False)]
    assert bench.claims.held_bytes == 0


def test_an_attempt_that_has_ended_lets_go_of_the_body_when_it_is_settled(bench: Bench) -> None:
    # Given a job with a long body that has run
    bench.arrive(body=b"", **CLAIM)
    bench.store.blobs.fetches[0].done(True)
    (delivery,) = bench.submitted
    bench.pipeline.ended(delivery, Outcome(OutcomeKind.SUCCEEDED, b"answer"))

    # When its answer is confirmed
    assert bench.claims.held_bytes == 5000
    bench.publisher.last.done(Confirm.ACKED)

    # Then nothing of it is held
    assert (bench.claims.held_bytes, delivery.file) == (0, None)


# ── jobs that are cancelled ─────────────────────────────────────────────────────────────────────────


def cancelled_result(bench: Bench) -> tuple[str, int]:
    """The error and the attempt of the result that was stored or replied last."""
    result = bench.publisher.last.result
    assert result.error is not None
    return result.error.code, result.attempt


def test_a_job_that_was_cancelled_before_it_came_never_starts(caplog: pytest.LogCaptureFixture) -> None:
    # Given a job that is to be cancelled
    bench = Bench()
    bench.cancels.add(JOB_ID)

    # When it comes
    with caplog.at_level(logging.INFO):
        bench.arrive()

    # Then it is answered, logged, counted, and over
    assert bench.idle
    assert cancelled_result(bench) == ("CANCELLED", 0)
    assert bench.finished("cancelled") == 1
    (record,) = caplog.records
    assert (vars(record)["event"], vars(record)["job_id"]) == ("job.cancelled", JOB_ID)
    bench.publisher.last.done(Confirm.ACKED)
    assert bench.channel.acked == [7]
    assert len(bench.in_hand) == 0


def test_a_cancelled_job_that_failed_before_says_after_how_many_attempts() -> None:
    bench = Bench()
    bench.cancels.add(JOB_ID)
    bench.arrive(returned=True, x_attempt=3)
    assert bench.idle
    assert cancelled_result(bench) == ("CANCELLED", 2)


def test_a_job_that_is_not_due_is_cancelled_at_once_when_it_comes() -> None:
    bench = Bench()
    bench.cancels.add(JOB_ID)
    bench.arrive(x_not_before=now_ms() + 3_600_000)
    assert cancelled_result(bench) == ("CANCELLED", 0)


def test_a_cancelled_job_that_nobody_awaits_leaves_nothing() -> None:
    bench = Bench()
    bench.cancels.add(JOB_ID)
    bench.arrive(x_result="none")
    assert bench.publisher.messages == []
    assert bench.channel.acked == [7]


def test_what_is_wrong_with_a_job_is_said_rather_than_that_it_was_cancelled() -> None:
    bench = Bench()
    bench.cancels.add(JOB_ID)
    bench.arrive(key="stats.nosuch")
    # When its dead copy is confirmed, its answer follows
    if bench.publisher.last.exchange == "penstock.dead":
        bench.publisher.last.done(Confirm.ACKED)
    assert cancelled_result(bench)[0] == "UNSUPPORTED_TASK"


def test_a_job_in_the_lane_is_cancelled_there() -> None:
    bench = Bench()
    bench.arrive()
    told: list[CancelStep] = []
    assert bench.pipeline.cancel(JOB_ID, told.append)
    assert [job for job, _ in bench.told_lane] == [JOB_ID]
    assert told == []


def test_a_job_that_is_nowhere_here_is_not_cancelled_here() -> None:
    bench = Bench()
    told: list[CancelStep] = []
    assert not bench.pipeline.cancel(JOB_ID, told.append)
    assert told == []


def test_a_job_is_cancelled_while_its_earlier_result_is_looked_up() -> None:
    # Given a redelivered job, of which the store is asked
    bench = Bench()
    bench.arrive(redelivered=True, x_result="stored")
    (find,) = bench.store.finds

    # When it is cancelled meanwhile
    told: list[CancelStep] = []
    bench.cancels.add(JOB_ID)
    assert bench.pipeline.cancel(JOB_ID, told.append)
    assert told == [CancelStep.NEVER_STARTED]

    # Then it does not start when the store knows nothing
    find.done(None)
    assert bench.idle
    (put,) = bench.store.puts
    assert b"CANCELLED" in put.body
    assert not bench.pipeline.cancel(JOB_ID, told.append)


def test_a_job_is_cancelled_while_its_body_is_fetched() -> None:
    # Given a job whose body is in the store
    bench = Bench()
    blob = Blob.of(b"long")
    bench.arrive(body=b"", **{name.replace("-", "_"): value for name, value in blob.headers().items()})
    (fetch,) = bench.store.blobs.fetches

    # When it is cancelled before the body is here
    told: list[CancelStep] = []
    bench.cancels.add(JOB_ID)
    assert bench.pipeline.cancel(JOB_ID, told.append)
    fetch.done(True)

    # Then it does not start
    assert told == [CancelStep.NEVER_STARTED]
    assert bench.idle
    assert cancelled_result(bench) == ("CANCELLED", 0)


def test_a_job_that_was_cancelled_while_it_ran_is_over_after_this_attempt() -> None:
    # Given a job at its first attempt, which would have more
    bench = Bench()
    bench.arrive()

    # When the lane reports that it was cancelled
    bench.pipeline.ended(bench.submitted[0], cancelled(bench.submitted[0], CancelStep.EXCEPTION, run_s=0.5, tries=1))

    # Then there is an answer and no copy
    assert [message.exchange for message in bench.publisher.messages] == ["penstock.replies"]
    assert cancelled_result(bench) == ("CANCELLED", 1)
    result = bench.publisher.last.result
    assert result.started_at is not None
    assert result.finished_at - result.started_at == 500
    assert bench.finished("cancelled") == 1
