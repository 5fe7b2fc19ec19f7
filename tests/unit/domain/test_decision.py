"""decide: what happens to a job whose attempt has ended."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from penstock.domain.decision import Complete, DeadLetter, Decision, GiveBack, RetryLater, decide
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.wire.failure import Failure
from penstock.wire.registry import CRASH_LIMIT, DEAD_LETTERED, ErrorCode

NOW_MS = 1_730_000_000_000
BODY = b"result.v1"

#: The code with which each kind of failure usually comes.
CODES = {
    OutcomeKind.RAISED: ErrorCode.TASK_ERROR,
    OutcomeKind.TIMED_OUT: ErrorCode.TIMEOUT,
    OutcomeKind.CANCELLED: ErrorCode.CANCELLED,
    OutcomeKind.CHILD_LOST: ErrorCode.CHILD_LOST,
    OutcomeKind.EXPIRED: ErrorCode.EXPIRED,
    OutcomeKind.UNDECODABLE: ErrorCode.BAD_ENVELOPE,
}


def failed(
    kind: OutcomeKind, *, delay_s: float | None = None, code: str | None = None, body: bytes | None = BODY
) -> Outcome:
    failure = Failure(code=code or CODES[kind], message="it went wrong", retryable=delay_s is not None)
    return Outcome(kind, body, failure, delay_s=delay_s)


def decided(outcome: Outcome, **changes: Any) -> Decision:
    given: dict[str, Any] = {
        "attempt": 1,
        "attempts": 3,
        "deliveries": 1,
        "deadline_ms": None,
        "now_ms": NOW_MS,
        "awaited": True,
    }
    return decide(outcome, **{**given, **changes})


def everything() -> list[tuple[Outcome, dict[str, Any]]]:
    """Every kind of outcome under every budget and deadline that makes a difference."""
    outcomes = [Outcome(OutcomeKind.SUCCEEDED, BODY)]
    outcomes += [failed(kind, delay_s=delay_s) for kind in CODES for delay_s in (None, 0.0, 2.0)]
    budgets = product(
        outcomes,
        (1, 2, 3, 4),
        (1, 3),
        (1, CRASH_LIMIT - 1, CRASH_LIMIT, CRASH_LIMIT + 1),
        (None, NOW_MS - 1, NOW_MS, NOW_MS + 1, NOW_MS + 2000, NOW_MS + 2001),
        (True, False),
    )
    names = ("attempt", "attempts", "deliveries", "deadline_ms", "awaited")
    return [(outcome, dict(zip(names, rest, strict=True))) for outcome, *rest in budgets]


def expected(outcome: Outcome, given: dict[str, Any]) -> type:
    """The rules in words, the first that fits."""
    kind, delay_s = outcome.kind, outcome.delay_s
    if kind is OutcomeKind.SUCCEEDED:
        return Complete
    if kind is OutcomeKind.CHILD_LOST and given["deliveries"] in (1, 2):
        return GiveBack
    attempts_left = given["attempts"] - given["attempt"]
    time_left = given["deadline_ms"] is None or (delay_s is not None and given["deadline_ms"] - NOW_MS > 1000 * delay_s)
    if delay_s is not None and attempts_left > 0 and time_left:
        return RetryLater
    answered_only = kind in (OutcomeKind.EXPIRED, OutcomeKind.CANCELLED)
    return Complete if answered_only and given["awaited"] else DeadLetter


def test_every_combination_of_outcome_and_budgets_has_the_decision_of_the_rules() -> None:
    # Given every kind of outcome, with every budget below, at and above its limit
    combinations = everything()
    assert len(combinations) > 3000

    for outcome, given in combinations:
        # When it is decided
        decision = decided(outcome, **given)

        # Then the decision is the one that the rules name
        assert type(decision) is expected(outcome, given), (outcome, given)


def test_the_same_facts_lead_to_the_same_decision() -> None:
    for outcome, given in everything():
        assert decided(outcome, **given) == decided(outcome, **given)


def test_a_success_is_completed_with_the_body_of_the_child() -> None:
    assert decided(Outcome(OutcomeKind.SUCCEEDED, BODY)) == Complete(BODY, None)


def test_a_success_is_completed_though_every_budget_is_used_up() -> None:
    # Given an attempt beyond all budgets, after its deadline
    spent = {"attempt": 9, "attempts": 1, "deliveries": 99, "deadline_ms": NOW_MS - 1}

    # When it succeeded all the same, then the answer counts
    assert decided(Outcome(OutcomeKind.SUCCEEDED, BODY), **spent) == Complete(BODY, None)


def test_a_retry_carries_the_delay_and_the_failure() -> None:
    # Given an attempt that failed and may be tried again
    outcome = failed(OutcomeKind.RAISED, delay_s=2.5)

    # When, then
    assert outcome.failure is not None
    assert decided(outcome) == RetryLater(2.5, outcome.failure)


def test_a_delay_of_zero_is_a_retry() -> None:
    assert isinstance(decided(failed(OutcomeKind.RAISED, delay_s=0.0)), RetryLater)


@pytest.mark.parametrize(("attempt", "decision"), [(1, RetryLater), (2, RetryLater), (3, DeadLetter)])
def test_the_last_attempt_is_not_followed_by_another(attempt: int, decision: type) -> None:
    outcome = failed(OutcomeKind.RAISED, delay_s=1.0)
    assert type(decided(outcome, attempt=attempt, attempts=3)) is decision


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


@pytest.mark.parametrize(
    ("deliveries", "decision"),
    [(1, GiveBack), (CRASH_LIMIT - 1, GiveBack), (CRASH_LIMIT, DeadLetter), (CRASH_LIMIT + 1, DeadLetter)],
)
def test_a_job_whose_child_died_is_given_back_until_the_crash_limit(deliveries: int, decision: type) -> None:
    outcome = failed(OutcomeKind.CHILD_LOST, body=None)
    assert type(decided(outcome, deliveries=deliveries)) is decision


def test_a_crash_is_given_back_though_the_attempts_are_used_up() -> None:
    """Failures and crashes are budgets of their own."""
    outcome = failed(OutcomeKind.CHILD_LOST, body=None)
    assert isinstance(decided(outcome, attempt=3, attempts=3), GiveBack)


def test_a_redelivered_job_that_raises_keeps_its_attempts() -> None:
    """Deliveries count crashes, not failures."""
    outcome = failed(OutcomeKind.RAISED, delay_s=1.0)
    assert isinstance(decided(outcome, deliveries=CRASH_LIMIT + 5), RetryLater)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_the_registry_says_which_awaited_failures_are_kept_in_the_dead_queue(code: ErrorCode) -> None:
    # Given a failure that is not tried again, and somebody who awaits the answer
    outcome = failed(OutcomeKind.RAISED, code=code)

    # When it is decided
    decision = decided(outcome)

    # Then it is kept only if the registry says so; the answer goes out either way
    assert isinstance(decision, DeadLetter if DEAD_LETTERED[code] else Complete)
    assert decision.body == BODY
    assert decision.failure is outcome.failure


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_failure_that_nobody_awaits_is_always_kept(code: ErrorCode) -> None:
    assert isinstance(decided(failed(OutcomeKind.RAISED, code=code), awaited=False), DeadLetter)


def test_a_code_of_the_tasks_own_is_kept() -> None:
    assert isinstance(decided(failed(OutcomeKind.RAISED, code="NO_SUCH_CUSTOMER")), DeadLetter)


def test_a_failure_that_the_child_could_not_write_down_is_decided_without_a_body() -> None:
    # Given a child that was killed for its timeout
    outcome = failed(OutcomeKind.TIMED_OUT, body=None)

    # When its task is not tried again
    decision = decided(outcome)

    # Then the failure is the answer
    assert outcome.failure is not None
    assert decision == DeadLetter(None, outcome.failure)
