"""decide: what happens to a job whose attempt has ended."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from penstock.domain.decision import Complete, DeadLetter, Decision, RetryLater, decide
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.retry import NO_RETRY, Retry
from penstock.domain.spent import NOTHING, Spent
from penstock.wire.failure import Failure
from penstock.wire.headers import job_id_time_ms
from penstock.wire.registry import DEAD_LETTERED, ErrorCode
from tests.unit.builders import JOB_ID

BORN_MS = job_id_time_ms(JOB_ID)
NOW_MS = BORN_MS + 60_000
BODY = b"result.v1"
#: Waits of exactly two seconds, whatever the attempt.
POLICY = Retry(attempts=3, crashes=3, hangs=2, base=2, cap=2, jitter="none")

#: The code with which each kind of failure usually comes.
CODES = {
    OutcomeKind.RAISED: ErrorCode.TASK_ERROR,
    OutcomeKind.TIMED_OUT: ErrorCode.TIMEOUT,
    OutcomeKind.CANCELLED: ErrorCode.CANCELLED,
    OutcomeKind.CHILD_LOST: ErrorCode.CHILD_LOST,
    OutcomeKind.EXPIRED: ErrorCode.EXPIRED,
    OutcomeKind.UNDECODABLE: ErrorCode.BAD_ENVELOPE,
}
#: Each kind of trouble, and the count of a job's spent that it uses up.
BUDGETS = {OutcomeKind.RAISED: "failures", OutcomeKind.CHILD_LOST: "crashes", OutcomeKind.TIMED_OUT: "hangs"}


def failed(kind: OutcomeKind, *, delay_s: float | None = None, code: str | None = None, **more: Any) -> Outcome:
    failure = Failure(code=code or CODES[kind], message="it went wrong", retryable=delay_s is not None)
    return Outcome(kind, failure=failure, delay_s=delay_s, **more)


def decided(outcome: Outcome, **changes: Any) -> Decision:
    given: dict[str, Any] = {
        "spent": NOTHING,
        "policy": POLICY,
        "job_id": JOB_ID,
        "deadline_ms": None,
        "now_ms": NOW_MS,
        "awaited": True,
    }
    return decide(outcome, **{**given, **changes})


def everything() -> list[tuple[Outcome, dict[str, Any]]]:
    """Every kind of outcome under every budget and deadline that makes a difference."""
    outcomes = [Outcome(OutcomeKind.SUCCEEDED, BODY)]
    outcomes += [failed(kind, delay_s=delay_s) for kind in CODES for delay_s in (None, 0.0, 2.0)]
    combinations = product(
        outcomes,
        (0, 1, 2, 3),
        (0, 1, 2, 3),
        (0, 1, 2),
        (None, NOW_MS - 1, NOW_MS, NOW_MS + 1000, NOW_MS + 1001, NOW_MS + 2000, NOW_MS + 2001),
        (True, False),
    )
    return [
        (
            outcome,
            {
                "spent": Spent(failures=failures, crashes=crashes, hangs=hangs),
                "deadline_ms": deadline_ms,
                "awaited": awaited,
            },
        )
        for outcome, failures, crashes, hangs, deadline_ms, awaited in combinations
    ]


def expected(outcome: Outcome, given: dict[str, Any]) -> type:
    """The rules in words, the first that fits."""
    kind, spent, deadline_ms = outcome.kind, given["spent"], given["deadline_ms"]
    if kind is OutcomeKind.SUCCEEDED:
        return Complete
    if kind is OutcomeKind.CANCELLED:
        return Complete  # nobody wants to find it among the dead
    left = {
        OutcomeKind.RAISED: 3 - spent.failures - 1 if outcome.delay_s is not None else 0,
        OutcomeKind.CHILD_LOST: 3 - spent.crashes - 1,
        OutcomeKind.TIMED_OUT: 2 - spent.hangs - 1,
    }.get(kind, 0)
    wait_ms = max((outcome.delay_s or 0) * 1000 if kind is OutcomeKind.RAISED else 2000, 1000)
    if left > 0 and (deadline_ms is None or deadline_ms > NOW_MS + wait_ms):
        return RetryLater
    return Complete if kind is OutcomeKind.EXPIRED and given["awaited"] else DeadLetter


def test_every_combination_of_outcome_and_budgets_has_the_decision_of_the_rules() -> None:
    # Given every kind of outcome, with every budget below, at and above its limit
    combinations = everything()
    assert len(combinations) > 10_000

    for outcome, given in combinations:
        # When it is decided
        decision = decided(outcome, **given)

        # Then the decision is the one that the rules name
        assert type(decision) is expected(outcome, given), (outcome, given)


def test_the_same_facts_lead_to_the_same_decision() -> None:
    for outcome, given in everything()[::7]:
        assert decided(outcome, **given) == decided(outcome, **given)


# ── success ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_success_is_completed_with_the_body_of_the_child() -> None:
    assert decided(Outcome(OutcomeKind.SUCCEEDED, BODY)) == Complete(BODY, None, NOTHING)


def test_a_success_is_completed_though_every_budget_is_used_up() -> None:
    # Given an attempt beyond all budgets, after its deadline
    spent = Spent(failures=9, crashes=9, hangs=9, deliveries=99, first_at_ms=1)

    # When it succeeded all the same, then the answer counts
    outcome = Outcome(OutcomeKind.SUCCEEDED, BODY)
    assert decided(outcome, spent=spent, deadline_ms=NOW_MS - 1) == Complete(BODY, None, spent)


# ── the three budgets ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", BUDGETS, ids=str)
def test_each_kind_of_trouble_is_counted_in_its_own_budget(kind: OutcomeKind) -> None:
    # Given a job that has had trouble of every kind
    before = Spent(failures=1, crashes=1, hangs=0, deliveries=3, first_at_ms=NOW_MS - 9000, run_ms=500, backoff_ms=700)

    # When an attempt of 1.5 s ends in trouble
    decision = decided(failed(kind, delay_s=2.0, run_s=1.5), spent=before)

    # Then one count has grown, and the account of the time
    assert isinstance(decision, RetryLater)
    name = BUDGETS[kind]
    grown = {name: getattr(before, name) + 1, "run_ms": 2000, "backoff_ms": 2700}
    assert decision.spent == replace(before, **grown)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [(OutcomeKind.RAISED, 3), (OutcomeKind.CHILD_LOST, 3), (OutcomeKind.TIMED_OUT, 2)],
    ids=str,
)
def test_a_budget_that_is_used_up_ends_the_job(kind: OutcomeKind, limit: int) -> None:
    # Given a job that may have so much of one kind of trouble
    for spent in range(limit):
        decision = decided(failed(kind, delay_s=2.0), spent=Spent(**{BUDGETS[kind]: spent}))

        # When it has it once more, then only the last time ends it
        assert type(decision) is (DeadLetter if spent + 1 == limit else RetryLater)


@pytest.mark.parametrize("kind", BUDGETS, ids=str)
def test_one_kind_of_trouble_does_not_use_up_the_budget_of_another(kind: OutcomeKind) -> None:
    others = {name: 99 for other, name in BUDGETS.items() if other is not kind}
    assert isinstance(decided(failed(kind, delay_s=2.0), spent=Spent(**others)), RetryLater)


def test_deliveries_are_nobodys_budget_here() -> None:
    """Hand-outs without an end are judged at the door."""
    spent = Spent(deliveries=1000)
    for kind in BUDGETS:
        assert isinstance(decided(failed(kind, delay_s=2.0), spent=spent), RetryLater)


def test_tries_within_the_slot_are_all_counted() -> None:
    # Given a child that tried twice within its slot
    decision = decided(failed(OutcomeKind.RAISED, delay_s=2.0, tries=2))

    # When, then two failures are spent, and one is left
    assert decision.spent.failures == 2
    assert isinstance(decision, RetryLater)
    assert isinstance(decided(failed(OutcomeKind.RAISED, delay_s=2.0, tries=3)), DeadLetter)


def test_the_first_trouble_is_remembered_with_its_time() -> None:
    # Given a job without trouble, and one that had it before
    fresh, troubled = NOTHING, Spent(failures=1, first_at_ms=NOW_MS - 5000)

    # When they fail, then the time of the first trouble is kept
    for spent, first_at_ms in ((fresh, NOW_MS), (troubled, NOW_MS - 5000)):
        assert decided(failed(OutcomeKind.RAISED, delay_s=1.0), spent=spent).spent.first_at_ms == first_at_ms


@pytest.mark.parametrize("kind", [OutcomeKind.EXPIRED, OutcomeKind.CANCELLED, OutcomeKind.UNDECODABLE], ids=str)
def test_a_job_that_was_not_tried_spends_nothing(kind: OutcomeKind) -> None:
    spent = Spent(failures=1, first_at_ms=5)
    assert decided(failed(kind, run_s=1.0), spent=spent).spent == spent


def test_a_task_without_a_policy_is_tried_again_after_a_crash_only() -> None:
    outcomes = {kind: decided(failed(kind), policy=NO_RETRY) for kind in BUDGETS}
    assert [kind for kind, decision in outcomes.items() if isinstance(decision, RetryLater)] == [OutcomeKind.CHILD_LOST]


# ── when ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_carries_its_moment_and_the_failure() -> None:
    # Given an attempt that failed and may be tried again
    outcome = failed(OutcomeKind.RAISED, delay_s=2.5)

    # When, then
    decision = decided(outcome)
    assert isinstance(decision, RetryLater)
    assert (decision.due_ms, decision.failure) == (NOW_MS + 2500, outcome.failure)


def test_a_delay_of_zero_is_a_retry() -> None:
    assert isinstance(decided(failed(OutcomeKind.RAISED, delay_s=0.0)), RetryLater)


def test_what_a_child_says_of_the_delay_counts_for_what_it_raised_only() -> None:
    """A lost or killed child is judged by the parent: its delay is that of the policy and the attempt."""
    policy = Retry(base=1, cap=60)
    for kind in (OutcomeKind.CHILD_LOST, OutcomeKind.TIMED_OUT):
        decision = decided(failed(kind, delay_s=500.0), policy=policy, spent=Spent(failures=2))
        assert isinstance(decision, RetryLater)
        assert decision.due_ms == NOW_MS + int(policy.delay(3, JOB_ID) * 1000)


@pytest.mark.parametrize(
    ("deadline_ms", "decision"),
    [
        (None, RetryLater),
        (NOW_MS + 1501, RetryLater),
        (NOW_MS + 1500, DeadLetter),  # due at the deadline: nobody waits any more
        (NOW_MS + 1499, DeadLetter),
        (NOW_MS - 1, DeadLetter),
    ],
)
def test_a_retry_is_never_scheduled_at_or_past_the_deadline(deadline_ms: int | None, decision: type) -> None:
    outcome = failed(OutcomeKind.RAISED, delay_s=1.5)
    assert type(decided(outcome, deadline_ms=deadline_ms)) is decision


@pytest.mark.parametrize("delay_s", [0.0, 0.3, 1.0])
def test_a_wait_shorter_than_the_shortest_level_takes_as_long_as_that_level(delay_s: float) -> None:
    """The job would come back after its deadline, and be told that it had waited in a queue."""
    outcome = failed(OutcomeKind.RAISED, delay_s=delay_s)
    assert isinstance(decided(outcome, deadline_ms=NOW_MS + 1000), DeadLetter)
    assert isinstance(decided(outcome, deadline_ms=NOW_MS + 1001), RetryLater)


@pytest.mark.parametrize("kind", [OutcomeKind.CHILD_LOST, OutcomeKind.TIMED_OUT], ids=str)
def test_the_deadline_bounds_the_retries_of_lost_children_too(kind: OutcomeKind) -> None:
    assert isinstance(decided(failed(kind), deadline_ms=NOW_MS + 2000), DeadLetter)
    assert isinstance(decided(failed(kind), deadline_ms=NOW_MS + 2001), RetryLater)


@pytest.mark.parametrize(
    ("first_at_ms", "decision"),
    [(None, RetryLater), (NOW_MS - 7999, RetryLater), (NOW_MS - 8000, DeadLetter), (1, DeadLetter)],
)
def test_no_attempt_is_started_later_than_the_policy_allows_after_the_first_failure(
    first_at_ms: int | None, decision: type
) -> None:
    # Given a policy of ten seconds, and an attempt that would start in two
    policy = replace(POLICY, elapsed=10.0)
    spent = Spent(failures=1, first_at_ms=first_at_ms)

    # When, then
    assert type(decided(failed(OutcomeKind.RAISED, delay_s=2.0), policy=policy, spent=spent)) is decision


# ── the account of the time ─────────────────────────────────────────────────────────────────────────


def test_an_expired_job_is_told_where_its_time_went() -> None:
    # Given a job that is a minute old, ran for 5 s in two attempts, and waited 8 s between them
    spent = Spent(failures=1, crashes=1, run_ms=5000, backoff_ms=8000, first_at_ms=NOW_MS - 30_000)

    # When its deadline has passed
    decision = decided(failed(OutcomeKind.EXPIRED), spent=spent)

    # Then the answer has the rest as time in queues, in numbers and in words
    assert isinstance(decision, Complete)
    assert decision.failure is not None
    assert decision.failure.code == "EXPIRED"
    assert decision.failure.details == {"queue_ms": 47_000, "run_ms": 5000, "backoff_ms": 8000, "attempts": 2}
    assert decision.failure.message == "it went wrong (47 s waiting, 5 s in 2 attempts, 8 s between them)"


def test_a_retry_that_the_deadline_cuts_off_says_so_and_where_the_time_went() -> None:
    # Given a job whose second attempt fails after 10 s, 1 s before its deadline
    spent = Spent(failures=1, run_ms=5000, backoff_ms=2000, first_at_ms=NOW_MS - 12_000)
    outcome = failed(OutcomeKind.RAISED, delay_s=4.0, run_s=10.0)

    # When it is decided
    decision = decided(outcome, spent=spent, deadline_ms=NOW_MS + 1000)

    # Then the error is the task's, with the account; the wait that was not granted is not in it
    assert isinstance(decision, DeadLetter)
    failure = decision.failure
    assert failure.code == "TASK_ERROR"
    assert failure.details == {"queue_ms": 43_000, "run_ms": 15_000, "backoff_ms": 2000, "attempts": 2}
    assert failure.message.startswith("it went wrong; the deadline leaves no time for another attempt (43 s waiting, ")


def test_a_clock_that_is_behind_the_producers_makes_no_negative_time() -> None:
    decision = decided(failed(OutcomeKind.EXPIRED), now_ms=BORN_MS - 5000, spent=Spent(failures=1, run_ms=10))
    assert isinstance(decision, Complete)
    assert decision.failure is not None
    assert decision.failure.details["queue_ms"] == 0


def test_the_facts_of_a_failure_are_kept_beside_the_account() -> None:
    outcome = failed(OutcomeKind.EXPIRED)
    assert outcome.failure is not None
    outcome.failure = replace(outcome.failure, details={"customer": 7})
    decision = decided(outcome)
    assert isinstance(decision, Complete)
    assert decision.failure is not None
    assert decision.failure.details["customer"] == 7


@pytest.mark.parametrize(
    "outcome", [failed(OutcomeKind.RAISED), failed(OutcomeKind.CHILD_LOST), failed(OutcomeKind.UNDECODABLE)]
)
def test_a_job_that_its_deadline_did_not_end_is_told_what_went_wrong_and_no_more(outcome: Outcome) -> None:
    decision = decided(outcome, spent=Spent(failures=2, crashes=2), deadline_ms=NOW_MS + 10**6)
    assert isinstance(decision, DeadLetter)
    assert decision.failure is outcome.failure


# ── the dead queue ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", list(ErrorCode))
def test_the_registry_says_which_awaited_failures_are_kept_in_the_dead_queue(code: ErrorCode) -> None:
    # Given a failure that is not tried again, and somebody who awaits the answer
    decision = decided(failed(OutcomeKind.RAISED, code=code))

    # When it is decided, then it is kept only if the registry says so; the answer goes out either way
    assert isinstance(decision, DeadLetter if DEAD_LETTERED[code] else Complete)
    assert decision.failure is not None
    assert decision.failure.code == code


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_failure_that_nobody_awaits_is_always_kept(code: ErrorCode) -> None:
    assert isinstance(decided(failed(OutcomeKind.RAISED, code=code), awaited=False), DeadLetter)


def test_a_code_of_the_tasks_own_is_kept() -> None:
    assert isinstance(decided(failed(OutcomeKind.RAISED, code="NO_SUCH_CUSTOMER")), DeadLetter)
