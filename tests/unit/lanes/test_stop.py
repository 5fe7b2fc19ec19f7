"""How a running job learns that it is to end: the signal that comes too early, too late, or for another job."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from penstock.domain.context import Cancelled
from penstock.lanes.runner.stop import Flag, Interrupt
from penstock.memory_file import MemoryFile
from penstock.wire.registry import ErrorCode
from tests.unit.lanes.observed import job, running
from tests.unit.waiting import within_deadline


@pytest.fixture
def file() -> Iterator[MemoryFile]:
    """The parent's end; the handler of the test run comes back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    made = MemoryFile.make()
    yield made
    made.close()
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupt(file: MemoryFile) -> Interrupt:
    made = Interrupt(os.dup(file.fileno()))
    made.listen()
    return made


def announce(file: MemoryFile, number: int) -> None:
    """What the parent does."""
    file.write(number.to_bytes(4, "big"), 0)
    os.kill(os.getpid(), signal.SIGINT)


def test_the_job_that_is_meant_is_interrupted_even_while_it_waits(file: MemoryFile, interrupt: Interrupt) -> None:
    stop = interrupt.job(7)
    assert not stop.asked
    later = threading.Timer(0.02, announce, (file, 7))
    later.start()
    with pytest.raises(Cancelled), stop:
        time.sleep(10)
    assert stop.asked
    later.join()


def test_another_job_is_not(file: MemoryFile, interrupt: Interrupt) -> None:
    stop = interrupt.job(8)
    with stop:
        announce(file, 7)
    assert not stop.asked


def test_a_job_whose_signal_came_before_it_began_does_not_begin(file: MemoryFile, interrupt: Interrupt) -> None:
    announce(file, 7)
    began = False
    with pytest.raises(Cancelled), interrupt.job(7):
        began = True
    assert not began
    with interrupt.job(8):
        began = True
    assert began


def test_outside_of_the_task_s_code_nothing_is_interrupted(file: MemoryFile, interrupt: Interrupt) -> None:
    stop = interrupt.job(7)
    with stop:
        pass
    announce(file, 7)
    assert stop.asked


def test_a_job_is_interrupted_once_and_may_tidy_up(file: MemoryFile, interrupt: Interrupt) -> None:
    tidied = False
    with interrupt.job(7):
        try:
            announce(file, 7)
        except Cancelled:
            announce(file, 7)
            tidied = True
    assert tidied


def test_a_job_that_is_tried_again_in_its_slot_stays_cancelled(file: MemoryFile, interrupt: Interrupt) -> None:
    stop = interrupt.job(7)
    with pytest.raises(Cancelled), stop:
        announce(file, 7)
    with pytest.raises(Cancelled), stop:
        pass


def test_code_that_is_content_with_any_failure_does_not_hide_it() -> None:
    assert not issubclass(Cancelled, Exception)


def test_a_child_without_a_file_listens_to_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    Interrupt(None).listen()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_flag_that_is_set_before_the_job_begins_keeps_it_from_that() -> None:
    flag = Flag()
    with flag:
        flag.asked = True
    with pytest.raises(Cancelled), flag:
        pass


@pytest.mark.usefixtures("lane_tasks")
def test_of_many_short_jobs_those_that_are_cancelled_and_no_others_end_cancelled() -> None:
    """The command comes at every moment of a job's life: before, in, and after its code."""

    async def test() -> None:
        async with running(slots=2) as observed:
            steps: dict[int, list[str]] = {}
            for turn in range(200):
                # Given short jobs, some of them ahead in their child
                numbers = range(turn * 4, turn * 4 + 4)
                jobs = [job(number, "for _ in range(3000): pass") for number in numbers]
                observed.submit(*jobs)

                # When one of them is cancelled, each time a little later
                for _ in range(turn % 20):
                    await asyncio.sleep(0)
                meant = numbers[turn % 4]
                steps[meant] = []
                if not observed.lane.cancel(jobs[turn % 4].job_id, partial(list.append, steps[meant])):
                    steps[meant].append("over")
                await observed.reported(numbers.stop)

            # Then each has one end, and that of those who were asked alone may be the cancellation
            outcomes = await observed.reported(800)
            cancelled = {
                number
                for number, outcome in outcomes.items()
                if outcome.failure is not None and outcome.failure.code == ErrorCode.CANCELLED
            }
            assert cancelled <= set(steps)
            assert all(outcome.failure is None for number, outcome in outcomes.items() if number not in cancelled)
            assert all(len(heard) == 1 for heard in steps.values())
            assert {number for number, (step,) in steps.items() if step not in ("ended", "over")} == cancelled
            assert not observed.lane.exits

    within_deadline(test())
