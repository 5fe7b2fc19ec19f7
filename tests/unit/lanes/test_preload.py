"""Preloading: children forked from a template that has imported the queue, by real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from penstock import Confine
from penstock.domain import supervision
from penstock.domain.outcome import OutcomeKind
from penstock.domain.recycle import Recycle
from penstock.errors import CatalogError, WorkerError
from penstock.lanes import adoption
from penstock.lanes.adoption import Adoption, _takes_orphans
from penstock.wire.result import decode_result
from tests.unit.lanes.observed import (
    CRASH,
    HANG,
    MODULE,
    Observed,
    allow,
    children,
    job,
    read,
    running,
    spec,
    told,
    values,
)
from tests.unit.waiting import alive, until, within_deadline

pytestmark = [
    pytest.mark.usefixtures("lane_tasks"),
    pytest.mark.skipif(sys.platform != "linux", reason="preload is for Linux"),
]

#: A module that notes who has imported it, and who was warmed up.
NOTING = (
    MODULE
    + """
def note(what):
    with open(what, "a") as file:
        print(os.getpid(), file=file)

note("imported")
BORN = os.getpid()
TABLE = bytes(range(256)) * 4096

@q.startup
def warm():
    note("warmed")
"""
)


@pytest.fixture(autouse=True)
def noting(lane_tasks: Path) -> None:
    (lane_tasks / "lane_tasks.py").write_text(NOTING)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that died are replaced without a delay."""
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", (0.0,) * 5)


def template_of(observed: Observed) -> int:
    template = observed.lane._starts._current
    assert template is not None
    return template.pid


def lines(path: str) -> list[int]:
    return [int(line) for line in read(path).split()]


def parent_of(pid: int) -> int:
    return int(read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])


async def refused(observed: Observed) -> str:
    """Why the lane does not start."""
    try:
        with pytest.raises((CatalogError, WorkerError)) as caught:
            await observed.lane.start()
        return str(caught.value)
    finally:
        observed.lane.kill()
        await until(lambda: not observed.pids and observed.lane._starts.idle)


# ── forked ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_module_is_imported_once_and_every_child_is_warmed_up_and_answers_with_what_was_made() -> None:
    async def test() -> None:
        async with running(slots=3, preload=True) as observed:
            # Given children that are the worker's own
            children, template = sorted(observed.pids), template_of(observed)
            assert {parent_of(pid) for pid in [*children, template]} == {os.getpid()}

            # Then the template has imported the module, and each child has had its start-up hook
            assert lines("imported") == [template]
            assert sorted(lines("warmed")) == children

            # And all answer, with what the import has made
            outcomes = await observed.run(*(job(number) for number in range(1, 31)))
            assert values(outcomes) == {number: number for number in range(1, 31)}
            assert await told(observed, "[BORN, TABLE == bytes(range(256)) * 4096]") == [template, True]

    within_deadline(test())


def test_a_forked_child_leads_its_session_and_has_nothing_of_the_template_or_of_another_child() -> None:
    async def test() -> None:
        async with running(slots=2, preload=True) as observed:
            files = (
                "sorted(os.readlink(f'/proc/self/fd/{n}').partition(':')[0].rpartition('/')[2]"
                " for n in os.listdir('/proc/self/fd') if int(n) > 2 and os.path.lexists(f'/proc/self/fd/{n}'))"
            )
            says = await told(observed, f"[os.getpid(), os.getsid(0), os.getpgid(0), {files}]")
            assert says == [says[0]] * 3 + [["memfd", "memfd", "socket"]]

    within_deadline(test())


def test_a_process_that_takes_no_orphans_still_takes_none_when_the_children_are_there() -> None:
    async def test() -> None:
        before = _takes_orphans()
        async with running(slots=2, preload=True):
            assert _takes_orphans() is before

    within_deadline(test())


def test_orphans_are_taken_until_the_last_fork_is_over() -> None:
    forks = Adoption()
    forks.begin()
    forks.begin()
    forks.end()
    assert _takes_orphans()
    forks.end()
    assert not _takes_orphans()


def test_a_process_that_takes_orphans_anyway_goes_on_doing_so() -> None:
    outer, inner = Adoption(), Adoption()
    outer.begin()
    try:
        inner.begin()
        inner.end()
        assert _takes_orphans()
    finally:
        outer.end()


