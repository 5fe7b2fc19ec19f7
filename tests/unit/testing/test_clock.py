"""FakeClock: time passes when it is told to, and everything due on the way is called."""

from __future__ import annotations

from penstock.testing import FakeClock


def test_calls_come_in_the_order_of_their_time_and_see_it() -> None:
    clock = FakeClock()
    seen: list[tuple[str, float]] = []
    clock.call_later(2, lambda: seen.append(("b", clock.now())))
    clock.call_later(1, lambda: seen.append(("a", clock.now())))
    clock.call_later(2, lambda: seen.append(("c", clock.now())))
    clock.call_later(4, lambda: seen.append(("never", clock.now())))
    clock.advance(3)
    assert seen == [("a", 1), ("b", 2), ("c", 2)]
    assert clock.now() == 3


def test_what_a_call_plans_for_the_same_span_comes_too() -> None:
    clock = FakeClock()
    seen: list[float] = []
    clock.call_later(1, lambda: clock.call_later(1, lambda: seen.append(clock.now())))
    clock.advance(2)
    assert seen == [2]


def test_a_call_that_was_called_off_does_not_come() -> None:
    clock = FakeClock()
    seen: list[float] = []
    timer = clock.call_later(1, lambda: seen.append(clock.now()))
    timer.cancel()
    timer.cancel()
    clock.advance(2)
    assert seen == []
