"""Confine in real children: what each option takes from them, from what they start, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import Confine
from penstock.domain.outcome import OutcomeKind
from penstock.errors import CatalogError
from tests.unit.lanes.observed import CRASH, Observed, allow, child_says, job, running, spec, told
from tests.unit.waiting import until, within_deadline

pytestmark = pytest.mark.usefixtures("lane_tasks")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="on Linux only")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="as root only")


def refusal(confine: Confine) -> str:
    """Why a lane that is so confined does not start."""

    async def test() -> str:
        observed = Observed(spec(1, confine=confine))
        with pytest.raises(CatalogError) as caught:
            await observed.lane.start()
        observed.lane.kill()
        await until(lambda: not observed.pids)
        return str(caught.value)

    return within_deadline(test())


def limit(name: str) -> str:
    return f"__import__('resource').getrlimit(__import__('resource').{name})"


# ── the processor ───────────────────────────────────────────────────────────────────────────────────


@on_linux
def test_a_child_and_what_it_starts_run_on_the_cores_that_were_named() -> None:
    core = max(os.sched_getaffinity(0))
    program = "[sys.executable, '-c', 'import os; print(os.sched_getaffinity(0))']"
    says = child_says(
        Confine(cores=(core,)), f"[os.sched_getaffinity(0), subprocess.check_output({program}, text=True)]"
    )
    assert says == [{core}, f"{{{core}}}\n"]


@on_linux
def test_cores_that_are_not_there_are_refused_also_beside_others_that_are() -> None:
    said = refusal(Confine(cores=(min(os.sched_getaffinity(0)), 1000)))
    assert said.startswith("Confine: there are no cores [1000] for this worker")
    assert refusal(Confine(cores=(1000,))).startswith("Confine: cores [1000]: Invalid argument")


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="with two cores only")
def test_children_are_spread_over_the_cores_and_a_successor_gets_what_is_free() -> None:
    async def test() -> None:
        async with running(slots=2, confine=Confine(spread=True)) as observed:
            # Given two children, each with a core for itself
            before = {pid: os.sched_getaffinity(pid) for pid in observed.pids}
            assert sorted(map(len, before.values())) == [1, 1]
            assert len(set.union(*before.values())) == 2

            # When one is killed and replaced
            lost = observed.pids[0]
            os.kill(lost, signal.SIGKILL)
            await until(lambda: lost not in observed.pids and observed.lane.states()["idle"] == 2)

            # Then its successor has the core that it had
            (new,) = set(observed.pids) - set(before)
            assert os.sched_getaffinity(new) == before[lost]

    within_deadline(test())


def test_a_child_is_nicer_than_its_worker() -> None:
    assert child_says(Confine(nice=3), "os.nice(0)") == min(19, os.nice(0) + 3)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_child_has_so_many_descriptors_and_cannot_have_more() -> None:
    assert child_says(Confine(open_files=64), limit("RLIMIT_NOFILE")) == (64, 64)


def test_a_crash_leaves_a_core_dump_only_if_it_may() -> None:
    assert child_says(Confine(), limit("RLIMIT_CORE")) == (0, 0)
    assert child_says(Confine(core_dumps=True), limit("RLIMIT_CORE")) == child_says(None, limit("RLIMIT_CORE"))


def test_a_file_that_grows_too_large_is_an_error_of_the_job_and_the_child_lives_on() -> None:
    async def test() -> None:
        async with running(confine=Confine(file_size=10_000)) as observed:
            pids = observed.pids
            # When a job writes more than it may, then that is its error
            write = "__import__('pathlib').Path('large').write_bytes(bytes(10_001))"
            outcomes = await observed.run(job(1, write), job(2))
            failure = outcomes[1].failure
            assert failure is not None
            assert "File too large" in failure.message
            assert outcomes[2].kind is OutcomeKind.SUCCEEDED
            assert (observed.pids, await told(observed, "os.stat('large').st_size", number=3)) == (pids, 10_000)

    within_deadline(test())


def test_a_program_that_writes_too_large_a_file_is_ended() -> None:
    program = "['dd', 'if=/dev/zero', 'of=large', 'bs=1000', 'count=11']"
    status = child_says(Confine(file_size=10_000), f"subprocess.run({program}, stderr=subprocess.DEVNULL).returncode")
    assert status == -signal.SIGXFSZ


def test_more_than_the_worker_itself_may_have_is_refused() -> None:
    if os.getuid() == 0:
        pytest.skip("root may raise its limits")
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY:
        pytest.skip("there is no limit")
    assert f"Confine: RLIMIT_NOFILE of {most + 1}" in refusal(Confine(open_files=most + 1))


@as_root
@on_linux
def test_a_number_of_processes_is_refused_to_root_whom_the_system_does_not_hold_to_it() -> None:
    assert refusal(Confine(processes=100)).startswith("Confine: the system does not hold root, or a process with CAP_")


@on_linux
def test_a_fork_bomb_of_another_user_ends_at_the_number_of_processes() -> None:
    # Given a user who is not root, even where these tests are
    bomb = (
        "import os, resource\n"
        "from penstock.domain.confine import Confine, Start\n"
        "from penstock.lanes.runner.confine import confine\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65533); os.setuid(65533)\n"
        "pids = [pid for pid in os.listdir('/proc') if pid.isdigit()]\n"
        "own = [p for p in pids if os.path.exists(f'/proc/{p}') and os.stat(f'/proc/{p}').st_uid == os.getuid()]\n"
        "threads = sum(len(os.listdir(f'/proc/{p}/task')) for p in own)\n"
        "confine(Start(confine=Confine(processes=threads + 64)))\n"
        "r, w = os.pipe()\n"
        "for count in range(1000):\n"
        "    try:\n"
        "        if os.fork() == 0: os.close(w); os.read(r, 1); os._exit(0)\n"
        "    except BlockingIOError:\n"
        "        break\n"
        "print(count, flush=True)\n"
    )

    # When it starts as many processes as it can
    done = subprocess.run([sys.executable, "-c", bomb], capture_output=True, text=True, timeout=60, check=False)

    # Then it has started some, and no more
    assert done.stderr == ""
    assert 0 < int(done.stdout) <= 64


# ── descriptors ─────────────────────────────────────────────────────────────────────────────────────

#: What the descriptors of a child are, besides the one with which it looks.
_OPEN = (
    "sorted(os.path.basename(os.readlink(f'/proc/self/fd/{n}')).split(':')[0]"
    " for n in os.listdir('/proc/self/fd') if int(n) > 2 and os.path.lexists(f'/proc/self/fd/{n}'))"
)


@on_linux
def test_a_child_has_the_line_the_file_for_its_stack_and_the_one_for_cancelling_and_nothing_else() -> None:
    async def test() -> None:
        # Given a worker with descriptors that a program would inherit
        r, w = os.pipe()
        os.set_inheritable(r, True)
        os.set_inheritable(w, True)
        try:
            async with running(slots=2) as observed:
                # Then no child has them, nor those of another child
                for number in (1, 2):
                    names = await told(observed, _OPEN, number=number)
                    assert [name.split(" ")[0] for name in names] == ["memfd", "memfd", "socket"]
        finally:
            os.close(r)
            os.close(w)

    within_deadline(test())


# ── the temporary directory ─────────────────────────────────────────────────────────────────────────

_TEMPDIR = "[__import__('tempfile').gettempdir(), os.environ['TMPDIR']]"


async def _tempdir(observed: Observed, number: int = 1) -> Path:
    path, variable = await told(observed, _TEMPDIR, number=number)
    assert path == variable
    return Path(path)


def test_a_child_has_a_temporary_directory_which_goes_with_it_whatever_its_end() -> None:
    async def test() -> None:
        async with running(confine=Confine(tempdir=True)) as observed:
            # Given a directory that is the child's own, and files in it that nobody may read
            path = await _tempdir(observed)
            assert path.stat().st_mode & 0o777 == 0o700
            fill = f"os.makedirs('{path}/a/b'); open('{path}/a/b/c', 'w').write('x'); os.chmod('{path}/a/b/c', 0)"
            await observed.run(job(2, fill))

            # When the child crashes
            outcomes = await observed.run(job(3, CRASH))
            assert outcomes[3].kind is OutcomeKind.CHILD_LOST

            # Then the directory is gone, and the next child has another
            await until(lambda: not path.exists())
            await until(lambda: observed.lane.states()["idle"] == 1)
            assert await _tempdir(observed, 4) != path

    within_deadline(test())


def test_a_lane_that_has_stopped_has_left_no_directory() -> None:
    async def test() -> None:
        async with running(slots=2, confine=Confine(tempdir=True)) as observed:
            # Given a directory with many files, in a child that runs a job
            path = await _tempdir(observed)
            await observed.run(job(2, f"[open(f'{path}/{{n}}', 'w').close() for n in range(2000)]"))
            observed.submit(job(3, "await_file('go')"))
            await until(lambda: observed.lane.states()["busy"] == 1)

            # When the lane stops, then it is gone when that is over
            allow()
            await observed.lane.stop(10)
            assert not path.exists()

    within_deadline(test())


def test_a_child_that_cannot_be_started_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        observed = Observed(spec(1, confine=Confine(tempdir=True), python="/no/such/python"))
        with pytest.raises(CatalogError, match="cannot run /no/such/python"):
            await observed.lane.start()
        await until(lambda: not list(tmp_path.glob("penstock-child-*")))

    within_deadline(test())