# ── how children end ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("at_once")
def test_a_crash_is_judged_by_its_signal_stack_and_memory_and_the_next_child_imports_nothing() -> None:
    async def test() -> None:
        async with running(preload=True) as observed:
            (lost,), template = observed.pids, template_of(observed)

            # When a job crashes its child
            outcomes = await observed.run(job(1, "__import__('ctypes').string_at(0)"), job(2))

            # Then that is told as of any other child
            evidence = outcomes[1].evidence
            assert outcomes[1].kind is OutcomeKind.CHILD_LOST
            assert evidence is not None
            assert evidence.exit == "SIGSEGV"
            assert "Segmentation fault" in (evidence.stack or "")
            assert (evidence.peak_rss or 0) > 2**20

            # And the next one does the next job, from the same template
            assert outcomes[2].kind is OutcomeKind.SUCCEEDED
            assert (template_of(observed), lines("imported")) == (template, [template])
            assert lost not in observed.pids

    within_deadline(test())


def test_a_job_that_runs_too_long_is_killed_with_what_it_has_started() -> None:
    async def test() -> None:
        async with running(preload=True) as observed:
            start = (
                "import subprocess\n"
                "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
                "print(other.pid, file=open('other', 'w'), flush=True)\n"
            )
            outcomes = await observed.run(job(1, start + HANG, task="q.quick"))
            assert outcomes[1].kind is OutcomeKind.TIMED_OUT
            await until(lambda: not alive(lines("other")[0]))

            # The worker is given what is orphaned while a template forks, and reaps it
            await until(lambda: not observed.unknown)

    within_deadline(test())


def test_children_are_recycled_and_a_job_in_quarantine_has_a_forked_child_too() -> None:
    async def test() -> None:
        async with running(preload=True, recycle=Recycle(jobs=5)) as observed:
            template = template_of(observed)
            await observed.run(*(job(number) for number in range(1, 31)))
            await until(lambda: observed.lane.exits["recycled"] == 1 and observed.lane.states()["idle"] == 1)
            assert (await observed.run_alone(job(31))).kind is OutcomeKind.SUCCEEDED
            assert lines("imported") == [template]

    within_deadline(test())


#: What a child finds of its confines.
_CONFINED = (
    "[os.environ['TMPDIR'] == __import__('tempfile').gettempdir(), os.nice(0), len(os.sched_getaffinity(0)),"
    " __import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE), os.environ['TMPDIR']]"
)


def test_a_forked_child_is_confined_and_has_what_is_its_own() -> None:
    async def test() -> None:
        options = Confine(network=False, nice=2, tempdir=True, spread=True, open_files=200)
        async with running(slots=2, preload=True, confine=options) as observed:
            # Given two children
            directories = set()
            for number in (1, 2):
                says = await told(observed, _CONFINED, number=number)
                assert says[:4] == [True, os.nice(0) + 2, 1, (200, 200)]
                directories.add(says[4])
            failure = (await observed.run(job(3, "__import__('socket').socket()")))[3].failure
            assert failure is not None
            assert "Permission denied" in failure.message
            await observed.lane.stop(10)

            # Then nothing of theirs is left, nor of the template's
            assert not [path for path in directories if os.path.exists(path)]  # noqa: ASYNC240, PTH110

    within_deadline(test())


def test_a_template_of_children_with_a_core_each_has_one_core_when_it_imports() -> None:
    async def test() -> None:
        Path("lane_tasks.py").write_text(NOTING + "CORES = os.sched_getaffinity(0)\n")  # noqa: ASYNC240
        async with running(slots=2, preload=True, confine=Confine(spread=True)) as observed:
            assert len(await told(observed, "CORES")) == 1
            assert len(set.union(*(os.sched_getaffinity(pid) for pid in observed.pids))) == min(
                2, len(os.sched_getaffinity(0))
            )

    within_deadline(test())


# ── how the template ends ───────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("at_once")
def test_the_end_of_the_template_costs_no_child_and_the_next_start_brings_a_new_one() -> None:
    async def test() -> None:
        async with running(slots=2, preload=True) as observed:
            # Given a job that runs
            children, template = set(observed.pids), template_of(observed)
            observed.submit(job(1, "await_file('go')"))
            await until(lambda: observed.lane.states()["busy"] == 1)

            # When the template is killed
            os.kill(template, signal.SIGKILL)
            await until(lambda: observed.lane._starts._current is None)

            # Then the children go on
            assert set(observed.pids) == children
            allow()
            assert values(await observed.reported(1)) == {1: 1}

            # And when one of them is lost, its successor comes from a new template
            outcomes = await observed.run(job(2, CRASH))
            assert outcomes[2].kind is OutcomeKind.CHILD_LOST
            await until(lambda: observed.lane.states()["idle"] == 2)
            assert lines("imported") == [template, template_of(observed)]

    within_deadline(test())


