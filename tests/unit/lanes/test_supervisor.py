"""Lane: real children that run, crash, hang and end, and what becomes of their jobs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.domain import supervision
from penstock.domain.lane import Async, LaneSpec, Processes, Threads
from penstock.domain.outcome import OutcomeKind
from penstock.errors import CatalogError, WorkerError
from penstock.lanes import place
from penstock.wire.result import decode_result
from tests.unit.lanes.observed import CRASH, HANG, MODULE, Observed, allow, job, running, spec, values
from tests.unit.waiting import alive, until, within_deadline

pytestmark = pytest.mark.usefixtures("lane_tasks")


def noted() -> str:
    """What the children of the module `noting` have noted at their end."""
    return Path("ended").read_text()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that died are replaced without a delay, and broken at the third failure."""
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", (0.0, 0.0))


# ── running ─────────────────────────────────────────────────────────────────────────────────────────


def test_jobs_run_in_children_and_their_results_come_back_sealed() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # When a number of jobs is submitted
            outcomes = await observed.run(*(job(number) for number in range(1, 31)))

            # Then each has its own answer
            assert values(outcomes) == {number: number for number in range(1, 31)}
            assert {outcome.kind for outcome in outcomes.values()} == {OutcomeKind.SUCCEEDED}
            assert observed.lane.in_progress == 0
            assert observed.lane.mean_s is not None

    within_deadline(test())


def test_no_job_runs_in_the_parent() -> None:
    async def test() -> None:
        async with running() as observed:
            pids = observed.pids
            outcomes = await observed.run(job(1))
            assert outcomes[1].body is not None
            assert decode_result(outcomes[1].body).value[0] == pids[0]
            assert "lane_tasks" not in sys.modules

    within_deadline(test())


def test_a_job_that_raises_says_so_and_its_child_goes_on() -> None:
    async def test() -> None:
        async with running() as observed:
            pids = observed.pids

            # When one job fails and another follows
            outcomes = await observed.run(job(1, "raise ValueError('no')"), job(2))

            # Then only the first has failed, in a child that is still there
            assert (outcomes[1].kind, outcomes[2].kind) == (OutcomeKind.RAISED, OutcomeKind.SUCCEEDED)
            failure = outcomes[1].failure
            assert failure is not None
            assert (failure.code, failure.message) == ("TASK_ERROR", "ValueError: no")
            assert outcomes[1].delay_s is None
            assert "exec(action)" in (outcomes[1].trace or "")
            assert observed.pids == pids

    within_deadline(test())


def test_the_delay_that_the_child_names_reaches_the_parent() -> None:
    async def test() -> None:
        async with running() as observed:
            outcomes = await observed.run(job(1, "raise ValueError('no')", task="q.quick"))
            assert outcomes[1].delay_s == 8.0

    within_deadline(test())


def test_a_job_that_hangs_in_one_child_does_not_hold_up_the_others() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given a child that waits for a file, in a task of which nothing is known yet
            observed.submit(job(1, "await_file('go')", task="q.slow"))
            await until(lambda: observed.lane.states()["busy"] == 1)

            # When others come, then they run in the other child
            observed.submit(*(job(number) for number in range(2, 12)))
            await observed.reported(10)

            # And the first ends when it may
            allow()
            assert values(await observed.reported(11))[1] == 1

    within_deadline(test())


def test_the_states_of_the_places_are_counted() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            assert observed.lane.states() == {"idle": 2}
            observed.submit(job(1, "await_file('go')"))
            await until(lambda: observed.lane.states() == {"idle": 1, "busy": 1})
            allow()
            await observed.reported(1)

    within_deadline(test())


# ── crashes ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_crash_costs_exactly_the_job_that_ran_and_the_others_run_elsewhere() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given two children that get many jobs at once, the first of which kills its child
            outcomes = await observed.run(job(1, CRASH), *(job(number) for number in range(2, 22)))

            # When all have ended
            # Then one child was lost, with one job; nobody else noticed
            assert outcomes[1].kind is OutcomeKind.CHILD_LOST
            assert outcomes[1].body is None
            failure = outcomes[1].failure
            assert failure is not None
            assert (failure.code, failure.retryable) == ("CHILD_LOST", True)
            assert "SIGKILL" in failure.message
            assert "q.step" in failure.message
            assert values(outcomes) == {number: number for number in range(2, 22)}
            assert observed.lane.exits == {"signal": 1}

    within_deadline(test())


