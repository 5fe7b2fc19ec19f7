"""Settlement: whatever stands in for a message is confirmed before the message is acked."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.broker.publisher import Confirm
from penstock.domain.decision import Complete, DeadLetter, Decision, GiveBack, RetryLater
from penstock.domain.topology import Topology
from penstock.wire.failure import Failure
from penstock.wire.registry import MAX_ERROR_MESSAGE_BYTES, ErrorCode, ResultMode
from penstock.worker import settlement as module
from penstock.worker.settlement import awaits, identity
from tests.unit.broker.fakes import FakeLoop
from tests.unit.builders import JOB_ID, make_delivery
from tests.unit.worker.fakes import Desk

BODY = b"result.v1 of the child"
FAILURE = Failure(code="TASK_ERROR", message="ValueError: no", retryable=False)
REPLY: dict[str, Any] = {"mode": ResultMode.REPLY, "reply_to": "shop.web-1"}
STORED: dict[str, Any] = {"mode": ResultMode.STORED, "reply_to": "shop.web-1"}
BOTH: dict[str, Any] = {"mode": ResultMode.REPLY_AND_STORED, "reply_to": "shop.web-1"}


@pytest.fixture
def desk() -> Desk:
    return Desk(Topology())


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    """The loop in which settlement tries again later."""
    made = FakeLoop()
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(get_running_loop=lambda: made))
    return made


# ── complete ────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_nobody_awaits_is_acked_at_once(desk: Desk) -> None:
    desk.settlement.settle(desk.delivery(), Complete(BODY, None))
    assert desk.channel.acked == [7]
    assert (desk.publisher.messages, desk.store.puts) == ([], [])


def test_a_reply_is_confirmed_before_the_job_is_acked(desk: Desk) -> None:
    # Given a job that somebody awaits
    desk.settlement.settle(desk.delivery(**REPLY), Complete(BODY, None))

    # When its reply is on the way
    (reply,) = desk.publisher.messages
    assert (reply.exchange, reply.key, reply.body) == ("penstock.replies", "shop.web-1", BODY)
    assert (reply.properties.type, reply.properties.correlation_id) == ("result.v1", JOB_ID)

    # Then the job is not settled before the broker has confirmed it
    assert desk.channel.untouched
    reply.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


def test_a_stored_result_is_certain_before_the_job_is_acked(desk: Desk) -> None:
    # Given a job whose result is to be kept
    desk.settlement.settle(desk.delivery(**STORED), Complete(BODY, None))

    # When the write is on the way
    (put,) = desk.store.puts
    assert (put.job_id, put.body, put.reply_to) == (JOB_ID, BODY, "shop.web-1")
    assert desk.channel.untouched

    # Then the ack follows it, and no reply is sent
    put.done(True)
    assert desk.channel.acked == [7]
    assert desk.publisher.messages == []


def test_a_result_that_is_kept_and_replied_is_kept_first(desk: Desk) -> None:
    # Given a job with both
    desk.settlement.settle(desk.delivery(**BOTH), Complete(BODY, None))
    assert desk.publisher.messages == []

    # When the write is certain, then the reply leaves; when that is confirmed, the ack
    desk.store.puts[0].done(True)
    assert desk.channel.untouched
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


def test_a_result_that_lost_to_an_earlier_one_is_counted_and_the_job_is_over(desk: Desk) -> None:
    desk.settlement.settle(desk.delivery(**STORED), Complete(BODY, None))
    desk.store.puts[0].done(False)
    assert desk.channel.acked == [7]
    assert desk.sample("penstock_results_duplicate_total", queue="stats") == 1


def test_a_reply_whose_requester_is_gone_is_counted_and_the_job_is_over(desk: Desk) -> None:
    # Given a reply
    desk.settlement.settle(desk.delivery(**REPLY), Complete(BODY, None))

    # When no queue takes it
    desk.publisher.last.done(Confirm.RETURNED)

    # Then nobody waits for it any more
    assert desk.channel.acked == [7]
    assert len(desk.publisher.messages) == 1
    assert desk.sample("penstock_replies_unroutable_total", queue="stats") == 1


def test_a_reply_that_the_broker_refuses_is_sent_until_there_is_another_answer(desk: Desk, loop: FakeLoop) -> None:
    # Given a reply that is refused, as happens while the requester's queue is being deleted
    desk.settlement.settle(desk.delivery(**REPLY), Complete(BODY, None))

    # When it is refused again and again
    for _ in range(3):
        desk.publisher.last.done(Confirm.REFUSED)
        loop.wait()

    # Then it is sent again each time, and the ack waits for the answer
    assert len({(message.key, message.body) for message in desk.publisher.messages}) == 1
    assert len(desk.publisher.messages) == 4
    assert desk.channel.untouched
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert desk.sample("penstock_replies_unroutable_total", queue="stats") == 0


def test_without_a_reply_to_there_is_nobody_to_answer(desk: Desk) -> None:
    desk.settlement.settle(desk.delivery(mode=ResultMode.REPLY), Complete(BODY, None))
    assert desk.publisher.messages == []
    assert desk.channel.acked == [7]


# ── answers that the parent writes itself ───────────────────────────────────────────────────────────


def test_when_no_child_wrote_a_result_the_parent_writes_the_error(desk: Desk) -> None:
    # Given a job that was refused at the door
    failure = Failure(code=ErrorCode.EXPIRED, message="too late", retryable=False)
    before_ms = int(time.time() * 1000)

    # When it is completed
    desk.settlement.settle(desk.delivery(**REPLY, version=3), Complete(None, failure))

    # Then the caller reads a proper result
    result = desk.publisher.last.result
    assert (result.job_id, result.task, result.tv) == (JOB_ID, "stats.norm", 3)
    assert (result.attempt, result.started_at, result.worker) == (0, None, "shop.worker-1")
    assert before_ms <= result.finished_at <= int(time.time() * 1000)
    assert result.error == failure


@pytest.mark.parametrize(
    ("code", "attempt"),
    [
        (ErrorCode.CHILD_LOST, 2),
        (ErrorCode.TIMEOUT, 2),
        (ErrorCode.EXPIRED, 0),
        (ErrorCode.UNSUPPORTED_TASK, 0),
        (ErrorCode.TOO_LARGE, 0),
    ],
)
def test_the_attempt_of_a_job_that_never_began_is_zero(desk: Desk, code: ErrorCode, attempt: int) -> None:
    failure = Failure(code=code, message="x", retryable=False)
    desk.settlement.settle(desk.delivery(**REPLY, attempt=2), Complete(None, failure))
    assert desk.publisher.last.result.attempt == attempt


@pytest.mark.parametrize("version", [0, -5, 2**31, 2**62])
def test_the_answer_can_be_read_whatever_the_header_of_the_version_said(desk: Desk, version: int) -> None:
    """UNSUPPORTED_TASK_VERSION must reach the caller who asked for the impossible version."""
    failure = Failure(code=ErrorCode.UNSUPPORTED_TASK_VERSION, message="x", retryable=False)
    desk.settlement.settle(desk.delivery(**REPLY, version=version), Complete(None, failure))
    assert desk.publisher.last.result.error == failure


@pytest.mark.parametrize("wrong", [{"job_id": "7"}, {"job_id": ""}, {"task": "stats"}])
def test_a_job_without_a_proper_name_is_settled_without_an_answer(desk: Desk, wrong: dict[str, Any]) -> None:
    """No result.v1 could name it."""
    desk.settlement.settle(desk.delivery(**REPLY, **wrong), Complete(None, FAILURE))
    assert desk.publisher.messages == []
    assert desk.channel.acked == [7]


# ── retry ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_copy_is_confirmed_before_the_job_is_acked(desk: Desk) -> None:
    # Given a job whose second attempt is due in 20 s
    delivery = desk.delivery(**REPLY, user="shop", body=b"sealed bytes")
    before_ms = int(time.time() * 1000)
    desk.settlement.settle(delivery, RetryLater(20.0, FAILURE))

    # When its copy is on the way
    copy = desk.publisher.last
    assert (copy.exchange, copy.key, copy.body) == ("penstock.retry", "15s.stats.norm", b"sealed bytes")
    assert copy.headers["x-attempt"] == 2
    assert before_ms + 20_000 <= copy.headers["x-not-before"] <= int(time.time() * 1000) + 20_000
    assert copy.headers["x-user"] == "shop"
    assert copy.properties.reply_to == "shop.web-1"

    # Then it is not answered, and acked only when the broker has the copy
    assert desk.channel.untouched
    assert desk.sample("penstock_jobs_retried_total", queue="stats", task="stats.norm") == 0
    copy.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert len(desk.publisher.messages) == 1
    assert desk.sample("penstock_jobs_retried_total", queue="stats", task="stats.norm") == 1


@pytest.mark.parametrize(("delay_s", "level"), [(0.0, "1s"), (1.4, "1s"), (61.0, "1m"), (7200.0, "1h")])
def test_a_retry_waits_in_the_longest_level_that_fits(desk: Desk, delay_s: float, level: str) -> None:
    desk.settlement.settle(desk.delivery(), RetryLater(delay_s, FAILURE))
    assert desk.publisher.last.key == f"{level}.stats.norm"


def test_a_job_that_is_not_due_waits_with_the_attempt_that_it_has(desk: Desk) -> None:
    # Given a job that is due in an hour and a half, before its third attempt
    due_ms = int(time.time() * 1000) + 5_400_000
    desk.settlement.postpone(desk.delivery(attempt=3, not_before_ms=due_ms))

    # When its copy is on the way
    copy = desk.publisher.last

    # Then neither the moment nor the attempt has changed
    assert (copy.key, copy.headers["x-attempt"], copy.headers["x-not-before"]) == ("1h.stats.norm", 3, due_ms)
    assert desk.channel.untouched
    copy.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert desk.sample("penstock_jobs_retried_total", queue="stats", task="stats.norm") == 0


# ── dead letters ────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_copy_is_confirmed_then_answered_and_then_the_job_is_acked(desk: Desk) -> None:
    # Given a job that ended dead
    delivery = desk.delivery(**BOTH, attempt=3, body=b"sealed bytes")
    desk.settlement.settle(delivery, DeadLetter(BODY, FAILURE))

    # When its copy is on the way
    copy = desk.publisher.last
    assert (copy.exchange, copy.key, copy.body) == ("penstock.dead", "stats.norm", b"sealed bytes")
    assert copy.headers["x-error-code"] == "TASK_ERROR"
    assert copy.headers["x-error-message"] == "ValueError: no"
    assert (copy.headers["x-attempt"], copy.headers["x-worker"]) == (3, "shop.worker-1")

    # Then first the copy, then the store, then the reply, then the ack
    assert desk.store.puts == []
    copy.done(Confirm.ACKED)
    assert desk.store.puts[0].body == BODY
    assert desk.channel.untouched
    desk.store.puts[0].done(True)
    assert desk.channel.untouched
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert desk.sample("penstock_jobs_dead_lettered_total", queue="stats", task="stats.norm") == 1


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("stats.norm", "stats.norm"),
        ("stats.median", "stats.median"),
        ("stats", "stats"),
        ("images.thumb", "stats"),
        ("statsx.norm", "stats"),
        ("", "stats"),
    ],
)
def test_a_dead_copy_always_finds_the_dead_queue_of_the_queue_it_came_through(desk: Desk, task: str, key: str) -> None:
    """penstock.dead.stats is bound with `stats.#`."""
    desk.settlement.settle(desk.delivery(task=task), DeadLetter(None, FAILURE))
    assert desk.publisher.last.key == key


def test_an_error_message_of_any_length_fits_into_the_header(desk: Desk) -> None:
    failure = Failure(code="TASK_ERROR", message="ä" * 5000, retryable=False)
    desk.settlement.settle(desk.delivery(), DeadLetter(None, failure))
    assert len(desk.publisher.last.headers["x-error-message"].encode()) <= MAX_ERROR_MESSAGE_BYTES


def test_a_dead_job_of_a_task_that_is_unknown_is_counted_without_its_name(desk: Desk) -> None:
    """Whoever sends nonsense must not make series."""
    desk.settlement.settle(desk.delivery(task="stats.nonsense"), DeadLetter(None, FAILURE))
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.sample("penstock_jobs_dead_lettered_total", queue="stats", task="_OTHER") == 1
    assert b"nonsense" not in desk.metrics.page()


# ── giving back ─────────────────────────────────────────────────────────────────────────────────────


def test_a_job_whose_child_was_lost_is_given_back_and_counted_by_the_broker(desk: Desk) -> None:
    desk.settlement.settle(desk.delivery(**BOTH), GiveBack(FAILURE))
    assert desk.channel.given_back == [(7, True)]
    assert (desk.channel.acked, desk.publisher.messages, desk.store.puts) == ([], [], [])


def test_a_job_that_was_not_started_is_given_back_uncounted(desk: Desk) -> None:
    desk.settlement.return_unstarted(desk.delivery(**BOTH))
    assert desk.channel.given_back == [(7, False)]
    assert (desk.channel.acked, desk.publisher.messages, desk.store.puts) == ([], [], [])


# ── trouble ─────────────────────────────────────────────────────────────────────────────────────────

COPIES: list[Decision] = [RetryLater(5.0, FAILURE), DeadLetter(BODY, FAILURE)]


@pytest.mark.parametrize("decision", COPIES, ids=lambda decision: type(decision).__name__)
@pytest.mark.parametrize("confirm", [Confirm.REFUSED, Confirm.RETURNED])
def test_a_copy_that_the_broker_does_not_take_is_tried_again_with_growing_pauses(
    desk: Desk, loop: FakeLoop, decision: Decision, confirm: Confirm
) -> None:
    # Given a broker that takes no copy
    desk.settlement.settle(desk.delivery(), decision)

    # When each try fails
    pauses = []
    for _ in range(6):
        desk.publisher.last.done(confirm)
        pauses += loop.wait()

    # Then the pauses grow to a bound, it is the same message each time, and nothing is acked
    assert pauses == [0.1, 1.0, 5.0, 15.0, 15.0, 15.0]
    assert len({(message.key, message.body) for message in desk.publisher.messages}) == 1
    assert desk.channel.untouched

    # And when it is taken at last, the job is over
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


@pytest.mark.parametrize("decision", COPIES, ids=lambda decision: type(decision).__name__)
def test_of_a_job_whose_channel_is_gone_no_copy_is_made(desk: Desk, decision: Decision) -> None:
    """The broker hands the job out again; with a copy there would be two of it."""
    desk.channel.open = False
    desk.settlement.settle(desk.delivery(**BOTH), decision)
    assert (desk.publisher.messages, desk.store.puts) == ([], [])


def test_of_a_job_whose_channel_went_during_the_pause_no_copy_is_made(desk: Desk, loop: FakeLoop) -> None:
    # Given a copy that was refused
    desk.settlement.settle(desk.delivery(), RetryLater(5.0, FAILURE))
    desk.publisher.last.done(Confirm.REFUSED)

    # When the channel is lost before it is tried again
    desk.channel.open = False
    loop.wait()

    # Then nothing more is published
    assert len(desk.publisher.messages) == 1
    assert loop.later == []


def test_a_job_that_is_not_due_and_has_lost_its_channel_is_left_to_the_broker(desk: Desk) -> None:
    desk.channel.open = False
    desk.settlement.postpone(desk.delivery(not_before_ms=2**45))
    assert desk.publisher.messages == []


def test_a_result_is_brought_to_its_requester_though_the_channel_is_gone(desk: Desk) -> None:
    """The work is done; a redelivered duplicate loses to it."""
    desk.channel.open = False
    desk.settlement.settle(desk.delivery(**REPLY), Complete(BODY, None))
    assert len(desk.publisher.messages) == 1


# ── helpers ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mode", "reply_to", "expected"),
    [
        (ResultMode.NONE, "shop.web-1", (False, False)),
        (ResultMode.REPLY, "shop.web-1", (False, True)),
        (ResultMode.REPLY, None, (False, False)),
        (ResultMode.REPLY, "", (False, False)),
        (ResultMode.STORED, None, (True, False)),
        (ResultMode.REPLY_AND_STORED, "shop.web-1", (True, True)),
        (ResultMode.REPLY_AND_STORED, None, (True, False)),
    ],
)
def test_who_awaits_a_result(mode: ResultMode, reply_to: str | None, expected: tuple[bool, bool]) -> None:
    assert awaits(make_delivery(mode=mode, reply_to=reply_to)) == expected


def test_log_lines_name_a_job_by_these_fields() -> None:
    delivery = make_delivery(attempt=2, kept={"traceparent": "00-a-b-01", "tracestate": "x=y"})
    assert identity(delivery) == {
        "job_id": JOB_ID,
        "task": "stats.norm",
        "queue": "stats",
        "attempt": 2,
        "traceparent": "00-a-b-01",
    }
