"""The guard of a container's memory, over lanes with real children and a reading that the test makes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.domain.crowding import Reading
from penstock.domain.outcome import OutcomeKind
from penstock.lanes.memory import sessions
from penstock.worker.guard import MemoryGuard
from tests.unit.lanes.observed import MODULE, Observed, allow, job, running, values
from tests.unit.waiting import until, within_deadline

MIB = 2**20


@pytest.fixture(autouse=True)
def _lane_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory in which children import the tasks and leave files."""
    (tmp_path / "lane_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


class Guarded:
    """A guard of one lane, with readings and sizes that the test sets, and a clock that it moves."""

    def __init__(self, observed: Observed) -> None:
        self.now = 0.0
        self.reading: Reading | None = Reading(950 * MIB, 1000 * MIB)
        self.sizes: dict[int, int] = dict.fromkeys(observed.pids, 300 * MIB)
        self.weighed = 0
        self.forked: list[int] = []
        queue = SimpleNamespace(lane=observed.lane)
        self.guard = MemoryGuard(cast("Any", [queue]), lambda: self.reading, weigh=self._weigh, clock=lambda: self.now)

    def _weigh(self, pids: Collection[int], forked: Collection[int]) -> Mapping[int, int]:
        self.weighed += 1
        self.forked = list(forked)
        return {pid: self.sizes[pid] for pid in pids}


def test_the_largest_child_ends_its_job_has_lost_it_and_the_others_go_on() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given two children with a job each, one of them larger than the other
            observed.submit(*(job(number, "await_file('go')", task="q.slow") for number in (1, 2)))
            await until(lambda: observed.lane.states() == {"busy": 2})
            guarded = Guarded(observed)
            large = observed.pids[0]
            guarded.sizes[large] += MIB

            # When the container is nearly full, and it is looked at again before anything has happened
            guarded.guard.look()
            guarded.now += 60
            guarded.guard.look()

            # Then the larger one ends, and its job has lost it, with the limit as the reason
            ((tag, outcome),) = (await observed.reported(1)).items()
            assert outcome.kind is OutcomeKind.CHILD_LOST
            assert outcome.failure is not None
            assert "the container is nearly full (950 of 1000 MiB, its limit)" in outcome.failure.message
            assert outcome.evidence is not None
            assert "await_file" in (outcome.evidence.stack or "")
            assert observed.lane.exits == {"memory": 1}
            assert large not in observed.pids
            assert guarded.weighed == 1

            # And the other job ends as if nothing had been
            allow()
            assert values(await observed.reported(2)) == {3 - tag: 3 - tag}

    within_deadline(test())


def test_a_child_that_is_idle_has_to_end_as_well() -> None:
    async def test() -> None:
        async with running(slots=1) as observed:
            guarded = Guarded(observed)
            guarded.sizes[observed.pids[0]] = 900 * MIB
            guarded.guard.look()
            await until(lambda: observed.lane.exits == {"memory": 1})
            assert observed.outcomes == []

    within_deadline(test())


def test_the_next_one_ends_only_when_the_system_had_time_to_take_back_what_the_last_one_had() -> None:
    async def test() -> None:
        async with running(slots=3) as observed:
            guarded = Guarded(observed)
            guarded.guard.look()
            await until(lambda: observed.lane.exits["memory"] == 1)
            guarded.now += 0.9
            guarded.guard.look()
            assert not observed.lane.giving_way
            guarded.now += 0.2
            guarded.guard.look()
            await until(lambda: observed.lane.exits["memory"] == 2)

    within_deadline(test())


@pytest.mark.parametrize("reading", [None, Reading(900 * MIB, 1000 * MIB)])
def test_while_there_is_room_or_no_limit_nobody_is_even_weighed(reading: Reading | None) -> None:
    async def test() -> None:
        async with running(slots=1) as observed:
            guarded = Guarded(observed)
            guarded.reading = reading
            guarded.guard.look()
            assert (guarded.weighed, observed.lane.giving_way) == (0, False)

    within_deadline(test())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has in memory")
def test_what_a_job_has_started_weighs_with_its_child() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given a job that has started a process with a lot of memory
            hog = "x = b'x' * 150_000_000; open('big', 'w'); import time; time.sleep(60)"
            observed.submit(
                job(1, f"import subprocess; subprocess.run([sys.executable, '-c', {hog!r}])", task="q.slow")
            )
            await until(Path("big").exists)

            # When the children are weighed, then it is its child's
            sizes = sorted(sessions(observed.pids).values())
            assert sizes[0] < 100_000_000
            assert sizes[1] > 150_000_000

    within_deadline(test())


linux = pytest.mark.skipif(sys.platform != "linux", reason="preload is for Linux")


@linux
def test_a_child_that_is_not_born_yet_is_not_weighed() -> None:
    async def test() -> None:
        async with running(slots=1, preload=True) as observed:
            # Given a child that waits for a template that stands still
            (born,) = observed.lane.pids
            template = observed.lane._starts._current
            assert template is not None
            os.kill(template.pid, signal.SIGSTOP)
            observed.lane.resize(2)
            assert observed.lane.states() == {"idle": 1, "starting": 1}

            # Then it has no process that could be weighed, or ended
            assert observed.lane.pids == [born]

    within_deadline(test())


@linux
def test_memory_that_forked_children_share_is_counted_once() -> None:
    async def test() -> None:
        # Given a template that has imported a lot, and three children that have it from there
        code = MODULE + f"TABLE = bytes(range(256)) * ({150 * MIB} // 256)\n"
        Path("lane_tasks.py").write_text(code)  # noqa: ASYNC240
        async with running(slots=3, preload=True) as observed:
            # When they are weighed, then the guard says how they have come about
            guarded = Guarded(observed)
            guarded.guard.look()
            assert guarded.forked == observed.lane.pids

            # And each has its share of it, a quarter: the template has one, too
            sizes = sessions(observed.lane.pids, observed.lane.pids)
            assert 100 * MIB < sum(sizes.values()) < 200 * MIB

    within_deadline(test())