@pytest.mark.usefixtures("at_once")
def test_jobs_behind_a_crash_run_in_order_in_the_child_that_follows() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given one child with a job that kills it and three that wait in its socket
            pids = observed.pids
            outcomes = await observed.run(job(1, CRASH), job(2), job(3), job(4))

            # When, then
            assert [tag for tag, _ in observed.outcomes] == [1, 2, 3, 4]
            assert outcomes[1].kind is OutcomeKind.CHILD_LOST
            assert values(outcomes) == {2: 2, 3: 3, 4: 4}
            assert observed.pids != pids

    within_deadline(test())


@pytest.mark.parametrize(
    ("action", "words"),
    [("os._exit(3)", "exit status 3"), ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV")],
)
@pytest.mark.usefixtures("at_once")
def test_however_a_child_ends_in_a_job_it_is_lost_and_replaced(action: str, words: str) -> None:
    async def test() -> None:
        async with running() as observed:
            outcomes = await observed.run(job(1, action), job(2))
            assert outcomes[1].kind is OutcomeKind.CHILD_LOST
            assert outcomes[1].failure is not None
            assert words in outcomes[1].failure.message
            assert values(outcomes) == {2: 2}

    within_deadline(test())


@pytest.mark.usefixtures("at_once")
def test_a_job_that_exits_with_the_status_of_a_failed_import_does_not_break_its_place() -> None:
    """Exit 78 is final for a child that could not start; a job must not be able to say it."""

    async def test() -> None:
        async with running() as observed:
            outcomes = await observed.run(job(1, "os._exit(78)"), job(2))
            assert outcomes[1].kind is OutcomeKind.CHILD_LOST
            assert values(outcomes) == {2: 2}
            assert observed.broken == []

    within_deadline(test())


@pytest.mark.usefixtures("at_once")
def test_a_job_that_kills_every_child_breaks_the_lane_in_the_end_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with running() as observed:
            # Given jobs each of which kills its child
            observed.submit(job(1, CRASH), job(2, CRASH), job(3, CRASH), job(4))

            # When the third child in a row has died without ending a job
            await until(lambda: bool(observed.broken))

            # Then the lane is broken, once; the job behind is still there to be given back
            assert len(observed.broken) == 1
            assert "every child of queue q is broken (last: SIGKILL)" in observed.broken[0]
            assert "child failed 3 times in a row and is broken; one is tried every 60 s" in caplog.messages
            assert [tag for tag, _ in observed.outcomes] == [1, 2, 3]
            assert observed.lane.states() == {"broken": 1}
            assert [delivery.tag for delivery in observed.lane.take_waiting()] == [4]

    within_deadline(test())


@pytest.mark.usefixtures("at_once")
def test_a_job_that_ends_well_forgives_the_crashes_before_it() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given more crashes than a place may have, with a good job after each
            for number in range(1, 9, 2):
                outcomes = await observed.run(job(number, CRASH), job(number + 1))
                assert values(outcomes) == {number + 1: number + 1}

            # When, then nothing is broken
            assert observed.broken == []

    within_deadline(test())


@pytest.mark.usefixtures("at_once")
def test_a_broken_lane_takes_no_jobs_until_a_child_shows_that_the_cause_is_gone() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given a cause that kills every child, whatever it runs
            assert observed.lane.trouble is None
            doomed = "if not os.path.exists('go'): os._exit(9)"
            observed.submit(*(job(number, doomed) for number in range(1, 7)))
            await until(lambda: bool(observed.broken))
            assert sorted(tag for tag, _ in observed.outcomes) == [1, 2, 3, 4, 5, 6]
            assert observed.lane.states() == {"broken": 2}
            assert "queue q: 2 of 2 children are broken (last: exit status 9)" in (observed.lane.trouble or "")
            assert "one is tried in " in (observed.lane.trouble or "")

            # When one is tried, then it gets a job once it is ready, for nothing else shows whether the cause is gone
            observed.lane._places.breaker.try_one()
            assert "queue q: 2 of 2 children are broken" in (observed.lane.trouble or "")
            await until(lambda: observed.lane.states() == {"idle": 1, "broken": 1})
            assert observed.lane.trouble is None

            # And the cause is still there
            outcomes = await observed.run(job(11, doomed))
            assert outcomes[11].kind is OutcomeKind.CHILD_LOST
            await until(lambda: len(observed.broken) == 2)
            assert "queue q: 2 of 2 children are broken" in (observed.lane.trouble or "")

            # And when it is gone, the first success brings the others back
            allow()
            observed.lane._places.breaker.try_one()
            assert values(await observed.run(job(12, doomed))) == {12: 12}
            await until(lambda: observed.lane.states() == {"idle": 2})
            assert observed.lane.trouble is None

    within_deadline(test())


@pytest.mark.parametrize("lane", [Processes(1), Threads(2), Async(2)], ids=lambda lane: lane.kind)
@pytest.mark.usefixtures("at_once")
def test_a_start_up_hook_that_fails_is_tried_again(lane_tasks: Path, lane: LaneSpec) -> None:
    """Unlike an import: what it misses, such as another service, comes back."""
    cold = lane_tasks / "cold"
    hook = "@q.startup\ndef warm():\n    if os.path.exists('cold'): raise OSError('no model')\n"
    (lane_tasks / "lane_tasks.py").write_text(MODULE + hook)

    async def test() -> None:
        observed = Observed(replace(spec(1), lane=lane))
        try:
            await observed.lane.start()
            # Given a hook that fails from now on
            cold.touch()

            # When a child is lost
            os.kill(observed.pids[0], signal.SIGKILL)

            # Then its place has as many tries as after a crash
            await until(lambda: bool(observed.broken))
            assert observed.lane.exits == {"signal": 1, "boot": 2}
        finally:
            observed.lane.kill()
            await until(lambda: not observed.pids)

    within_deadline(test())


def test_a_child_that_died_is_replaced_after_a_delay() -> None:
    async def test() -> None:
        async with running() as observed:
            await observed.run(job(1, CRASH))
            assert observed.lane.states() == {"restarting": 1}

    within_deadline(test())


# ── timeouts ────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_runs_too_long_is_killed_and_the_jobs_behind_it_run_elsewhere() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job that hangs, with a timeout, and two that wait behind it
            pids = observed.pids
            hang = job(1, HANG, task="q.quick")
            outcomes = await observed.run(hang, job(2, task="q.quick"), job(3))

            # When its time is over, then it has timed out; the parent's policy decides what follows
            assert outcomes[1].kind is OutcomeKind.TIMED_OUT
            failure = outcomes[1].failure
            assert failure is not None
            assert (failure.code, failure.retryable) == ("TIMEOUT", True)
            assert "longer than its timeout of 0.25 s" in failure.message
            assert outcomes[1].delay_s is None
            assert 0.25 < outcomes[1].run_s < 5.0

            # And the others ran in a new child, without a delay
            assert values(outcomes) == {2: 2, 3: 3}
            assert observed.pids != pids
            assert not alive(pids[0])
            assert observed.lane.exits == {"timeout": 1}

    within_deadline(test())


def test_code_that_ignores_every_signal_is_killed_all_the_same() -> None:
    async def test() -> None:
        async with running() as observed:
            stubborn = "[signal.signal(n, signal.SIG_IGN) for n in (15, 2, 1, 14)]\nwhile True: pass"
            outcomes = await observed.run(job(1, stubborn, task="q.quick"))
            assert outcomes[1].kind is OutcomeKind.TIMED_OUT

    within_deadline(test())


def test_a_job_without_a_timeout_is_left_alone() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given a job without and one with a timeout, both slow
            observed.submit(job(1, "await_file('go')"), job(2, HANG, task="q.quick"))

            # When the second was killed
            await observed.reported(1)

            # Then the first goes on
            allow()
            outcomes = await observed.reported(2)
            assert outcomes[1].kind is OutcomeKind.SUCCEEDED

    within_deadline(test())


# ── starting ────────────────────────────────────────────────────────────────────────────────────────


def start_failure(target: str, python: str | None = None) -> Exception:
    """What start raises; nothing may be left of the lane."""

    async def test() -> Exception:
        observed = Observed(spec(2, target=target, python=python))
        with pytest.raises((CatalogError, WorkerError)) as error:
            await observed.lane.start()
        pids = observed.pids
        observed.lane.kill()
        await until(lambda: not observed.pids)
        assert not [pid for pid in pids if alive(pid)]
        return error.value

    return within_deadline(test())


def test_a_start_up_hook_that_fails_is_shown_and_ends_the_start(lane_tasks: Path) -> None:
    (lane_tasks / "hooked.py").write_text(
        MODULE + "\n@q.startup\ndef load_model():\n    raise FileNotFoundError('model.bin')\n"
    )
    error = start_failure("hooked:q")
    assert isinstance(error, CatalogError)
    assert "in load_model" in str(error)
    assert "FileNotFoundError: model.bin" in str(error)
    assert "a child of queue q (hooked:q) could not start: mend the error above" in str(error)


def test_a_child_that_dies_before_it_is_ready_ends_the_start(lane_tasks: Path) -> None:
    (lane_tasks / "dying.py").write_text("import os\nos._exit(5)\n")
    error = start_failure("dying:q")
    assert isinstance(error, WorkerError)
    assert "a child of queue q died before it was ready (exit status 5)" in str(error)


def test_a_child_that_is_never_ready_ends_the_start(lane_tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of readiness in which the signal never comes."""
    monkeypatch.setattr(place, "BOOT_TIMEOUT_S", 0.3)
    (lane_tasks / "endless.py").write_text("import time\ntime.sleep(60)\n")
    error = start_failure("endless:q")
    assert isinstance(error, WorkerError)
    assert "was not ready within 0.3 s" in str(error)


def test_an_interpreter_that_is_not_there_ends_the_start() -> None:
    error = start_failure("lane_tasks:q", python="/no/such/python")
    assert isinstance(error, CatalogError)
    assert "queue q: cannot run /no/such/python" in str(error)


def test_every_child_is_warmed_up_before_its_first_job(lane_tasks: Path) -> None:
    # Given two start-up hooks
    (lane_tasks / "warm.py").write_text(
        MODULE + "\nseen = []\nq.startup(lambda: seen.append('model'))\nq.startup(lambda: seen.append('cache'))\n"
    )

    async def test() -> None:
        async with running(slots=2, target="warm:q") as observed:
            # When jobs run, then the hooks have run, once per child and in order
            check = "import warm; assert warm.seen == ['model', 'cache'], warm.seen"
            outcomes = await observed.run(*(job(number, check) for number in range(1, 9)))
            assert len(values(outcomes)) == 8

    within_deadline(test())


# ── stopping ────────────────────────────────────────────────────────────────────────────────────────


def test_stop_lets_running_jobs_end_and_leaves_no_process() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given a job that runs
            pids = observed.pids
            observed.submit(job(1, "await_file('go')"), job(2))
            await until(lambda: len(observed.outcomes) == 1)

            # When the lane is stopped, and the job can end
            stopping = asyncio.create_task(observed.lane.stop(20))
            await asyncio.sleep(0)
            allow()

            # Then it has ended, and so have the children
            assert await stopping == []
            assert values(await observed.reported(2)) == {1: 1, 2: 2}
            assert not [pid for pid in pids if alive(pid)]
            assert observed.lane.states() == {"stopped": 2}

    within_deadline(test())


def test_stop_returns_the_job_that_did_not_end_in_time_and_leaves_those_behind_it_as_if_never_sent() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job that does not end, and two behind it in the child
            pids = observed.pids
            observed.submit(job(1, HANG), job(2), job(3))
            await until(lambda: observed.lane.states()["busy"] == 1)

            # When the lane is stopped
            cut_off = await observed.lane.stop(0.05)

            # Then the first was cut off, the others had not started, and the child is gone
            assert [delivery.tag for delivery in cut_off] == [1]
            assert [delivery.tag for delivery in observed.lane.take_waiting()] == [2, 3]
            assert observed.outcomes == []
            assert not alive(pids[0])

    within_deadline(test())


def test_a_child_that_waits_for_its_restart_is_not_started_by_a_lane_that_stops() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given a child that was lost, and another one that has a job
            await observed.run(job(1, CRASH))
            observed.submit(job(2, "await_file('go')"))
            await until(lambda: observed.lane.states() == {"busy": 1, "restarting": 1})
            (lost,) = (place for place in observed.lane._places if place.child is None)

            # When the lane is stopped, then none will follow
            stopping = asyncio.create_task(observed.lane.stop(20))
            await asyncio.sleep(0)
            assert not lost.alarm.pending
            allow()
            assert await stopping == []
            assert observed.lane.exits == {"signal": 1, "stopped": 1}

    within_deadline(test())


def test_hurry_ends_a_drain() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a drain that would take a minute
            observed.submit(job(1, HANG))
            await until(lambda: observed.lane.states()["busy"] == 1)
            stopping = asyncio.create_task(observed.lane.stop(60))
            await asyncio.sleep(0)
            assert not stopping.done()

            # When somebody is in a hurry
            observed.lane.hurry()

            # Then the job is cut off now
            assert [delivery.tag for delivery in await stopping] == [1]
            await until(lambda: not observed.pids)

    within_deadline(test())


def test_stopping_an_idle_lane_lets_its_children_end_by_themselves(lane_tasks: Path) -> None:
    # Given a module that notes an orderly end
    (lane_tasks / "noting.py").write_text(
        MODULE + "\nimport atexit\natexit.register(lambda: open('ended', 'a').write('x'))\n"
    )

    async def test() -> None:
        async with running(slots=2, target="noting:q") as observed:
            assert await observed.lane.stop(10) == []
            assert noted() == "xx"
            assert observed.lane.exits == {"stopped": 2}

    within_deadline(test())


def test_stop_leaves_what_a_child_that_died_meanwhile_had_not_started() -> None:
    """Nobody runs those jobs any more, and nobody else knows of them."""

    async def test() -> None:
        async with running() as observed:
            # Given a child that will die in its job, and two jobs behind it
            observed.submit(job(1, f"await_file('go'); {CRASH}"), job(2), job(3))
            await until(lambda: observed.lane.states()["busy"] == 1)

            # When the lane is stopped before
            stopping = asyncio.create_task(observed.lane.stop(20))
            await asyncio.sleep(0)
            allow()
            assert await stopping == []

            # Then the running job was reported lost, and the others can be given back
            assert [(tag, outcome.kind) for tag, outcome in observed.outcomes] == [(1, OutcomeKind.CHILD_LOST)]
            assert [delivery.tag for delivery in observed.lane.take_waiting()] == [2, 3]

    within_deadline(test())


def test_kill_ends_everything_and_reports_nothing() -> None:
    async def test() -> None:
        async with running(slots=2) as observed:
            # Given a child that is busy and one that is idle
            pids = observed.pids
            observed.submit(job(1, HANG))
            await until(lambda: observed.lane.states()["busy"] == 1)

            # When the lane is killed, twice
            observed.lane.kill()
            observed.lane.kill()
            await until(lambda: not observed.pids)

            # Then no process is left, no child follows, and no job is judged
            assert not [pid for pid in pids if alive(pid)]
            assert observed.outcomes == []
            assert observed.lane.states() == {"stopped": 2}

    within_deadline(test())


def test_kill_ends_the_wait_for_a_child_that_was_to_be_replaced() -> None:
    async def test() -> None:
        async with running() as observed:
            await observed.run(job(1, CRASH))
            observed.lane.kill()
            assert observed.pids == []

    within_deadline(test())


def test_a_lane_that_never_started_can_be_killed() -> None:
    Observed(spec(2)).lane.kill()
