"""Recycling: children are replaced in time, and no job notices; what takes too much memory is ended."""

from __future__ import annotations

import sys

import pytest

from penstock.domain.outcome import OutcomeKind
from penstock.domain.recycle import Recycle
from tests.unit.lanes.observed import Clock, allow, job, running, values
from tests.unit.waiting import until, within_deadline

pytestmark = pytest.mark.usefixtures("lane_tasks")
MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has in memory")


def test_a_child_is_replaced_after_its_jobs_and_none_of_them_notices() -> None:
    async def test() -> None:
        async with running(slots=2, recycle=Recycle(jobs=20)) as observed:
            before = set(observed.pids)

            # When more jobs come than children may do
            outcomes = await observed.run(*(job(number) for number in range(1, 101)))

            # Then all are answered, by children that followed one another
            assert values(outcomes) == {number: number for number in range(1, 101)}
            await until(lambda: observed.lane.exits["recycled"] >= 2)
            assert set(observed.lane.exits) == {"recycled"}
            await until(lambda: observed.lane.states()["idle"] == 2)
            assert not before & set(observed.pids)
            assert observed.broken == []

    within_deadline(test())


def test_only_a_quarter_of_the_children_is_replaced_at_once() -> None:
    async def test() -> None:
        clock = Clock()
        async with running(slots=5, recycle=Recycle(age=3600.0), clock=clock) as observed:
            # Given five children whose time is up, of which one runs a job
            observed.submit(job(1, "await_file('go')"))
            await until(lambda: observed.lane.states()["busy"] == 1)
            clock.forward_s += 2 * 3600
            least = 5
            while observed.lane.exits["recycled"] < 4:
                states = observed.lane.states()
                least = min(least, states["idle"] + states["busy"])
                await observed.looked()

            # Then never more than two were missing, and the job goes on
            assert least >= 3
            assert observed.outcomes == []
            allow()
            assert values(await observed.reported(1)) == {1: 1}
            await until(lambda: observed.lane.exits["recycled"] == 5)

    within_deadline(test())


def test_a_child_that_does_not_end_by_itself_is_ended() -> None:
    """A thread of a library may keep the interpreter alive."""

    async def test() -> None:
        async with running(recycle=Recycle(jobs=3)) as observed:
            stay = "import threading; threading.Thread(target=time.sleep, args=(60,)).start()"
            await observed.run(job(1, stay))
            await observed.run(job(2), job(3), job(4))
            await until(lambda: observed.lane.exits["recycled"] == 1)

    within_deadline(test())


@linux
def test_a_child_that_has_grown_is_replaced_after_its_job() -> None:
    async def test() -> None:
        async with running(recycle=Recycle(memory=120 * MIB)) as observed:
            (pid,) = observed.pids
            grow = "import builtins; builtins.kept = b'x' * 150_000_000; time.sleep(0.5)"
            assert values(await observed.run(job(1, grow))) == {1: 1}
            await until(lambda: observed.lane.exits["recycled"] == 1)
            await until(lambda: observed.lane.states()["idle"] == 1)
            assert pid not in observed.pids

    within_deadline(test())


@linux
def test_a_job_that_eats_memory_is_ended_at_the_limit_of_its_child() -> None:
    async def test() -> None:
        async with running(slots=2, hard_memory=150 * MIB) as observed:
            # Given a job that eats memory, and others beside it
            eat = "kept = []\nwhile True:\n kept.append(b'x' * 2_000_000)\n time.sleep(0.001)"
            outcomes = await observed.run(job(1, eat), *(job(number) for number in range(2, 12)))

            # Then only it has lost its child
            assert {number for number, outcome in outcomes.items() if outcome.kind is OutcomeKind.CHILD_LOST} == {1}
            failure = outcomes[1].failure
            assert failure is not None
            assert "above the memory limit of 150 MiB" in failure.message
            assert observed.lane.exits == {"memory": 1}

    within_deadline(test())