def test_a_restart_takes_the_new_code_and_the_old_template_ends() -> None:
    async def test() -> None:
        async with running(slots=2, preload=True) as observed:
            before, template = set(observed.pids), template_of(observed)
            assert await told(observed, "globals().get('VERSION')") is None

            # When the code has changed and the lane is told
            Path("lane_tasks.py").write_text(NOTING + "VERSION = 2\n")  # noqa: ASYNC240
            observed.lane.restart()
            await until(lambda: not before & set(observed.pids) and observed.lane.states()["idle"] == 2)

            # Then the children have it, and of the old ones nothing is left
            for number in (2, 3):
                assert await told(observed, "globals().get('VERSION')", number=number) == 2
            await until(lambda: not alive(template))
            assert lines("imported") == [template, template_of(observed)]

    within_deadline(test())


def test_a_template_that_does_not_end_by_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.lanes.template.END_S", 0.05)

    async def test() -> None:
        Path("lane_tasks.py").write_text(NOTING + "__import__('atexit').register(time.sleep, 60)\n")  # noqa: ASYNC240
        async with running(slots=1, preload=True) as observed:
            template = template_of(observed)
            observed.lane.restart()
            await until(lambda: not alive(template))

    within_deadline(test())


def test_a_module_that_cannot_be_imported_is_reported_with_its_traceback() -> None:
    async def test() -> None:
        Path("lane_tasks.py").write_text("import this_is_not_there\n")  # noqa: ASYNC240
        said = await refused(Observed(spec(2, preload=True)))
        assert "ModuleNotFoundError: No module named 'this_is_not_there'" in said
        assert "import this_is_not_there" in said
        assert "a child of queue q (lane_tasks:q) could not start: mend the error above" in said

    within_deadline(test())


def test_a_module_whose_import_starts_threads_is_refused_with_their_names() -> None:
    async def test() -> None:
        threads = (
            "import threading\nthreading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()\n"
        )
        Path("lane_tasks.py").write_text(NOTING + threads)  # noqa: ASYNC240
        said = await refused(Observed(spec(1, preload=True)))
        assert "importing lane_tasks:q has started threads (poller)" in said
        assert "start them in @queue.startup, or leave preload out" in said

    within_deadline(test())


def test_a_start_up_hook_that_fails_is_the_childs_failure_not_the_templates() -> None:
    async def test() -> None:
        Path("lane_tasks.py").write_text(MODULE + "@q.startup\ndef no(): raise ValueError('not warm')\n")  # noqa: ASYNC240
        assert "ValueError: not warm" in await refused(Observed(spec(1, preload=True)))

    within_deadline(test())


def test_a_template_that_dies_in_its_import_is_the_end_of_the_children_that_wait() -> None:
    async def test() -> None:
        Path("lane_tasks.py").write_text("import os; os.kill(os.getpid(), 11)\n")  # noqa: ASYNC240
        said = await refused(Observed(spec(2, preload=True)))
        assert said == "a child of queue q died before it was ready (SIGSEGV)"

    within_deadline(test())


def test_children_that_are_killed_while_the_template_imports_end_at_once_and_it_with_them() -> None:
    async def test() -> None:
        # Given an import that does not end
        endless = (
            "import os, time\nprint(os.getpid(), file=open('importing', 'w'), flush=True)\nwhile True: time.sleep(1)\n"
        )
        Path("lane_tasks.py").write_text(endless)  # noqa: ASYNC240
        observed = Observed(spec(2, preload=True))
        starting = asyncio.ensure_future(observed.lane.start())
        await until(lambda: os.path.exists("importing") and bool(read("importing")))  # noqa: PTH110

        # When its places give up, as they do after their time
        for place in observed.lane._places:
            place._boots_too_long()

        # Then that is their end, and the template's
        with pytest.raises(WorkerError, match="a child of queue q was not ready within 300 s"):
            await starting
        await until(lambda: not observed.pids)
        await until(lambda: not alive(lines("importing")[0]))
        observed.lane.kill()
        await until(lambda: observed.lane._starts.idle)

    within_deadline(test())


def test_a_system_that_gives_the_child_to_somebody_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a system that lets nobody but init take orphans
    monkeypatch.setattr(adoption, "_take_orphans", lambda _: None)
    if _takes_orphans():
        pytest.skip("this process takes orphans anyway")

    async def test() -> None:
        # Then a child that was forked ends, and the worker is told why
        said = await refused(Observed(spec(1, preload=True)))
        assert said.startswith("a child of queue q was not given to its worker by the system (PR_SET_CHILD_SUBREAPER)")
        assert not Path("warmed").exists()  # noqa: ASYNC240

    within_deadline(test())


