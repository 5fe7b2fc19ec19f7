"""Children that die or are killed, really: what is known of it, and that their neighbours lose nothing."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from penstock.domain import supervision
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.lanes.memory import resident
from tests.unit.lanes.observed import HANG, Clock, Observed, allow, job, read, running, values
from tests.unit.waiting import until, within_deadline

pytestmark = pytest.mark.usefixtures("lane_tasks")

SEGFAULT = "import ctypes; ctypes.string_at(0)"
#: Keeps the GIL in C for ever; the read is started again after a signal.
HANG_IN_C = "import ctypes; ctypes.PyDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)"
#: The least that a child with an interpreter has in memory.
SOME_RSS = 5_000_000


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that died are replaced without a delay."""
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", (0.0,) * 20)


def evidence(outcome: Outcome) -> Evidence:
    assert outcome.evidence is not None
    return outcome.evidence


async def busy(observed: Observed) -> int:
    """Wait until the only child runs a job; returns its process."""
    await until(lambda: observed.lane.states()["busy"] == 1)
    (pid,) = observed.pids
    return pid


# ── crashes ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_crash_is_told_with_its_signal_its_memory_and_its_last_stack() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job that crashes in a library, and three behind it in the child
            outcomes = await observed.run(job(1, SEGFAULT), job(2), job(3), job(4))

            # When it has ended, then the evidence leads to the line
            lost = outcomes[1]
            assert lost.kind is OutcomeKind.CHILD_LOST
            assert lost.failure is not None
            assert lost.failure.message == "the child process died (SIGSEGV) while it ran q.step"
            assert lost.run_s > 0
            found = evidence(lost)
            assert found.exit == "SIGSEGV"
            assert found.peak_rss is not None
            assert found.peak_rss > SOME_RSS
            assert found.stack is not None
            lines = found.stack.splitlines()
            assert lines[0] == "Fatal Python error: Segmentation fault"
            assert lines[2].startswith("Current thread")
            assert lines[3].endswith("in string_at")
            assert "lane_tasks.py" in lines[5]
            assert "lanes/runner" not in found.stack

            # And its neighbours were neither judged nor handed out again
            assert values(outcomes) == {2: 2, 3: 3, 4: 4}

    within_deadline(test())


def test_the_memory_of_a_dead_child_is_its_peak() -> None:
    async def test() -> None:
        async with running() as observed:
            # Linux counts what we had in memory when we started it, and after hundreds of tests that is much.
            ours = resident(os.getpid()) or 0
            outcomes = await observed.run(job(1, "x = b'x' * 300_000_000; del x; os._exit(3)"))
            found = evidence(outcomes[1])
            assert found.exit == "exit status 3"
            assert found.peak_rss is not None
            assert 300_000_000 < found.peak_rss < 600_000_000 + ours
            assert found.stack is None

    within_deadline(test())


def test_a_child_that_somebody_kills_costs_the_job_that_ran_alone() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job that runs and three that were sent ahead
            sent = [job(1, HANG), job(2), job(3), job(4)]
            observed.submit(*sent)
            pid = await busy(observed)
            assert observed.lane._slots.in_children == 4

            # When the child is killed
            os.kill(pid, signal.SIGKILL)
            outcomes = await observed.reported(4)

            # Then one job is lost, without last words
            assert outcomes[1].kind is OutcomeKind.CHILD_LOST
            assert (evidence(outcomes[1]).exit, evidence(outcomes[1]).stack) == ("SIGKILL", None)

            # And the others have their one outcome each, in order
            assert [tag for tag, _ in observed.outcomes] == [1, 2, 3, 4]
            assert values(outcomes) == {2: 2, 3: 3, 4: 4}

    within_deadline(test())


def test_a_child_that_dies_while_it_is_idle_costs_nothing() -> None:
    async def test() -> None:
        async with running() as observed:
            (pid,) = observed.pids
            os.kill(pid, signal.SIGKILL)
            await until(lambda: observed.pids not in ([pid], []))
            assert values(await observed.run(job(1))) == {1: 1}

    within_deadline(test())


# ── hangs ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hang", [HANG, HANG_IN_C, f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {HANG_IN_C}"])
def test_a_hang_is_told_with_the_line_that_hangs_also_in_c_with_the_gil(hang: str) -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a job that hangs, and two behind it in the child
            outcomes = await observed.run(job(1, hang, task="q.quick"), job(2), job(3))

            # When its time is over, then the evidence leads to the line
            assert outcomes[1].kind is OutcomeKind.TIMED_OUT
            assert outcomes[1].run_s > 0.25
            found = evidence(outcomes[1])
            assert found.exit == "SIGKILL"
            assert found.peak_rss is not None
            assert found.peak_rss > SOME_RSS
            assert found.stack is not None
            assert found.stack.startswith("Current thread")
            assert "lane_tasks.py" in found.stack

            # And its neighbours lost nothing
            assert values(outcomes) == {2: 2, 3: 3}
            assert observed.lane.exits == {"timeout": 1}

    within_deadline(test())


