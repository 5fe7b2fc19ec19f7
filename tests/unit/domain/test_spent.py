"""Spent: what a job has spent, and when it is to run alone."""

from __future__ import annotations

import pytest

from penstock.domain.spent import NOTHING, Spent
from penstock.wire.registry import REFRESH_AFTER

NOW_MS = 1_730_000_000_000


def test_a_new_job_has_spent_nothing() -> None:
    assert Spent(failures=0, crashes=0, hangs=0, deliveries=0, first_at_ms=None, run_ms=0, backoff_ms=0) == NOTHING
    assert (NOTHING.attempts, NOTHING.suspicious) == (0, False)


def test_attempts_are_failures_crashes_and_hangs_but_no_deliveries() -> None:
    assert Spent(failures=1, crashes=2, hangs=4, deliveries=8).attempts == 7


@pytest.mark.parametrize(
    ("spent", "suspicious"),
    [
        (Spent(failures=9, hangs=9), False),
        (Spent(crashes=1), True),
        (Spent(deliveries=REFRESH_AFTER - 1), False),
        (Spent(deliveries=REFRESH_AFTER), True),
    ],
)
def test_a_job_that_killed_its_child_or_its_workers_runs_alone(spent: Spent, suspicious: bool) -> None:
    assert spent.suspicious is suspicious


def test_each_kind_of_trouble_adds_to_its_own_count_and_to_the_run_time() -> None:
    # Given a job that has some of each
    spent = Spent(failures=1, crashes=1, hangs=1, first_at_ms=5, run_ms=100, backoff_ms=7)

    # When trouble comes
    failed = spent.and_failed(2, run_s=0.5, now_ms=NOW_MS)
    crashed = spent.and_crashed(run_s=0.5, now_ms=NOW_MS)
    hung = spent.and_hung(run_s=0.5, now_ms=NOW_MS)

    # Then one count grows, and the first trouble stays the first
    assert [(s.failures, s.crashes, s.hangs) for s in (failed, crashed, hung)] == [(3, 1, 1), (1, 2, 1), (1, 1, 2)]
    assert {(s.run_ms, s.first_at_ms, s.backoff_ms) for s in (failed, crashed, hung)} == {(600, 5, 7)}


def test_the_first_trouble_sets_its_time() -> None:
    assert NOTHING.and_failed(1, run_s=0.0, now_ms=NOW_MS).first_at_ms == NOW_MS
    assert NOTHING.and_crashed(run_s=0.0, now_ms=NOW_MS).first_at_ms == NOW_MS
    assert NOTHING.and_hung(run_s=0.0, now_ms=NOW_MS).first_at_ms == NOW_MS


def test_waits_add_up_in_milliseconds() -> None:
    assert NOTHING.and_waits(1.5).and_waits(0.25).backoff_ms == 1750
