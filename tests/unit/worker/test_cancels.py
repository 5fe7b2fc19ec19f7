"""Cancels: the jobs to be cancelled are remembered for a time, and no more than so many."""

from __future__ import annotations

from penstock.wire.registry import CANCEL_MEMORY_MS, CANCELS_REMEMBERED, LADDER
from penstock.worker.cancels import Cancels
from tests.unit.builders import JOB_ID, job_id


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_job_is_remembered_for_its_time_and_not_longer() -> None:
    clock = Clock()
    cancels = Cancels(clock)
    assert JOB_ID not in cancels
    cancels.add(JOB_ID)
    clock.now += CANCEL_MEMORY_MS / 1000 - 1
    assert JOB_ID in cancels
    clock.now += 1
    assert JOB_ID not in cancels


def test_the_memory_outlasts_the_longest_wait_in_the_broker() -> None:
    assert LADDER[-1].ttl_ms < CANCEL_MEMORY_MS


def test_what_is_cancelled_again_is_remembered_from_then_on() -> None:
    clock = Clock()
    cancels = Cancels(clock)
    cancels.add(JOB_ID)
    clock.now += CANCEL_MEMORY_MS / 2000
    cancels.add(JOB_ID)
    clock.now += CANCEL_MEMORY_MS / 2000 + 1
    assert JOB_ID in cancels
    assert len(cancels) == 1


def test_a_flood_forgets_the_oldest_first() -> None:
    cancels = Cancels(Clock())
    for number in range(CANCELS_REMEMBERED + 3):
        cancels.add(job_id(number))
    assert len(cancels) == CANCELS_REMEMBERED
    assert [number for number in range(6) if job_id(number) in cancels] == [3, 4, 5]
    assert job_id(CANCELS_REMEMBERED + 2) in cancels


def test_what_is_over_makes_room() -> None:
    clock = Clock()
    cancels = Cancels(clock)
    for number in range(10):
        cancels.add(job_id(number))
    clock.now += CANCEL_MEMORY_MS / 1000
    cancels.add(JOB_ID)
    assert len(cancels) == 1