def test_a_child_that_was_stopped_is_killed_when_its_time_is_over() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a child that somebody stops in its job
            observed.submit(job(1, HANG, task="q.quick"), job(2))
            os.kill(await busy(observed), signal.SIGSTOP)

            # When its time is over, then it is killed; it could not say where it was
            outcomes = await observed.reported(2)
            assert outcomes[1].kind is OutcomeKind.TIMED_OUT
            assert evidence(outcomes[1]) == Evidence(
                exit="SIGKILL", peak_rss=evidence(outcomes[1]).peak_rss, stack=None
            )
            assert values(outcomes) == {2: 2}

    within_deadline(test())


@pytest.mark.parametrize(("handler", "exit_"), [("SIG_IGN", "SIGKILL"), ("SIG_DFL", "SIGUSR2")])
def test_a_task_that_takes_the_signal_for_itself_has_no_stack_and_is_killed_all_the_same(
    handler: str, exit_: str
) -> None:
    async def test() -> None:
        async with running() as observed:
            action = f"signal.signal(signal.SIGUSR2, signal.{handler}); {HANG}"
            outcomes = await observed.run(job(1, action, task="q.quick"))
            assert outcomes[1].kind is OutcomeKind.TIMED_OUT
            assert (evidence(outcomes[1]).exit, evidence(outcomes[1]).stack) == (exit_, None)

    within_deadline(test())


def test_a_parent_that_stood_still_does_not_take_that_for_the_jobs_time() -> None:
    """A frozen container, or a stopped parent, would kill every running job at its wake-up."""

    async def test() -> None:
        clock = Clock()
        async with running(clock=clock, timeout_s=20.0) as observed:
            # Given a job with a timeout of 20 s
            observed.submit(job(1, "await_file('go')", task="q.quick"))
            await busy(observed)

            # When the parent wakes up an hour later, and has looked at the job
            clock.forward_s += 3600
            await observed.looked()

            # Then the job goes on
            allow()
            assert (await observed.reported(1))[1].kind is OutcomeKind.SUCCEEDED

    within_deadline(test())


def test_after_a_standstill_a_job_still_has_the_rest_of_its_time_and_no_more() -> None:
    async def test() -> None:
        clock = Clock()
        async with running(clock=clock, timeout_s=10.0) as observed:
            # Given a job with a timeout of 10 s in a parent that stood still
            observed.submit(job(1, HANG, task="q.quick"))
            await busy(observed)
            clock.forward_s += 3600
            await observed.looked()

            # When 10 s more go by, in steps that are no standstill
            for _ in range(50):
                clock.forward_s += 0.2
                await observed.looked()

            # Then its time is over
            outcomes = await observed.reported(1)
            assert outcomes[1].kind is OutcomeKind.TIMED_OUT
            assert outcomes[1].run_s < 20.0

    within_deadline(test())


# ── descriptors and the kernel ──────────────────────────────────────────────────────────────────────


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def oom_score(who: int | str) -> int:
    """How much more than others the kernel wants to take a process."""
    return int(read(f"/proc/{who}/oom_score_adj"))


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@linux
def test_no_descriptor_stays_open_of_children_that_are_gone() -> None:
    async def test() -> None:
        async with running() as observed:
            before = descriptors()
            for number in range(1, 4):
                await observed.run(job(number, "os._exit(3)"))
            await until(lambda: observed.lane.states()["idle"] == 1)
            assert descriptors() == before

    within_deadline(test())


@linux
def test_what_a_job_starts_holds_neither_the_line_nor_the_file_of_the_last_stack() -> None:
    async def test() -> None:
        async with running() as observed:
            look = (
                "import subprocess; found = subprocess.run(['ls', '-l', '/proc/self/fd'], close_fds=False,"
                " capture_output=True, text=True).stdout; open('found', 'w').write(found)"
            )
            await observed.run(job(1, look))
            found = read("found")
            assert "pipe:" in found
            assert "penstock" not in found
            assert "socket:" not in found

    within_deadline(test())


@linux
def test_when_memory_runs_out_the_kernel_takes_a_child_before_the_parent() -> None:
    async def test() -> None:
        async with running() as observed:
            (pid,) = observed.pids
            assert oom_score(pid) == min(1000, oom_score("self") + 500)

    within_deadline(test())
