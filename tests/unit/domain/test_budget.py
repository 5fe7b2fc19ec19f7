"""RetryBudget: an outage behind a task does not multiply its load."""

from __future__ import annotations

import pytest

from penstock.domain.budget import FLOOR_PER_S, HOLD_UP_MS, MOST_SAVED, QUARANTINE_MS, RetryBudget, hold_up_ms


def taken(budget: RetryBudget, now_s: float, wanted: int = 10_000) -> int:
    """How many of so many retries may start at this moment."""
    return sum(budget.take(now_s) for _ in range(wanted))


def test_a_task_without_traffic_may_retry_a_little() -> None:
    # Given a budget without a share
    budget = RetryBudget(0.0, 100.0)

    # When retries come at once, and a second later, then the floor is granted each time
    assert taken(budget, 100.0) == FLOOR_PER_S
    assert taken(budget, 100.0) == 0
    assert taken(budget, 101.0) == FLOOR_PER_S
    assert taken(budget, 101.1) == pytest.approx(FLOOR_PER_S / 10, abs=1)


def test_first_attempts_pay_their_share() -> None:
    # Given a fifth, and a budget that is used up
    budget = RetryBudget(0.2, 0.0)
    taken(budget, 0.0)

    # When a hundred first attempts start
    for _ in range(100):
        budget.pay()

    # Then twenty retries may
    assert taken(budget, 0.0) == pytest.approx(20, abs=1)


def test_without_a_limit_every_retry_may_start() -> None:
    assert taken(RetryBudget(None, 0.0), 0.0) == 10_000


@pytest.mark.parametrize("quiet_s", [1e3, 1e9])
def test_what_a_quiet_time_saves_up_is_bounded(quiet_s: float) -> None:
    assert taken(RetryBudget(0.0, 0.0), quiet_s) == MOST_SAVED


def test_what_traffic_saves_up_is_bounded() -> None:
    # Given a share of one, and a great many first attempts
    budget = RetryBudget(1.0, 0.0)
    for _ in range(20_000):
        budget.pay()

    # When retries come, then no more than the bound may start at once
    assert taken(budget, 0.0) <= MOST_SAVED + 1


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    budget = RetryBudget(0.0, 100.0)
    taken(budget, 100.0)
    assert taken(budget, 50.0) == 0


@pytest.mark.parametrize(
    ("trouble_ms", "wait_ms"),
    [(-5, HOLD_UP_MS[0]), (0, HOLD_UP_MS[0]), (7_999, 2_000), (8_000, 2_000), (60_000, 15_000), (10**9, HOLD_UP_MS[1])],
)
def test_what_is_held_up_waits_the_longer_the_longer_its_trouble_lasts(trouble_ms: int, wait_ms: int) -> None:
    assert hold_up_ms(trouble_ms) == wait_ms


def test_a_job_that_waits_for_the_quarantine_slot_comes_back_soon() -> None:
    assert hold_up_ms(3_600_000, most_ms=QUARANTINE_MS) == QUARANTINE_MS < hold_up_ms(3_600_000)
