"""Retry: how often, when and for which exceptions."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest

from penstock.domain.retry import MAX_WAIT_S, NO_RETRY, Reject, Retry, RetryAfter
from penstock.errors import DeclarationError
from tests.unit.builders import JOB_ID, job_id


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"attempts": 0}, "attempts must be at least 1, not 0"),
        ({"attempts": -3}, "attempts must be at least 1, not -3"),
        ({"base": -0.1}, "base must be a number of seconds from 0, not -0.1"),
        ({"base": float("nan")}, "base must be a number of seconds from 0, not nan"),
        ({"base": float("inf")}, "base must be a number of seconds from 0, not inf"),
        ({"base": 2, "cap": 1.9}, "cap must be at least base and at most 1e+09 s, not 1.9"),
        ({"cap": float("inf")}, "cap must be at least base and at most 1e+09 s, not inf"),
        ({"cap": float("nan")}, "cap must be at least base and at most 1e+09 s, not nan"),
        ({"cap": MAX_WAIT_S + 1}, "cap must be at least base and at most 1e+09 s"),
        ({"crashes": 0}, "crashes must be at least 1, not 0"),
        ({"hangs": -1}, "hangs must be at least 1, not -1"),
        ({"elapsed": 0}, "elapsed must be a number of seconds above 0 or None, not 0"),
        ({"elapsed": float("nan")}, "elapsed must be a number of seconds above 0 or None, not nan"),
        ({"elapsed": float("inf")}, "elapsed must be a number of seconds above 0 or None, not inf"),
        ({"share": -0.1}, "share must be between 0 and 1 or None, not -0.1"),
        ({"share": 1.1}, "share must be between 0 and 1 or None, not 1.1"),
        ({"in_slot": 1.1}, "in_slot must be between 0 and 1 s, not 1.1"),
        ({"in_slot": -1}, "in_slot must be between 0 and 1 s, not -1"),
        ({"jitter": "half"}, 'jitter must be "full" or "none", not \'half\''),
        ({"on": int}, "on and never take exception classes"),
        ({"on": (int,)}, "on and never take exception classes"),
        ({"on": (ValueError("x"),)}, "on and never take exception classes"),
        ({"never": (KeyboardInterrupt,)}, "on and never take exception classes"),
    ],
)
def test_a_value_out_of_range_is_refused_with_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DeclarationError, match=r"^Retry: ") as refusal:
        Retry(**fields)
    assert sentence in str(refusal.value)


def test_the_message_names_all_problems_at_once() -> None:
    # Given a policy in which everything is wrong
    wrong: dict[str, Any] = {
        "attempts": 0,
        "crashes": 0,
        "hangs": 0,
        "base": -1.0,
        "cap": -2.0,
        "jitter": "some",
        "elapsed": -1.0,
        "share": 2.0,
        "in_slot": 9.0,
        "on": (int,),
    }

    # When it is declared
    with pytest.raises(DeclarationError) as refusal:
        Retry(**wrong)

    # Then one message has a sentence for each
    text = str(refusal.value)
    assert [name for name in wrong if name not in text] == []
    assert text.count(";") == len(wrong) - 1


def test_a_policy_that_says_nothing_has_the_defaults_of_its_docstring() -> None:
    assert Retry().numbers() == {
        "attempts": 3,
        "crashes": 3,
        "hangs": 2,
        "base": 1.0,
        "cap": 600.0,
        "jitter": "full",
        "elapsed": None,
        "share": 0.2,
        "in_slot": 0.0,
    }
    assert (Retry().on, Retry().never) == (Exception, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 1, "crashes": 1, "hangs": 1},
        {"base": 0.0, "cap": 0.0},
        {"base": 5.0, "cap": 5.0},
        {"cap": MAX_WAIT_S},
        {"share": 0},
        {"share": 1},
        {"in_slot": 1},
        {"elapsed": 0.001},
    ],
)
def test_the_limits_themselves_are_allowed(fields: dict[str, Any]) -> None:
    Retry(**fields)


@pytest.mark.parametrize(
    ("attempt", "wait_s"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 10.0), (7, 10.0), (64, 10.0), (5000, 10.0)],
)
def test_without_jitter_the_wait_doubles_up_to_the_cap(attempt: int, wait_s: float) -> None:
    policy = Retry(attempts=9999, base=0.5, cap=10, jitter="none")
    assert policy.delay(attempt, JOB_ID) == wait_s


@pytest.mark.parametrize("attempt", [1, 2, 10, 1025, 5000])
def test_a_base_of_zero_never_waits(attempt: int) -> None:
    policy = Retry(attempts=9999, base=0.0, cap=600.0, jitter="none")
    assert policy.delay(attempt, JOB_ID) == 0.0


@pytest.mark.parametrize("attempt", [1, 2, 3, 7, 20])
def test_with_full_jitter_the_wait_lies_between_zero_and_the_exponential_value(attempt: int) -> None:
    # Given the same policy with and without jitter
    longest = Retry(base=1, cap=60, jitter="none").delay(attempt, JOB_ID)
    policy = Retry(base=1, cap=60)

    # When many jobs fail
    waits = [policy.delay(attempt, job_id(number)) for number in range(500)]

    # Then their waits fill the range evenly and never leave it
    assert min(waits) >= 0.0
    assert max(waits) <= longest
    assert min(waits) < 0.1 * longest
    assert max(waits) > 0.9 * longest
    assert sum(waits) / len(waits) == pytest.approx(longest / 2, rel=0.1)


def test_asking_twice_gives_the_same_wait() -> None:
    # Given a policy and a disturbed global random source
    policy = Retry(base=1, cap=60)
    first = policy.delay(3, JOB_ID)
    random.seed(1)
    state = random.getstate()

    # When it is asked again, also as another object
    again = [policy.delay(3, JOB_ID), Retry(base=1, cap=60).delay(3, JOB_ID)]

    # Then the answer is the same, and nobody's random numbers were used up
    assert again == [first, first]
    assert random.getstate() == state


def test_each_attempt_and_each_job_has_a_wait_of_its_own() -> None:
    policy = Retry(base=60, cap=60)
    waits = {policy.delay(attempt, seed) for attempt in (1, 2, 3) for seed in (JOB_ID, job_id(1))}
    assert len(waits) == 6


class BusyError(ValueError):
    """A class of our own below another."""


@pytest.mark.parametrize(
    ("policy", "error", "again"),
    [
        (Retry(), ValueError("x"), True),
        (Retry(), SystemExit(1), False),
        (Retry(), KeyboardInterrupt(), False),
        (Retry(on=ValueError), ValueError("one class needs no tuple"), True),
        (Retry(on=ValueError), KeyError("x"), False),
        (Retry(never=ValueError), BusyError("x"), False),
        (Retry(on=(ValueError,)), ValueError("x"), True),
        (Retry(on=(ValueError,)), BusyError("a subclass"), True),
        (Retry(on=(BusyError,)), ValueError("the base class"), False),
        (Retry(on=(ValueError, KeyError)), KeyError("x"), True),
        (Retry(on=(ValueError,)), KeyError("x"), False),
        (Retry(never=(KeyError,)), KeyError("x"), False),
        (Retry(never=(KeyError,)), ValueError("x"), True),
        (Retry(on=(ValueError,), never=(BusyError,)), ValueError("x"), True),
        (Retry(on=(ValueError,), never=(BusyError,)), BusyError("x"), False),
        (Retry(on=(ValueError,), never=(ValueError,)), ValueError("never wins"), False),
        (Retry(on=()), ValueError("x"), False),
    ],
)
def test_on_and_never_say_which_exceptions_are_tried_again(policy: Retry, error: BaseException, again: bool) -> None:
    assert policy.retries(error) is again


# ── what a task says itself ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("policy", [NO_RETRY, Retry(on=ValueError), Retry(never=RetryAfter), Retry(never=Exception)])
def test_a_task_that_asks_to_be_tried_again_is_whatever_its_policy_names(policy: Retry) -> None:
    error = RetryAfter(7.5)
    assert policy.retries(error)
    assert policy.wait_after(error, 1, JOB_ID) == 7.5


@pytest.mark.parametrize("policy", [Retry(), Retry(on=Reject), Retry(on=Exception)])
def test_a_task_that_rejects_its_job_is_not_tried_again(policy: Retry) -> None:
    assert not policy.retries(Reject("no such customer"))


def test_any_other_exception_waits_as_long_as_the_policy_says() -> None:
    policy = Retry(base=1, cap=60)
    assert policy.wait_after(ValueError("x"), 3, JOB_ID) == policy.delay(3, JOB_ID)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e300, MAX_WAIT_S * 1.001])
def test_a_wait_that_no_message_can_carry_is_refused_where_it_is_raised(seconds: float) -> None:
    """An infinite number of milliseconds would stop the parent, not the task."""
    with pytest.raises(ValueError, match="seconds from 0 to"):
        RetryAfter(seconds)


@pytest.mark.parametrize("seconds", [0, 0.5, 3600, MAX_WAIT_S])
def test_a_wait_of_any_length_that_a_calendar_knows_is_taken(seconds: float) -> None:
    error = RetryAfter(seconds)
    assert error.seconds == seconds
    assert str(error) == f"try again in {seconds:g} s"


def test_the_reason_is_the_text() -> None:
    assert str(RetryAfter(5, "the printer is out of paper")) == "the printer is out of paper"


class Quota(RetryAfter):
    """A class of a user's own that forgets its base."""

    def __init__(self) -> None:
        Exception.__init__(self, "quota used up")


