"""Shutdown: the first request drains, the second one is fast."""

from __future__ import annotations

from penstock.worker.shutdown import Shutdown


def test_the_first_request_drains_and_the_second_one_is_fast() -> None:
    shutdown = Shutdown()
    assert (shutdown.requested.is_set(), shutdown.hurried.is_set()) == (False, False)
    shutdown.request()
    assert (shutdown.requested.is_set(), shutdown.hurried.is_set()) == (True, False)
    shutdown.request()
    shutdown.request()
    assert shutdown.hurried.is_set()


def test_the_first_cause_counts() -> None:
    # Given a worker that fails twice
    shutdown = Shutdown()
    first, second = ValueError("first"), ValueError("second")
    shutdown.fail(first)
    shutdown.fail(second)

    # When, then: it stops for the first, and is not in a hurry
    assert shutdown.cause is first
    assert (shutdown.requested.is_set(), shutdown.hurried.is_set()) == (True, False)