def test_a_template_that_stops_in_the_middle_of_a_fork_is_ended_with_the_child_that_is_not_wanted_any_more() -> None:
    async def test() -> None:
        async with running(slots=1, preload=True) as observed:
            # Given a template that stands still, and a child that waits for it
            template = template_of(observed)
            os.kill(template, signal.SIGSTOP)
            assert observed.lane.quarantine(job(1))
            await until(lambda: observed.lane.states()["quarantine"] == 1)

            # When its place gives up
            observed.lane._quarantine.place._boots_too_long()

            # Then the template is gone, and the job is the caller's again
            await until(lambda: bool(observed.unstarted))
            assert [delivery.tag for delivery in observed.unstarted] == [1]
            await until(lambda: not alive(template))
            assert values(await observed.run(job(2))) == {2: 2}

    within_deadline(test())


def test_a_template_that_ends_before_its_child_leaves_the_group_takes_it_along() -> None:
    # Given children that do not come past their fork while a file is there
    waits = (
        "forks = 0\n"
        "def forked():\n"
        "    global forks\n"
        "    forks += 1\n"
        "    if forks == 2 and os.path.exists('closed'):\n"
        "        note('forked')\n"
        "        await_file('never')\n"
        "os.register_at_fork(after_in_child=forked)\n"
    )
    Path("lane_tasks.py").write_text(NOTING + waits)

    async def test() -> None:
        async with running(slots=1, preload=True) as observed:
            template = template_of(observed)
            Path("closed").touch()  # noqa: ASYNC240
            observed.lane.resize(2)
            await until(lambda: os.path.exists("forked") and bool(lines("forked")))  # noqa: PTH110
            assert children() >= {lines("forked")[0]}

            # When the template is killed in the middle of a fork
            Path("closed").unlink()  # noqa: ASYNC240
            os.kill(template, signal.SIGKILL)

            # Then nothing of it is left, zombies included, and another one forks the child
            await until(lambda: observed.lane.states() == {"idle": 2})
            assert template_of(observed) != template
            await until(lambda: not observed.unknown)

    within_deadline(test())


def test_a_template_that_ends_at_any_moment_of_a_fork_leaves_nothing_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervision, "RESTART_DELAYS_S", (0.0,) * 100)

    async def test() -> None:
        async with running(slots=1, preload=True) as observed:
            for moment in range(24):
                observed.lane.resize(2)
                await asyncio.sleep(moment / 2000)  # of the milliseconds that a fork takes
                os.kill(template_of(observed), signal.SIGKILL)
                await until(lambda: observed.lane.states() == {"idle": 2})
                await until(lambda: not observed.unknown)
                observed.lane.resize(1)
                await until(lambda: observed.lane.states() == {"idle": 1})

    within_deadline(test())


# ── how the worker ends ─────────────────────────────────────────────────────────────────────────────


def test_a_lane_that_stops_lets_jobs_end_and_leaves_nothing() -> None:
    async def test() -> None:
        async with running(slots=2, preload=True) as observed:
            pids = [*observed.pids, template_of(observed)]
            observed.submit(job(1, "await_file('go')"))
            await until(lambda: observed.lane.states()["busy"] == 1)
            allow()
            assert await observed.lane.stop(10) == []
            assert values(dict(observed.outcomes)) == {1: 1}
            assert not [pid for pid in pids if alive(pid)]

    within_deadline(test())


def test_nothing_outlives_a_worker_that_is_killed() -> None:
    # Given a worker of its own that has a template and children, one of which runs a job
    worker = (
        "import asyncio\n"
        "from tests.unit.lanes.observed import job, running\n"
        "from tests.unit.waiting import until\n"
        "async def main():\n"
        "    async with running(slots=2, preload=True) as observed:\n"
        "        observed.submit(job(1, 'time.sleep(60)'))\n"
        "        await until(lambda: observed.lane.states()['busy'] == 1)\n"
        "        print(*observed.pids, observed.lane._starts._current.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )

    async def test() -> None:
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            worker,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert started.stdout is not None
        try:
            pids = [int(word) for word in (await started.stdout.readline()).split()]
            assert len(pids) == 3
            assert [alive(pid) for pid in pids] == [True] * 3
        finally:
            # When it is killed
            started.kill()
            await started.wait()

        # Then all of them are gone
        await until(lambda: not [pid for pid in pids if alive(pid)])

    within_deadline(test())


def test_a_child_of_another_interpreter_is_forked_in_it() -> None:
    async def test() -> None:
        async with running(preload=True, python=sys.executable) as observed:
            outcomes = await observed.run(job(1))
            assert outcomes[1].body is not None
            assert [decode_result(outcomes[1].body).value[0]] == observed.pids

    within_deadline(test())
