"""Settlement: whatever stands in for a message is confirmed before the message is acked."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.broker.ports import Confirm
from penstock.domain.decision import Complete, DeadLetter, Decision, RetryLater
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.spent import NOTHING, Spent
from penstock.domain.topology import Topology
from penstock.memory_file import MemoryFile
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure
from penstock.wire.registry import (
    BLOB_GRACE_MS,
    BLOB_SETTLED_MS,
    BLOB_TTL_MS,
    MAX_ERROR_MESSAGE_BYTES,
    ErrorCode,
    ResultMode,
)
from penstock.worker import settlement as module
from penstock.worker.in_hand import Meeting
from penstock.worker.settlement import awaits, identity
from tests.unit.broker.fakes import FakeLoop
from tests.unit.builders import JOB_ID, make_delivery
from tests.unit.worker.fakes import Desk, FakeChannel

BODY = b"result.v1 of the child"
FAILURE = Failure(code="TASK_ERROR", message="ValueError: no", retryable=False)
RAISED = Outcome(OutcomeKind.RAISED, failure=FAILURE, run_s=0.5)
SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED, BODY)
DONE = Complete(BODY, None, NOTHING)
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


def now_ms() -> int:
    return int(time.time() * 1000)


def complete(desk: Desk, **changes: Any) -> Delivery:
    """A job has succeeded."""
    delivery = desk.delivery(**changes)
    desk.settlement.settle(delivery, SUCCEEDED, DONE)
    return delivery


def fail(desk: Desk, decision: Decision, outcome: Outcome = RAISED, **changes: Any) -> Delivery:
    delivery = desk.delivery(**changes)
    desk.settlement.settle(delivery, outcome, decision)
    return delivery


def retry(desk: Desk, delay_s: float = 5.0, spent: Spent | None = None, **changes: Any) -> Delivery:
    due_ms = now_ms() + int(delay_s * 1000)
    return fail(desk, RetryLater(due_ms, FAILURE, spent or Spent(failures=1)), **changes)


def again(desk: Desk, **changes: Any) -> Meeting:
    """The broker hands the job out again, over a new channel."""
    return desk.in_hand.meet(make_delivery(**{"channel": FakeChannel(), "tag": 1, "again": True, **changes}))


# ── complete ────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_nobody_awaits_is_acked_at_once(desk: Desk) -> None:
    complete(desk)
    assert desk.channel.acked == [7]
    assert (desk.publisher.messages, desk.store.puts) == ([], [])


def test_a_reply_is_confirmed_before_the_job_is_acked(desk: Desk) -> None:
    # Given a job that somebody awaits
    complete(desk, **REPLY)

    # When its reply is on the way
    (reply,) = desk.publisher.messages
    assert (reply.exchange, reply.key, reply.body) == ("penstock.replies", "shop.web-1", BODY)
    assert (reply.properties.type, reply.properties.correlation_id) == ("result.v1", JOB_ID)

    # Then the job is not settled before the broker has confirmed it
    assert desk.channel.untouched
    assert len(desk.in_hand) == 1
    reply.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert len(desk.in_hand) == 0


def test_a_stored_result_is_certain_before_the_job_is_acked(desk: Desk) -> None:
    # Given a job whose result is to be kept
    complete(desk, **STORED)

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
    complete(desk, **BOTH)
    assert desk.publisher.messages == []

    # When the write is certain, then the reply leaves; when that is confirmed, the ack
    desk.store.puts[0].done(True)
    assert desk.channel.untouched
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


def test_a_result_that_lost_to_an_earlier_one_is_counted_and_the_job_is_over(desk: Desk) -> None:
    complete(desk, **STORED)
    desk.store.puts[0].done(False)
    assert desk.channel.acked == [7]
    assert desk.sample("penstock_results_duplicate_total", queue="stats") == 1


@pytest.mark.parametrize(("kept", "replied"), [(b"the first result", b"the first result"), (None, BODY)])
def test_of_two_results_the_one_that_is_stored_is_replied(desk: Desk, kept: bytes | None, replied: bytes) -> None:
    """The worker that stored the first one may have died before its reply; the caller must not see two results."""
    # Given a result that lost to an earlier one
    complete(desk, **BOTH)
    desk.store.puts[0].done(False)
    assert desk.publisher.messages == []

    # When the earlier one is read (it may have expired meanwhile)
    desk.store.finds[0].done(kept)

    # Then that is the reply
    assert desk.publisher.last.body == replied
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


def test_a_reply_whose_requester_is_gone_is_counted_and_the_job_is_over(desk: Desk) -> None:
    # Given a reply
    complete(desk, **REPLY)

    # When no queue takes it
    desk.publisher.last.done(Confirm.RETURNED)

    # Then nobody waits for it any more
    assert desk.channel.acked == [7]
    assert len(desk.publisher.messages) == 1
    assert len(desk.in_hand) == 0
    assert desk.sample("penstock_replies_unroutable_total", queue="stats") == 1


def test_a_reply_that_nobody_took_is_no_end_for_whoever_asks_again(desk: Desk) -> None:
    complete(desk, **REPLY)
    desk.publisher.last.done(Confirm.RETURNED)
    assert again(desk, **REPLY) is Meeting.NEW


def test_a_reply_that_was_taken_is_the_end(desk: Desk) -> None:
    complete(desk, **REPLY)
    desk.publisher.last.done(Confirm.ACKED)
    assert again(desk, **REPLY) is Meeting.ENDED


def test_a_reply_that_the_broker_refuses_is_sent_until_there_is_another_answer(desk: Desk, loop: FakeLoop) -> None:
    # Given a reply that is refused, as happens while the requester's queue is being deleted
    complete(desk, **REPLY)

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


def test_a_reply_that_is_refused_while_the_channel_is_lost_is_left_to_the_next_delivery(
    desk: Desk, loop: FakeLoop
) -> None:
    """Had it counted as an end, the job would have been acked without an answer when it came again."""
    # Given a reply on its way
    complete(desk, **REPLY)

    # When the channel is lost, and the reply refused
    desk.channel.open = False
    desk.publisher.last.done(Confirm.REFUSED)

    # Then the job is not held, and run when it comes again
    assert (loop.later, len(desk.in_hand)) == ([], 0)
    assert again(desk, **REPLY) is Meeting.NEW


def test_without_a_reply_to_there_is_nobody_to_answer(desk: Desk) -> None:
    complete(desk, mode=ResultMode.REPLY)
    assert desk.publisher.messages == []
    assert desk.channel.acked == [7]


# ── answers that the parent writes itself ───────────────────────────────────────────────────────────


def refused(desk: Desk, code: str = ErrorCode.EXPIRED, **changes: Any) -> Failure:
    """A job is refused at the door."""
    failure = Failure(code=code, message="too late", retryable=False, details={"queue_ms": 5})
    outcome = Outcome(OutcomeKind.EXPIRED, failure=failure)
    desk.settlement.settle(desk.delivery(**changes), outcome, Complete(None, failure, NOTHING))
    return failure


def test_the_parent_writes_the_error_of_a_job_that_was_refused(desk: Desk) -> None:
    # Given a job that was refused at the door
    before_ms = now_ms()
    failure = refused(desk, **REPLY, version=3)

    # When the caller reads the answer, then it is a proper result, with the facts
    result = desk.publisher.last.result
    assert (result.job_id, result.task, result.tv) == (JOB_ID, "stats.norm", 3)
    assert (result.attempt, result.started_at, result.worker) == (0, None, "shop.worker-1")
    assert before_ms <= result.finished_at <= now_ms()
    assert result.error == failure
    assert result.error is not None
    assert dict(result.error.details) == {"queue_ms": 5}


def test_the_error_of_an_attempt_says_which_it_was_and_when_it_began(desk: Desk) -> None:
    # Given the third attempt of a job, which raised after half a second
    before_ms = now_ms()
    fail(desk, DeadLetter(FAILURE, Spent(failures=2, crashes=1)), RAISED, **REPLY)
    desk.publisher.last.done(Confirm.ACKED)

    # When the caller reads the answer
    result = desk.publisher.last.result

    # Then
    assert result.attempt == 3
    assert result.started_at is not None
    assert before_ms - 500 <= result.started_at <= now_ms() - 500
    assert result.started_at + 500 == result.finished_at


@pytest.mark.parametrize(
    ("kind", "attempt"),
    [
        (OutcomeKind.RAISED, 2),
        (OutcomeKind.CHILD_LOST, 2),
        (OutcomeKind.TIMED_OUT, 2),
        (OutcomeKind.EXPIRED, 0),
        (OutcomeKind.UNDECODABLE, 0),
    ],
    ids=str,
)
def test_the_attempt_of_a_job_that_never_began_is_zero(desk: Desk, kind: OutcomeKind, attempt: int) -> None:
    outcome = Outcome(kind, failure=FAILURE)
    desk.settlement.settle(desk.delivery(**REPLY), outcome, Complete(None, FAILURE, Spent(failures=2)))
    assert desk.publisher.last.result.attempt == attempt


@pytest.mark.parametrize("kind", [OutcomeKind.CHILD_LOST, OutcomeKind.TIMED_OUT, OutcomeKind.UNDECODABLE], ids=str)
def test_when_an_attempt_began_is_said_where_a_child_has_measured_it(desk: Desk, kind: OutcomeKind) -> None:
    outcome = Outcome(kind, failure=FAILURE, run_s=1.0)
    desk.settlement.settle(desk.delivery(**REPLY), outcome, Complete(None, FAILURE, Spent(hangs=1)))
    assert desk.publisher.last.result.started_at is None


@pytest.mark.parametrize("version", [0, -5, 2**31, 2**62])
def test_the_answer_can_be_read_whatever_the_header_of_the_version_said(desk: Desk, version: int) -> None:
    """UNSUPPORTED_TASK_VERSION must reach the caller who asked for the impossible version."""
    failure = refused(desk, ErrorCode.UNSUPPORTED_TASK_VERSION, **REPLY, version=version)
    assert desk.publisher.last.result.error == failure


@pytest.mark.parametrize("wrong", [{"job_id": "7"}, {"job_id": ""}, {"task": "stats"}])
def test_a_job_without_a_proper_name_is_settled_without_an_answer(desk: Desk, wrong: dict[str, Any]) -> None:
    """No result.v1 could name it."""
    refused(desk, **REPLY, **wrong)
    assert desk.publisher.messages == []
    assert desk.channel.acked == [7]


# ── retry ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_copy_is_confirmed_before_the_job_is_acked(desk: Desk) -> None:
    # Given a job whose second attempt is due in 20 s
    due_ms = now_ms() + 20_000
    spent = Spent(crashes=1, first_at_ms=5, run_ms=100, backoff_ms=20_000)
    fail(desk, RetryLater(due_ms, FAILURE, spent), **REPLY, user="shop", body=b"sealed bytes")

    # When its copy is on the way
    copy = desk.publisher.last
    assert (copy.exchange, copy.key, copy.body) == ("penstock.retry", "15s.stats.norm", b"sealed bytes")
    assert (copy.headers["x-not-before"], copy.headers["x-user"]) == (due_ms, "shop")
    assert copy.properties.reply_to == "shop.web-1"
    account = {"x-attempt": 2, "x-crashes": 1, "x-first-at": 5, "x-run-ms": 100, "x-backoff-ms": 20_000}
    assert copy.headers == copy.headers | account

    # Then it is not answered, and acked only when the broker has the copy
    assert desk.channel.untouched
    assert desk.sample("penstock_jobs_retried_total", queue="stats", task="stats.norm") == 0
    copy.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert len(desk.publisher.messages) == 1
    assert len(desk.in_hand) == 0
    assert desk.sample("penstock_jobs_retried_total", queue="stats", task="stats.norm") == 1


def test_a_job_whose_copy_waits_is_not_over(desk: Desk) -> None:
    retry(desk)
    desk.publisher.last.done(Confirm.ACKED)
    assert again(desk, attempt=2) is Meeting.NEW


@pytest.mark.parametrize(("delay_s", "level"), [(0.0, "1s"), (1.4, "1s"), (61.0, "1m"), (7200.5, "1h"), (1e9, "1h")])
def test_a_retry_waits_in_the_longest_level_that_fits(desk: Desk, delay_s: float, level: str) -> None:
    retry(desk, delay_s)
    assert desk.publisher.last.key == f"{level}.stats.norm"


def test_a_job_that_is_not_due_waits_with_the_account_that_it_has(desk: Desk) -> None:
    # Given a job that is due in an hour and a half, before its third attempt
    due_ms = now_ms() + 5_400_000
    spent = Spent(failures=1, hangs=1, deliveries=3)
    desk.settlement.postpone(desk.delivery(attempt=3, spent=spent, not_before_ms=due_ms), due_ms)

    # When its copy is on the way, then neither the moment nor the account has changed
    copy = desk.publisher.last
    assert (copy.key, copy.headers["x-not-before"]) == ("1h.stats.norm", due_ms)
    assert (copy.headers["x-attempt"], copy.headers["x-hangs"], copy.headers["x-deliveries"]) == (3, 1, 3)
    assert desk.channel.untouched
    copy.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert desk.sample("penstock_jobs_retried_total", queue="stats", task="stats.norm") == 0


def test_a_worn_message_is_replaced_by_a_copy_that_comes_back_at_once(desk: Desk) -> None:
    # Given a message that was handed out six times
    desk.settlement.refresh(desk.delivery(returns=6, spent=Spent(deliveries=6)))

    # When, then
    copy = desk.publisher.last
    assert (copy.key, copy.headers["x-deliveries"], copy.headers["x-attempt"]) == ("1s.stats.norm", 6, 1)
    assert copy.headers["x-not-before"] <= now_ms()
    assert desk.channel.untouched
    copy.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


# ── dead letters ────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_copy_is_confirmed_then_answered_and_then_the_job_is_acked(desk: Desk) -> None:
    # Given a job that ended dead
    fail(desk, DeadLetter(FAILURE, Spent(failures=3)), **BOTH, body=b"sealed bytes")

    # When its copy is on the way
    copy = desk.publisher.last
    assert (copy.exchange, copy.key, copy.body) == ("penstock.dead", "stats.norm", b"sealed bytes")
    assert copy.headers["x-error-code"] == "TASK_ERROR"
    assert copy.headers["x-error-message"] == "ValueError: no"
    assert (copy.headers["x-attempt"], copy.headers["x-worker"]) == (3, "shop.worker-1")

    # Then first the copy, then the store, then the reply, then the ack
    assert desk.store.puts == []
    copy.done(Confirm.ACKED)
    body = desk.store.puts[0].body
    assert desk.channel.untouched
    desk.store.puts[0].done(True)
    assert desk.publisher.last.body == body
    assert desk.channel.untouched
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert len(desk.in_hand) == 0
    assert desk.sample("penstock_jobs_dead_lettered_total", queue="stats", task="stats.norm") == 1


def test_a_dead_copy_carries_the_evidence(desk: Desk) -> None:
    evidence = Evidence(exit="SIGKILL", peak_rss=4 * 2**30, stack="Thread 0x1")
    lost = Outcome(OutcomeKind.CHILD_LOST, failure=FAILURE, evidence=evidence)
    fail(desk, DeadLetter(FAILURE, Spent(crashes=3)), lost)
    headers = desk.publisher.last.headers
    assert (headers["x-exit"], headers["x-peak-rss"], headers["x-trace"], headers["x-crashes"]) == (
        "SIGKILL",
        4 * 2**30,
        "Thread 0x1",
        3,
    )


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
    fail(desk, DeadLetter(FAILURE, NOTHING), task=task)
    assert desk.publisher.last.key == key


def test_an_error_message_of_any_length_fits_into_the_header(desk: Desk) -> None:
    fail(desk, DeadLetter(Failure(code="TASK_ERROR", message="ä" * 5000, retryable=False), NOTHING))
    assert len(desk.publisher.last.headers["x-error-message"].encode()) <= MAX_ERROR_MESSAGE_BYTES


def test_a_dead_job_of_a_task_that_is_unknown_is_counted_without_its_name(desk: Desk) -> None:
    """Whoever sends nonsense must not make series."""
    fail(desk, DeadLetter(FAILURE, NOTHING), task="stats.nonsense")
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.sample("penstock_jobs_dead_lettered_total", queue="stats", task="_OTHER") == 1
    assert b"nonsense" not in desk.metrics.page()


# ── giving back ─────────────────────────────────────────────────────────────────────────────────────


def test_where_the_broker_counts_nothing_a_job_that_was_not_started_is_given_back(desk: Desk) -> None:
    # Given RabbitMQ 4.3
    desk.gives_back_free = True

    # When, then
    desk.settlement.return_unstarted(desk.delivery(**BOTH))
    assert desk.channel.given_back == [(7, False)]
    assert (desk.channel.acked, desk.publisher.messages, desk.store.puts) == ([], [], [])
    assert len(desk.in_hand) == 0


def test_where_the_broker_counts_it_a_copy_goes_in_its_place(desk: Desk) -> None:
    # Given an older broker, and a job that has spent something
    spent = Spent(failures=1, deliveries=2)
    desk.settlement.return_unstarted(desk.delivery(**BOTH, attempt=2, spent=spent))

    # When, then a copy comes back at once, with nothing more spent
    copy = desk.publisher.last
    assert (copy.exchange, copy.key) == ("penstock.retry", "1s.stats.norm")
    assert (copy.headers["x-attempt"], copy.headers["x-deliveries"]) == (2, 2)
    assert desk.channel.untouched
    copy.done(Confirm.ACKED)
    assert (desk.channel.acked, desk.channel.given_back) == ([7], [])
    assert len(desk.in_hand) == 0


def test_a_job_that_is_not_due_keeps_its_moment_when_it_is_given_back_by_a_copy(desk: Desk) -> None:
    due_ms = now_ms() + 3_600_500
    desk.settlement.return_unstarted(desk.delivery(not_before_ms=due_ms))
    assert (desk.publisher.last.headers["x-not-before"], desk.publisher.last.key) == (due_ms, "1h.stats.norm")


def test_a_job_that_was_cut_off_while_it_ran_is_told_from_its_next_start(desk: Desk) -> None:
    """What it had sent when it was killed may arrive late; the fence of the next start is larger."""
    # Given an older broker, and a job that was running when its worker had to stop
    desk.settlement.return_begun(desk.delivery(attempt=2, spent=Spent(failures=1, deliveries=2)))

    # When, then its copy counts a hand-out that came to no end, and no attempt
    copy = desk.publisher.last
    assert (copy.headers["x-attempt"], copy.headers["x-deliveries"]) == (2, 3)
    copy.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


def test_where_the_broker_counts_every_hand_out_a_job_that_was_cut_off_is_given_back(desk: Desk) -> None:
    """RabbitMQ 4.3 says how often a message was taken, and the fence grows with that."""
    desk.gives_back_free = True
    desk.settlement.return_begun(desk.delivery())
    assert (desk.channel.given_back, len(desk.in_hand)) == ([(7, False)], 0)


def test_a_message_without_a_proper_id_is_given_back_as_it_is(desk: Desk) -> None:
    """It could not be read, so no copy of it is made either."""
    desk.settlement.return_unstarted(desk.delivery(job_id="7"))
    assert desk.channel.given_back == [(7, False)]
    assert desk.publisher.messages == []


@pytest.mark.parametrize("free", [True, False])
def test_a_job_whose_channel_is_gone_has_gone_back_already(desk: Desk, free: bool) -> None:
    desk.gives_back_free = free
    desk.channel.open = False
    desk.settlement.return_unstarted(desk.delivery())
    assert (desk.channel.given_back, desk.publisher.messages, len(desk.in_hand)) == ([], [], 0)


# ── trouble ─────────────────────────────────────────────────────────────────────────────────────────

COPIES: list[Decision] = [RetryLater(5, FAILURE, Spent(failures=1)), DeadLetter(FAILURE, Spent(failures=3))]


@pytest.mark.parametrize("decision", COPIES, ids=lambda decision: type(decision).__name__)
@pytest.mark.parametrize("confirm", [Confirm.REFUSED, Confirm.RETURNED])
def test_a_copy_that_the_broker_does_not_take_is_tried_again_with_growing_pauses(
    desk: Desk, loop: FakeLoop, decision: Decision, confirm: Confirm
) -> None:
    # Given a broker that takes no copy
    fail(desk, decision)

    # When each try fails
    pauses = []
    for _ in range(6):
        desk.publisher.last.done(confirm)
        pauses += loop.wait()

    # Then the pauses grow to a bound, it is the same message each time, and nothing is acked
    assert pauses == [0.1, 1.0, 5.0, 15.0, 15.0, 15.0]
    assert len({(message.key, message.body) for message in desk.publisher.messages}) == 1
    assert desk.channel.untouched
    assert len(desk.in_hand) == 1

    # And when it is taken at last, the job is over
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]
    assert len(desk.in_hand) == 0


@pytest.mark.parametrize("decision", COPIES, ids=lambda decision: type(decision).__name__)
def test_of_a_job_whose_channel_is_gone_no_copy_is_made(desk: Desk, decision: Decision) -> None:
    """The broker hands the job out again; with a copy there would be two of it."""
    desk.channel.open = False
    fail(desk, decision, **BOTH)
    assert (desk.publisher.messages, desk.store.puts) == ([], [])
    assert again(desk, **BOTH) is Meeting.NEW


def test_of_a_job_whose_channel_went_during_the_pause_no_copy_is_made(desk: Desk, loop: FakeLoop) -> None:
    # Given a copy that was refused
    retry(desk)
    desk.publisher.last.done(Confirm.REFUSED)

    # When the channel is lost before it is tried again
    desk.channel.open = False
    loop.wait()

    # Then nothing more is published, and the job is free to come again
    assert len(desk.publisher.messages) == 1
    assert loop.later == []
    assert len(desk.in_hand) == 0


def test_a_job_that_came_again_during_the_pause_is_settled_by_its_new_delivery(desk: Desk, loop: FakeLoop) -> None:
    # Given a copy that was refused, and a channel that is lost
    delivery = retry(desk)
    desk.publisher.last.done(Confirm.REFUSED)
    desk.channel.open = False

    # When the job is handed out again before the copy is tried again
    assert again(desk) is Meeting.ADOPTED
    channel: Any = delivery.channel
    loop.wait()

    # Then the copy stands in for the new delivery
    assert len(desk.publisher.messages) == 2
    desk.publisher.last.done(Confirm.ACKED)
    assert (channel.acked, desk.channel.acked) == ([1], [])
    assert len(desk.in_hand) == 0


def test_an_answer_that_is_confirmed_after_the_job_came_again_acks_the_new_delivery(desk: Desk) -> None:
    # Given a reply on its way, and a channel that is lost
    delivery = complete(desk, **REPLY)
    desk.channel.open = False

    # When the job is handed out again before the confirm comes
    assert again(desk, **REPLY) is Meeting.ADOPTED
    channel: Any = delivery.channel
    desk.publisher.last.done(Confirm.ACKED)

    # Then
    assert (channel.acked, desk.channel.acked) == ([1], [])


def test_a_job_that_is_not_due_and_has_lost_its_channel_is_left_to_the_broker(desk: Desk) -> None:
    desk.channel.open = False
    desk.settlement.postpone(desk.delivery(not_before_ms=2**45), 2**45)
    assert (desk.publisher.messages, len(desk.in_hand)) == ([], 0)


def test_a_result_is_brought_to_its_requester_though_the_channel_is_gone(desk: Desk) -> None:
    """The work is done; a redelivered duplicate loses to it."""
    desk.channel.open = False
    complete(desk, **REPLY)
    desk.publisher.last.done(Confirm.ACKED)
    assert len(desk.publisher.messages) == 1
    assert again(desk, **REPLY) is Meeting.ENDED


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


# ── long results and long bodies ────────────────────────────────────────────────────────────────────

LONG = b"long " * 1000
BLOB = Blob.of(LONG)
CLAIM: dict[str, Any] = {"blob": Blob("ab" * 32, 5000), "body": b""}


def complete_long(desk: Desk, **changes: Any) -> Delivery:
    """A job has succeeded with a result that is too long for a message."""
    delivery = desk.delivery(**changes)
    outcome = Outcome(OutcomeKind.SUCCEEDED, b"", blob=BLOB, file=MemoryFile.holding(LONG))
    desk.settlement.settle(delivery, outcome, Complete(b"", None, NOTHING))
    return delivery


def claimed(desk: Desk) -> dict[str, Any]:
    """What the reply says of the result, which it does not have."""
    reply = desk.publisher.last
    assert (reply.exchange, reply.key, reply.body) == ("penstock.replies", "shop.web-1", b"")
    return reply.headers


def test_a_long_result_is_in_the_store_before_the_reply_names_it(desk: Desk) -> None:
    # Given a long result
    complete_long(desk, **REPLY)
    (keep,) = desk.store.blobs.keeps
    assert (keep.job_id, keep.blob, keep.body, keep.ttl_ms) == (JOB_ID, BLOB, LONG, BLOB_GRACE_MS)
    assert desk.publisher.messages == []

    # When it is kept, then the reply names it, and its confirm is the end
    keep.done()
    assert claimed(desk) == {"x-blob": BLOB.sha256, "x-blob-size": len(LONG)}
    assert desk.channel.untouched
    desk.publisher.last.done(Confirm.ACKED)
    assert desk.channel.acked == [7]


def test_a_long_result_that_is_only_stored_is_no_blob_afterwards(desk: Desk) -> None:
    complete_long(desk, **STORED)
    (put,) = desk.store.puts
    assert (put.job_id, put.body, put.reply_to, put.as_blob) == (JOB_ID, LONG, "shop.web-1", False)
    put.done(True)
    assert desk.channel.acked == [7]
    assert desk.publisher.messages == []


def test_a_long_result_that_is_stored_and_replied_is_written_once(desk: Desk) -> None:
    complete_long(desk, **BOTH)
    (put,) = desk.store.puts
    assert put.as_blob
    put.done(True)
    assert desk.store.blobs.keeps == []
    assert claimed(desk)["x-blob"] == BLOB.sha256


def test_an_earlier_result_is_replied_in_place_of_a_long_one(desk: Desk) -> None:
    complete_long(desk, **BOTH)
    desk.store.puts[0].done(False)
    desk.store.finds[0].done(b"earlier")
    assert desk.publisher.last.body == b"earlier"


def test_a_long_result_that_was_found_is_replied_as_a_blob(desk: Desk) -> None:
    desk.settlement.found_result(desk.delivery(**BOTH), LONG)
    (keep,) = desk.store.blobs.keeps
    assert (keep.blob, keep.body) == (BLOB, LONG)
    keep.done()
    assert claimed(desk)["x-blob-size"] == len(LONG)


def test_a_long_result_that_nobody_awaits_goes_nowhere(desk: Desk) -> None:
    complete_long(desk)
    assert desk.channel.acked == [7]
    assert (desk.store.puts, desk.store.blobs.keeps, desk.publisher.messages) == ([], [], [])


def test_a_long_body_is_let_go_soon_after_its_job(desk: Desk) -> None:
    complete(desk, **CLAIM)
    assert desk.store.blobs.lifetimes == {(JOB_ID, "ab" * 32): BLOB_SETTLED_MS}


def test_a_long_body_outlives_the_wait_for_the_next_attempt(desk: Desk) -> None:
    # Given a job without a deadline, and one with
    retry(desk, 60.0, **CLAIM)
    lifetime_ms = desk.store.blobs.lifetimes.pop((JOB_ID, "ab" * 32))
    assert lifetime_ms == pytest.approx(60_000 + BLOB_TTL_MS, abs=5000)
    copy = desk.publisher.last
    assert (copy.headers["x-blob"], copy.headers["x-blob-size"], copy.body) == ("ab" * 32, 5000, b"")

    # Then that of the other lives as its producer said
    retry(desk, 60.0, **CLAIM, deadline_ms=now_ms() + 120_000)
    assert desk.store.blobs.lifetimes == {}


def test_the_body_of_a_dead_job_is_kept_for_its_replay(desk: Desk) -> None:
    fail(desk, DeadLetter(FAILURE, Spent(failures=1)), **CLAIM, **REPLY)
    assert desk.publisher.last.headers["x-blob"] == "ab" * 32
    desk.publisher.last.done(Confirm.ACKED)  # the dead copy
    desk.publisher.last.done(Confirm.ACKED)  # the reply
    assert desk.channel.acked == [7]
    assert desk.store.blobs.lifetimes == {(JOB_ID, "ab" * 32): BLOB_TTL_MS}


def test_what_a_requester_takes_travels_with_every_copy(desk: Desk) -> None:
    retry(desk, max_result=5_000_000)
    assert desk.publisher.last.headers["x-max-result"] == 5_000_000
    retry(desk)
    assert "x-max-result" not in desk.publisher.last.headers
