"""Retry: how often, when and for which exceptions."""

from __future__ import annotations

import random
from typing import Any

import pytest

from penstock.domain.retry import NO_RETRY, Retry
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
        ({"base": 2, "cap": 1.9}, "cap must be finite and at least base, not 1.9"),
        ({"cap": float("inf")}, "cap must be finite and at least base, not inf"),
        ({"cap": float("nan")}, "cap must be finite and at least base, not nan"),
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
    wrong: dict[str, Any] = {"attempts": 0, "base": -1.0, "cap": -2.0, "jitter": "some", "on": (int,)}

    # When it is declared
    with pytest.raises(DeclarationError) as refusal:
        Retry(**wrong)

    # Then one message has a sentence for each
    text = str(refusal.value)
    assert [word for word in ("attempts", "base", "cap", "jitter", "on and never") if word not in text] == []
    assert text.count(";") == 4


def test_a_policy_that_says_nothing_has_three_attempts_from_a_second_to_ten_minutes() -> None:
    assert Retry() == Retry(attempts=3, base=1.0, cap=600.0, jitter="full", on=Exception, never=())


@pytest.mark.parametrize("fields", [{"attempts": 1}, {"base": 0.0, "cap": 0.0}, {"base": 5.0, "cap": 5.0}])
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


def test_a_task_without_a_policy_has_one_attempt() -> None:
    assert NO_RETRY.attempts == 1


def test_the_numbers_survive_the_way_to_the_parent() -> None:
    # Given a policy with every number of its own
    policy = Retry(attempts=7, base=0.25, cap=90.0, jitter="none", on=(KeyError,), never=(ValueError,))

    # When the parent reads what the child wrote
    read = Retry.from_numbers(policy.numbers())

    # Then all numbers agree, and the classes stayed behind
    assert read == Retry(attempts=7, base=0.25, cap=90.0, jitter="none")
    assert [read.delay(n, JOB_ID) for n in range(1, 9)] == [policy.delay(n, JOB_ID) for n in range(1, 9)]


def test_the_numbers_are_what_a_frame_can_carry() -> None:
    assert all(type(value) in (int, float, str) for value in Retry().numbers().values())
