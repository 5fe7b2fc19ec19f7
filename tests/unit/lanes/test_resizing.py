"""Resizing a lane at work: children come and go, jobs go on, and nothing counts as a crash."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.domain import supervision
from penstock.domain.lane import Async, Commands, LaneSpec, Processes, Serial, Threads
from penstock.domain.outcome import OutcomeKind
from penstock.errors import UsageError
from penstock.wire.registry import MAX_SLOTS
from tests.unit.lanes.observed import CRASH, MODULE, Observed, allow, job, running, sharing, spec, values
from tests.unit.waiting import alive, until, within_deadline

pytestmark = pytest.mark.usefixtures("lane_tasks")

linux = pytest.mark.skipif(sys.platform != "linux", reason="preload is for Linux")

#: A module whose children wait at their import while the file `closed` is there.
GATED = "import os, time\nwhile os.path.exists('closed'): time.sleep(0.002)\n" + MODULE


# ── a child for each slot ───────────────────────────────────────────────────────────────────────────


def test_a_lane_that_grows_runs_more_jobs_at_once() -> None:
    async def test() -> None:
        async with running(slots=1) as observed:
            # Given one child with a job, and more that wait
            observed.submit(*(job(number, "await_file('go')", task="q.slow") for number in range(1, 4)))
            await until(lambda: observed.lane.states() == {"busy": 1})

            # When the lane grows, then they run beside it
            observed.lane.resize(3)
            assert observed.lane.room == 3
            await until(lambda: observed.lane.states() == {"busy": 3})
            allow()
            assert values(await observed.reported(3)) == {1: 1, 2: 2, 3: 3}
            assert observed.lane.exits == {}

    within_deadline(test())


def test_a_lane_that_shrinks_loses_idle_children_first_and_no_job() -> None:
    async def test() -> None:
        async with running(slots=4) as observed:
            # Given four children, of which two have a job
            observed.submit(*(job(number, "await_file('go')", task="q.slow") for number in (1, 2)))
            await until(lambda: observed.lane.states() == {"busy": 2, "idle": 2})

            # When one is to be left, then the idle ones end at once, and a busy one after its job
            observed.lane.resize(1)
            await until(lambda: observed.lane.states() == {"busy": 1, "retiring": 1})
            assert observed.lane.exits == {"recycled": 2}
            assert observed.outcomes == []
            allow()
            assert values(await observed.reported(2)) == {1: 1, 2: 2}
            await until(lambda: observed.lane.states() == {"idle": 1})

            # And none of them was a crash, and what comes is run by the one that is left
            assert observed.lane.exits == {"recycled": 3}
            assert values(await observed.run(*(job(number) for number in range(10, 20)))) == {
                n: n for n in range(10, 20)
            }
            assert len(observed.pids) == 1

    within_deadline(test())


def test_a_lane_that_is_resized_again_and_again_has_what_was_wanted_last() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given jobs that keep coming
            for number, slots in enumerate((5, 1, 4, 2, 3), start=1):
                observed.submit(*(job(100 * number + each) for each in range(20)))
                observed.lane.resize(slots)
                await asyncio.sleep(0)

            # Then each is answered once, and there are three children
            outcomes = await observed.reported(100)
            assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.SUCCEEDED}
            await until(lambda: observed.lane.states() == {"idle": 3})
            assert set(observed.lane.exits) <= {"recycled"}
            assert observed.broken == []

    within_deadline(test())


def test_a_child_that_is_dismissed_while_it_starts_ends_when_it_is_ready_or_is_wanted_again(lane_tasks: Path) -> None:
    (lane_tasks / "gated.py").write_text(GATED)

    async def test() -> None:
        async with running(slots=1, target="gated:q") as observed:
            # Given two children that start
            (lane_tasks / "closed").touch()
            observed.lane.resize(3)
            assert observed.lane.states() == {"idle": 1, "starting": 2}
            starting = set(observed.pids)

            # When none of them is wanted, and then one is
            observed.lane.resize(1)
            observed.lane.resize(2)
            assert set(observed.pids) == starting

            # Then one stays when they are ready, and the other ends
            (lane_tasks / "closed").unlink()
            await until(lambda: observed.lane.states() == {"idle": 2})
            assert set(observed.pids) < starting
            assert observed.lane.exits == {"recycled": 1}

    within_deadline(test())


def test_a_place_that_waits_for_its_restart_goes_first_and_never_starts() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            await observed.run(job(1, CRASH))
            assert observed.lane.states() == {"idle": 1, "restarting": 1}
            observed.lane.resize(1)
            assert observed.lane.states() == {"idle": 1}
            assert observed.lane.exits == {"signal": 1}

    within_deadline(test())


@pytest.mark.parametrize("preload", [False, pytest.param(True, marks=linux)])
def test_a_system_that_has_no_thread_left_for_a_child_costs_no_more_than_a_delay(
    monkeypatch: pytest.MonkeyPatch, preload: bool
) -> None:
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", (0.05,) * 100)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def test() -> None:
        async with running(slots=1, preload=preload) as observed:
            # When a lane grows, and the system starts processes but no threads
            with monkeypatch.context() as poor:
                poor.setattr(threading.Thread, "start", refuse)
                observed.lane.resize(2)
                await until(lambda: observed.lane.states() == {"idle": 1, "restarting": 1})
                await until(lambda: not observed.unknown)

            # Then the place has its child when there are threads again
            await until(lambda: observed.lane.states() == {"idle": 2})
            assert values(await observed.run(*(job(number) for number in range(1, 9)))) == {n: n for n in range(1, 9)}

    within_deadline(test())


def test_a_child_that_starts_is_not_ended_by_who_asks_what_children_do() -> None:
    async def test() -> None:
        async with running(slots=1) as observed:
            # Given a child whose interpreter has hardly begun
            observed.lane.resize(2)
            assert observed.lane.states() == {"idle": 1, "starting": 1}

            # When it is asked for its stack
            await observed.lane.stacks()

            # Then it goes on
            await until(lambda: observed.lane.states() == {"idle": 2})
            assert observed.lane.exits == {}

    within_deadline(test())


def test_broken_places_that_are_wanted_no_more_do_not_keep_a_lane_from_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", ())

    async def test() -> None:
        async with running(slots=2) as observed:
            # Given two places, one of them broken
            await observed.run(job(1, CRASH))
            assert observed.lane.states() == {"idle": 1, "broken": 1}
            assert observed.lane.trouble is not None

            # When one is wanted, then it is the good one, and a probe finds nothing to try
            observed.lane.resize(1)
            assert observed.lane.states() == {"idle": 1}
            assert observed.lane.trouble is None
            observed.lane._places.breaker.try_one()
            assert values(await observed.run(job(2))) == {2: 2}

            # And places that come are not held to what others did
            observed.lane.resize(2)
            await until(lambda: observed.lane.states() == {"idle": 2})

    within_deadline(test())


def test_a_job_that_kills_a_dismissed_child_is_judged_and_nobody_follows() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given two children with a job each that will kill them
            observed.submit(*(job(number, f"await_file('go'); {CRASH}", task="q.slow") for number in (1, 2)))
            await until(lambda: observed.lane.states() == {"busy": 2})

            # When one is dismissed
            observed.lane.resize(1)
            allow()
            outcomes = await observed.reported(2)

            # Then both jobs have lost their child, and one of the two has a successor to be
            assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.CHILD_LOST}
            await until(lambda: observed.lane.states() == {"restarting": 1})

    within_deadline(test())


# ── one child for all slots ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("before", "after"), [(2, 5), (5, 2)])
def test_the_child_of_a_shared_lane_has_a_successor_of_the_new_width(before: int, after: int) -> None:
    async def test() -> None:
        async with sharing(before) as observed:
            (old,) = observed.pids

            # When the lane is resized, then another child takes over
            observed.lane.resize(after)
            await until(lambda: observed.lane.states() == {"idle": 1} and observed.pids != [old])
            assert not alive(old)
            assert observed.lane.exits == {"recycled": 1}

            # And it runs as many jobs at once as were wanted, all of them in threads of their own
            beside = "open(str(answer), 'w'); await_file('go')"
            observed.submit(*(job(number, beside) for number in range(1, 9)))
            await until(lambda: sum(Path(str(number)).exists() for number in range(1, 9)) == after)
            assert observed.lane._slots.in_children == after
            allow()
            assert len(values(await observed.reported(8))) == 8

    within_deadline(test())


def test_jobs_that_run_while_a_shared_lane_is_resized_end_in_their_child_and_others_go_on() -> None:
    async def test() -> None:
        async with sharing(2) as observed:
            # Given a child both of whose slots are taken, and a job that waits
            (old,) = observed.pids
            observed.submit(*(job(number, "await_file('go')") for number in (1, 2)), job(3))
            await until(lambda: observed.lane._slots.in_children == 2)

            # When there are more slots, then the third runs in the next child
            observed.lane.resize(3)
            assert values(await observed.reported(1)) == {3: 3}
            assert alive(old)

            # And the first child ends after its jobs
            allow()
            assert len(values(await observed.reported(3))) == 3
            await until(lambda: observed.lane.states() == {"idle": 1})
            assert not alive(old)

    within_deadline(test())


def test_a_shared_lane_that_is_resized_and_back_has_one_child_in_the_end() -> None:
    async def test() -> None:
        async with sharing(2) as observed:
            # When another width is wanted while the successor of the first still starts
            for slots in (6, 4, 2):
                observed.lane.resize(slots)
                await until(lambda: len(observed.pids) >= 2)

            # Then there is one child in the end, of the width that was wanted last
            await until(lambda: observed.lane.states() == {"idle": 1})
            assert [slot.width for slot in observed.lane._slots.ready] == [2]
            assert set(observed.lane.exits) == {"recycled"}

    within_deadline(test())


# ── what cannot be ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lane", [Processes(2), Threads(2), Async(2), Commands(2)])
@pytest.mark.parametrize("slots", [0, -1, MAX_SLOTS + 1])
def test_a_number_out_of_range_is_refused(lane: LaneSpec, slots: int) -> None:
    with pytest.raises(UsageError, match=f"{slots} slots: there can be 1 to 1024"):
        lane.resized(slots)


@pytest.mark.parametrize("lane", [Processes(2), Threads(2), Async(2), Commands(2)])
@pytest.mark.parametrize("slots", [1, MAX_SLOTS])
def test_every_lane_but_serial_can_have_any_number_in_range(lane: LaneSpec, slots: int) -> None:
    assert lane.resized(slots) == replace(lane, slots=slots)


def test_serial_cannot_be_resized() -> None:
    with pytest.raises(UsageError, match="Serial runs one job at a time and cannot be resized"):
        Serial().resized(1)


def test_a_lane_that_starts_or_ends_is_not_resized() -> None:
    async def test() -> None:
        observed = Observed(spec(1))
        with pytest.raises(UsageError, match="start or end just now"):
            observed.lane.resize(2)
        await observed.lane.start()
        assert await observed.lane.stop(5) == []
        with pytest.raises(UsageError, match="start or end just now"):
            observed.lane.resize(2)
        assert (observed.lane.room, observed.pids) == (1, [])

    within_deadline(test())