def test_a_class_that_does_not_say_how_long_is_tried_again_at_once() -> None:
    """Its missing number would have killed the child."""
    assert Retry().retries(Quota())
    assert Retry().wait_after(Quota(), 1, JOB_ID) == 0.0


# ── the time of all attempts ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("elapsed", "since_first_s", "late"),
    [(None, 1e12, False), (60, 0.0, False), (60, 59.9, False), (60, 60.0, True), (60, 1e12, True), (60, -5.0, False)],
)
def test_an_attempt_that_starts_too_long_after_the_first_failure_is_too_late(
    elapsed: float | None, since_first_s: float, late: bool
) -> None:
    assert Retry(elapsed=elapsed).out_of_time(since_first_s) is late


# ── within the slot ─────────────────────────────────────────────────────────────────────────────────


class Calls:
    """A task that raises these in turn and then answers, and how long was waited between its calls."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.slept: list[float] = []

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def run(self, policy: Retry, *, attempt: int = 1, failures: int = 0, deadline_ms: int | None = None) -> str:
        retrying = policy.in_slot_retrying(
            attempt=attempt, failures=failures, seed=JOB_ID, deadline_ms=deadline_ms, sleep=self.slept.append
        )
        return str(retrying(self))


QUICK = Retry(attempts=5, base=0.1, cap=0.4, jitter="none", in_slot=0.4)


def test_short_waits_are_spent_in_the_slot() -> None:
    # Given a task that fails three times
    calls = Calls(ValueError("1"), KeyError("2"), OSError("3"))

    # When it is tried again within its slot, then it waits as the policy says and answers
    assert calls.run(QUICK) == "done"
    assert calls.slept == [0.1, 0.2, 0.4]


def test_the_waits_are_those_of_the_attempts_of_the_job() -> None:
    # Given a jittered policy, and a job whose third attempt begins
    policy = Retry(attempts=9, base=0.5, cap=1, in_slot=1)
    calls = Calls(ValueError("1"), ValueError("2"))

    # When, then they are the same as if they were spent in the broker
    calls.run(policy, attempt=3, failures=2)
    assert calls.slept == [policy.delay(3, JOB_ID), policy.delay(4, JOB_ID)]


def test_a_wait_that_is_too_long_for_the_slot_ends_it_with_the_last_exception() -> None:
    # Given waits of 0.1, 0.2, 0.4 s, and a slot that takes up to 0.2
    calls = Calls(*(ValueError(str(n)) for n in range(1, 9)))
    policy = Retry(attempts=9, base=0.1, cap=60, jitter="none", in_slot=0.2)

    # When, then the third exception goes out
    with pytest.raises(ValueError, match=r"^3$"):
        calls.run(policy)
    assert calls.slept == [0.1, 0.2]


@pytest.mark.parametrize(("failures", "calls_made"), [(0, 5), (3, 2), (4, 1), (5, 1), (99, 1)])
def test_the_tries_in_the_slot_are_bounded_by_the_failures_that_are_left(failures: int, calls_made: int) -> None:
    calls = Calls(*(ValueError(str(n)) for n in range(1, 20)))
    with pytest.raises(ValueError, match=f"^{calls_made}$"):
        calls.run(QUICK, failures=failures)
    assert calls.calls == calls_made


@pytest.mark.parametrize("error", [Reject("no"), SystemExit(1), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
def test_what_is_not_tried_again_leaves_the_slot_at_once(error: BaseException) -> None:
    calls = Calls(error)
    with pytest.raises(type(error)):
        calls.run(QUICK)
    assert (calls.calls, calls.slept) == (1, [])


def test_a_task_that_asks_for_a_short_wait_has_it_in_the_slot() -> None:
    calls = Calls(RetryAfter(0.25))
    assert calls.run(QUICK) == "done"
    assert calls.slept == [0.25]


def test_a_task_that_asks_for_a_long_wait_has_it_in_the_broker() -> None:
    with pytest.raises(RetryAfter):
        Calls(RetryAfter(0.5)).run(QUICK)


def test_no_try_begins_past_the_deadline() -> None:
    # Given a deadline that leaves no room for a wait of 0.1 s, and one that does
    now_ms = int(time.time() * 1000)

    # When, then
    with pytest.raises(ValueError, match="1"):
        Calls(ValueError("1")).run(QUICK, deadline_ms=now_ms + 50)
    assert Calls(ValueError("1")).run(QUICK, deadline_ms=now_ms + 60_000) == "done"


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_without_a_policy_retries_no_exception_and_no_hang_but_two_crashes() -> None:
    assert not any(NO_RETRY.retries(error) for error in (ValueError(), OSError(), KeyError(), SystemExit()))
    assert (NO_RETRY.hangs, NO_RETRY.crashes) == (1, 3)


def test_the_numbers_survive_the_way_to_the_parent() -> None:
    # Given a policy with every number of its own
    numbers: dict[str, Any] = {
        "attempts": 7,
        "crashes": 6,
        "hangs": 5,
        "base": 0.25,
        "cap": 90.0,
        "jitter": "none",
        "elapsed": 300.0,
        "share": 0.5,
        "in_slot": 0.75,
    }
    policy = Retry(**numbers, on=(KeyError,), never=(ValueError,))

    # When the parent reads what the child wrote
    read = Retry.from_numbers(policy.numbers())

    # Then all numbers agree, and the classes stayed behind
    assert policy.numbers() == numbers
    assert read == Retry(**numbers)
    assert [read.delay(n, JOB_ID) for n in range(1, 9)] == [policy.delay(n, JOB_ID) for n in range(1, 9)]


def test_the_numbers_are_what_a_frame_can_carry() -> None:
    assert all(type(value) in (int, float, str, type(None)) for value in Retry().numbers().values())


@pytest.mark.parametrize("attempt", [1, 64, 1024, 1025, 2**31 - 1])
def test_a_wait_is_a_finite_number_whatever_the_attempt(attempt: int) -> None:
    wait = Retry(base=1e8, cap=MAX_WAIT_S).delay(attempt, JOB_ID)
    assert math.isfinite(wait)
    assert 0 <= wait <= MAX_WAIT_S
