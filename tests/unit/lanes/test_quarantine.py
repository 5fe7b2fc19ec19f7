"""The quarantine slot: a suspicious job runs alone, in a child of its own, and harms nobody."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from penstock.domain import supervision
from penstock.domain.outcome import OutcomeKind
from penstock.lanes import place
from penstock.wire.result import decode_result
from tests.unit.lanes.observed import CRASH, HANG, MODULE, Clock, Observed, allow, job, read, running, values
from tests.unit.waiting import alive, until, within_deadline

pytestmark = pytest.mark.usefixtures("lane_tasks")

MIB = 1024 * 1024
#: A megabyte a millisecond.
EAT = "eaten = []\nwhile True:\n    eaten.append(b'x' * 1_000_000)\n    time.sleep(0.001)"
#: A module that is imported only while the file `closed` is not there.
GATED = "import os, time\nwhile os.path.exists('closed'): time.sleep(0.002)\n" + MODULE


def close_gate() -> None:
    Path("closed").touch()


def open_gate() -> None:
    Path("closed").unlink()


async def alone(observed: Observed) -> int:
    """Wait until the job in quarantine runs; returns its process."""
    await until(lambda: observed.lane._quarantine.place.busy)
    assert observed.alone is not None
    return observed.alone


# ── alone ───────────────────────────────────────────────────────────────────────────────────────────


def test_every_job_in_quarantine_has_a_child_of_its_own_that_ends_with_it() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a lane with a child
            ordinary = observed.pids

            # When two jobs run in quarantine, one after the other
            pids = []
            for number in (1, 2):
                outcome = await observed.run_alone(job(number))
                assert outcome.kind is OutcomeKind.SUCCEEDED
                assert outcome.body is not None
                pids.append(decode_result(outcome.body).value[0])

            # Then each had a new child, and both are gone
            assert len({*pids, *ordinary}) == 3
            assert not [pid for pid in pids if alive(pid)]
            assert observed.pids == ordinary
            assert observed.lane.exits == {"finished": 2}

    within_deadline(test())


def test_no_other_job_ever_comes_to_the_child_in_quarantine() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job in quarantine
            assert observed.lane.quarantine(job(1, "await_file('go')"))
            apart = await alone(observed)

            # When many others come, then all of them run elsewhere
            observed.submit(*(job(number) for number in range(2, 52)))
            outcomes = await observed.reported(50)
            assert apart not in {decode_result(o.body).value[0] for o in outcomes.values() if o.body}
            allow()
            assert values(await observed.reported(51))[1] == 1

    within_deadline(test())


def test_the_slot_has_room_for_one_and_is_free_again_when_its_child_is_gone() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job in quarantine
            assert observed.lane.quarantine(job(1, "await_file('go')"))

            # When others come, before its child is ready and after
            assert not observed.lane.quarantine(job(2))
            await alone(observed)
            assert not observed.lane.quarantine(job(3))

            # Then they were refused, and nothing is known of them
            allow()
            await observed.reported(1)
            await until(lambda: observed.alone is None)
            assert observed.lane.in_progress == 0
            assert (await observed.run_alone(job(4))).kind is OutcomeKind.SUCCEEDED

    within_deadline(test())


def test_a_job_in_quarantine_is_counted_and_seen() -> None:
    async def test() -> None:
        async with running() as observed:
            assert observed.lane.quarantine(job(1, "await_file('go')"))
            assert (observed.lane.in_progress, observed.lane.states()) == (1, {"idle": 1, "quarantine": 1})
            await alone(observed)
            assert (observed.lane.in_progress, observed.lane.states()) == (1, {"idle": 1, "quarantine": 1})
            allow()
            await observed.reported(1)
            await until(lambda: observed.lane.states() == {"idle": 1})

    within_deadline(test())


def test_a_child_that_does_not_end_after_its_job_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "END_S", 0.05)

    async def test() -> None:
        async with running() as observed:
            # Given a job that leaves a thread that never ends
            stays = "import threading; threading.Thread(target=time.sleep, args=(60,)).start()"

            # When it has ended, then its child is gone and its success stands
            assert (await observed.run_alone(job(1, stays))).kind is OutcomeKind.SUCCEEDED

    within_deadline(test())


# ── harm ────────────────────────────────────────────────────────────────────────────────────────────


def test_children_that_die_in_quarantine_break_nothing_and_delay_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a lane in which the first failure of a child is its last
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", ())

    async def test() -> None:
        async with running() as observed:
            # When jobs in quarantine kill their children, one right after the other
            ordinary = observed.pids
            for number in (1, 2):
                outcome = await observed.run_alone(job(number, CRASH))
                assert outcome.kind is OutcomeKind.CHILD_LOST
                assert outcome.evidence is not None
                assert outcome.evidence.exit == "SIGKILL"

            # Then the lane is as it was
            assert (observed.broken, observed.unstarted) == ([], [])
            assert observed.pids == ordinary
            assert observed.lane.states() == {"idle": 1}
            assert (await observed.run_alone(job(3))).kind is OutcomeKind.SUCCEEDED

    within_deadline(test())


def test_a_job_that_raises_in_quarantine_says_so() -> None:
    async def test() -> None:
        async with running() as observed:
            outcome = await observed.run_alone(job(1, "raise ValueError('no')"))
            assert outcome.kind is OutcomeKind.RAISED
            assert observed.lane.exits == {"finished": 1}

    within_deadline(test())


def test_a_job_that_hangs_in_quarantine_runs_out_of_time() -> None:
    async def test() -> None:
        async with running() as observed:
            outcome = await observed.run_alone(job(1, HANG, task="q.quick"))
            assert outcome.kind is OutcomeKind.TIMED_OUT
            assert outcome.evidence is not None
            assert outcome.evidence.stack is not None
            assert "lane_tasks.py" in outcome.evidence.stack

    within_deadline(test())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has in memory")
def test_a_job_that_eats_memory_in_quarantine_is_killed_at_the_limit() -> None:
    async def test() -> None:
        async with running(memory=150 * MIB) as observed:
            # When a job without a timeout eats memory
            outcome = await observed.run_alone(job(1, EAT))

            # Then its child is killed, and the evidence says why and where
            assert outcome.kind is OutcomeKind.CHILD_LOST
            assert outcome.failure is not None
            assert "SIGKILL: above the memory limit of 150 MiB" in outcome.failure.message
            found = outcome.evidence
            assert found is not None
            assert found.exit == "SIGKILL: above the memory limit of 150 MiB"
            assert found.peak_rss is not None
            assert found.peak_rss > 150 * MIB
            assert found.stack is not None
            assert "lane_tasks.py" in found.stack
            assert observed.lane.exits == {"memory": 1}

            # And the next job has a limit of its own
            assert (await observed.run_alone(job(2))).kind is OutcomeKind.SUCCEEDED

    within_deadline(test())


def test_outside_of_quarantine_memory_has_no_limit() -> None:
    async def test() -> None:
        async with running(memory=1) as observed:
            assert values(await observed.run(job(1, "x = b'x' * 100_000_000"))) == {1: 1}

    within_deadline(test())


# ── children that cannot start ──────────────────────────────────────────────────────────────────────


def test_a_job_whose_child_cannot_start_is_handed_back_unharmed(
    lane_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a place that would be broken at the third failure if it were the lane's
    longest = 16.0
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", (1.0, longest))

    async def test() -> None:
        clock = Clock()
        async with running(clock=clock) as observed:
            # And a module that was broken after the lane had started
            ordinary = observed.pids
            good = (lane_tasks / "lane_tasks.py").read_text()
            (lane_tasks / "lane_tasks.py").write_text("raise RuntimeError('half a deployment')")

            # When jobs come to quarantine
            for number, closed_s in ((1, 1.0), (2, longest), (3, longest)):
                assert observed.lane.quarantine(job(number))
                await until(lambda: observed.alone is None)

                # Then each comes back unjudged, and the slot is closed for a while
                assert [delivery.tag for delivery in observed.unstarted] == list(range(1, number + 1))
                assert not observed.lane.quarantine(job(99))
                clock.forward_s += closed_s
            assert (observed.outcomes, observed.broken) == ([], [])
            assert observed.lane.exits == {"boot": 3}

            # And the lane goes on, and quarantine too, when the module is mended
            assert observed.pids == ordinary
            (lane_tasks / "lane_tasks.py").write_text(good)
            assert (await observed.run_alone(job(100))).kind is OutcomeKind.SUCCEEDED

    within_deadline(test())


def test_without_an_interpreter_no_job_is_taken(lane_tasks: Path) -> None:
    # Given an interpreter that is gone after the lane has started
    python = lane_tasks / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)

    async def test() -> None:
        async with running(python=str(python)) as observed:
            python.unlink()

            # When a job comes to quarantine, then it stays the caller's
            assert not observed.lane.quarantine(job(1))
            assert (observed.unstarted, observed.lane.in_progress) == ([], 0)

    within_deadline(test())


def test_a_child_that_never_becomes_ready_does_not_hold_the_slot_for_ever(
    lane_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lane_tasks / "gated.py").write_text(GATED)

    async def test() -> None:
        async with running(target="gated:q") as observed:
            # Given a module whose import has come to hang, and little patience
            close_gate()
            monkeypatch.setattr(place, "BOOT_TIMEOUT_S", 0.1)

            # When a job comes to quarantine, then it comes back
            assert observed.lane.quarantine(job(1))
            await until(lambda: len(observed.unstarted) == 1)
            assert observed.alone is None

    within_deadline(test())


# ── stopping ────────────────────────────────────────────────────────────────────────────────────────


def test_a_drain_hands_back_a_job_whose_child_is_not_ready_yet(lane_tasks: Path) -> None:
    (lane_tasks / "gated.py").write_text(GATED)

    async def test() -> None:
        async with running(target="gated:q") as observed:
            # Given a job in quarantine whose child still starts
            close_gate()
            assert observed.lane.quarantine(job(1))

            # When the lane is drained, then the job is handed back, and no child is left
            assert [delivery.tag for delivery in observed.lane.take_waiting()] == [1]
            open_gate()
            assert await observed.lane.stop(10) == []
            assert (observed.outcomes, observed.unstarted, observed.pids) == ([], [], [])

    within_deadline(test())


def test_a_job_that_was_handed_back_does_not_run_when_its_child_is_ready(lane_tasks: Path) -> None:
    (lane_tasks / "gated.py").write_text(GATED)

    async def test() -> None:
        async with running(target="gated:q") as observed:
            close_gate()
            assert observed.lane.quarantine(job(1))
            observed.lane.take_waiting()
            open_gate()
            await until(lambda: observed.alone is None)
            assert (observed.outcomes, observed.unstarted) == ([], [])

    within_deadline(test())


def test_stop_waits_for_the_job_in_quarantine_and_takes_no_other() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job in quarantine
            assert observed.lane.quarantine(job(1, "await_file('go')"))
            pid = await alone(observed)

            # When the lane is stopped
            stopping = asyncio.create_task(observed.lane.stop(20))
            await asyncio.sleep(0)
            assert not observed.lane.quarantine(job(2))
            allow()

            # Then the job has ended, and its child as well
            assert await stopping == []
            assert values(dict(observed.outcomes)) == {1: 1}
            assert not alive(pid)
            assert observed.pids == []

    within_deadline(test())


def test_stop_returns_the_job_in_quarantine_that_does_not_end_in_time() -> None:
    async def test() -> None:
        async with running() as observed:
            assert observed.lane.quarantine(job(1, HANG))
            pid = await alone(observed)
            assert [delivery.tag for delivery in await observed.lane.stop(0.05)] == [1]
            assert observed.outcomes == []
            assert not alive(pid)

    within_deadline(test())


def test_hurry_ends_the_wait_for_the_job_in_quarantine() -> None:
    async def test() -> None:
        async with running() as observed:
            assert observed.lane.quarantine(job(1, HANG))
            await alone(observed)
            stopping = asyncio.create_task(observed.lane.stop(60))
            await asyncio.sleep(0)
            observed.lane.hurry()
            assert [delivery.tag for delivery in await stopping] == [1]

    within_deadline(test())


def test_kill_ends_the_child_in_quarantine_and_what_it_started() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job in quarantine that has started a process
            spawn = (
                "import subprocess; pid = subprocess.Popen(['sleep', '60']).pid;"
                " file = open('pid', 'w'); file.write(str(pid)); file.close(); os.rename('pid', 'grandchild')"
            )
            assert observed.lane.quarantine(job(1, f"{spawn}; {HANG}"))
            await until(Path("grandchild").exists)
            grandchild = int(read("grandchild"))
            pid = await alone(observed)

            # When the lane is killed, then nothing is left, and nothing is judged
            observed.lane.kill()
            await until(lambda: not alive(pid) and not alive(grandchild))
            await until(lambda: observed.pids == [])
            assert (observed.outcomes, observed.unstarted) == ([], [])

    within_deadline(test())


# ── cancelled ───────────────────────────────────────────────────────────────────────────────────────


def test_a_job_in_quarantine_is_cancelled_while_its_child_starts_and_while_it_runs() -> None:
    async def test() -> None:
        async with running() as observed:
            steps: list[str] = []
            # Given a job whose child is starting
            waiting = job(1)
            assert observed.lane.quarantine(waiting)

            # When it is cancelled, then it has not run, and the child ends for want of a job
            assert observed.lane.cancel(waiting.job_id, steps.append)
            assert (await observed.reported(1))[1].kind is OutcomeKind.CANCELLED
            await until(lambda: observed.alone is None)

            # And so is the next, which runs
            observed.outcomes.clear()
            hanging = job(2, HANG)
            assert observed.lane.quarantine(hanging)
            await alone(observed)
            assert observed.lane.cancel(hanging.job_id, steps.append)
            assert (await observed.reported(1))[2].kind is OutcomeKind.CANCELLED
            await until(lambda: observed.alone is None)
            assert steps == ["never_started", "exception"]

    within_deadline(test())
