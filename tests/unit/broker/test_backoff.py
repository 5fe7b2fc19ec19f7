"""backoff: at once at first, ever more seldom, never beyond the cap, and not all at the same moment."""

from __future__ import annotations

import pytest

from penstock.broker.backoff import backoff


def test_the_longest_wait_doubles_up_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _, longest: longest)
    assert [backoff(tries, 10.0) for tries in (0, 1, 2, 3, 4, 5, 6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert backoff(10_000, 10.0) == 10.0


def test_a_fleet_does_not_come_back_at_the_same_moment() -> None:
    waits = [backoff(4, 10.0) for _ in range(200)]
    assert all(0 <= wait <= 8 for wait in waits)
    assert min(waits) < 2
    assert max(waits) > 6
