"""Asking real children: describe, and what a child says or does not say before it ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from penstock.domain.lane import Processes
from penstock.domain.outcome import Evidence
from penstock.domain.retry import Retry
from penstock.errors import CatalogError
from penstock.lanes import catalog
from penstock.lanes.catalog import describe
from penstock.lanes.child import Child, describe_exit
from penstock.lanes.frames import Frame, Kind, pack
from penstock.wire.result import decode_result
from tests.unit.builders import JOB_ID, job_body
from tests.unit.waiting import alive, until, within_deadline

TASKS = """
from penstock import Processes, Queue, Retry

stats = Queue("stats", lane=Processes(3))
images = Queue("images", lane=Processes(1))

@stats.task(timeout=1.5, retry=Retry(attempts=4, on=(KeyError,)), version=2)
def norm(x): ...

stats.expose("math:sqrt")
images.expose("os.path:join")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which children import."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failure(target: str) -> str:
    """What describe says of a target that fails."""
    with pytest.raises(CatalogError) as error:
        within_deadline(describe([target], "contracts/tasks"))
    return str(error.value)


# ── describe ────────────────────────────────────────────────────────────────────────────────────────


def test_a_child_describes_queues_that_the_parent_never_imports(here: Path) -> None:
    # Given a module with two queues
    (here / "described_tasks.py").write_text(TASKS)

    # When the parent asks for both
    stats, images = within_deadline(describe(["described_tasks:stats", "described_tasks:images"], "contracts/tasks"))

    # Then it knows everything but the code
    assert (stats.name, stats.target, stats.lane) == ("stats", "described_tasks:stats", Processes(3))
    assert list(stats.tasks) == ["stats.norm", "stats.sqrt"]
    norm = stats.tasks["stats.norm"][2]
    assert (norm.version, norm.timeout_s, norm.retry) == (2, 1.5, Retry(attempts=4))
    assert (images.name, list(images.tasks)) == ("images", ["images.join"])
    assert "described_tasks" not in sys.modules


def test_an_import_error_is_shown_with_the_users_lines_and_what_to_do(here: Path) -> None:
    # Given a module that fails in its third line
    (here / "failing_tasks.py").write_text("import os\n\nraise RuntimeError('no model file')\n")

    # When it is described
    text = failure("failing_tasks:stats")

    # Then the user sees where, why and what to do
    assert 'failing_tasks.py", line 3, in <module>' in text
    assert "raise RuntimeError('no model file')" in text
    assert "RuntimeError: no model file" in text
    assert "cannot import failing_tasks:stats: mend the error above" in text
    assert "penstock/lanes/runner" not in text


def test_a_module_that_is_missing_is_named_in_one_line(here: Path) -> None:
    assert failure("no_such_tasks:stats").startswith("ModuleNotFoundError: No module named 'no_such_tasks'\n")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
        ("import os; os._exit(7)", "ended the interpreter (exit status 7)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended the interpreter (SIGSEGV)"),
        ("raise KeyboardInterrupt", "ended the interpreter"),
        ("stats = 4", "is int, not a penstock.Queue"),
        ("from penstock import Queue; stats = Queue('stats')", "has no task"),
        ("x = 1", "has no attribute 'stats'"),
    ],
)
def test_however_an_import_ends_it_is_a_sentence_for_the_user(here: Path, source: str, words: str) -> None:
    (here / "ending_tasks.py").write_text(source + "\n")
    assert words in failure("ending_tasks:stats")


def test_two_queues_of_one_name_are_refused(here: Path) -> None:
    (here / "double_tasks.py").write_text(
        "from penstock import Queue\na, b = Queue('q'), Queue('q')\na.expose('math:sqrt')\nb.expose('math:sqrt')\n"
    )
    with pytest.raises(CatalogError, match="two of the queues have one name: q, q"):
        within_deadline(describe(["double_tasks:a", "double_tasks:b"], "contracts/tasks"))


def test_an_import_that_takes_too_long_is_ended(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a module that never comes to an end, and little patience
    (here / "endless_tasks.py").write_text(
        "import os, time\nopen('pid', 'w').write(str(os.getpid()))\n"
        "os.rename('pid', 'pid.txt')\nwhile True: time.sleep(60)\n"
    )
    monkeypatch.setattr(catalog, "DESCRIBE_TIMEOUT_S", 0.7)

    # When it is described, then that is an error
    assert "importing endless_tasks:stats took longer than 0.7 s" in failure("endless_tasks:stats")

    # And nothing of it is left
    if (here / "pid.txt").exists():
        assert not alive(int((here / "pid.txt").read_text()))


def test_what_user_code_prints_does_not_disturb_the_protocol(here: Path) -> None:
    (here / "printing_tasks.py").write_text("print('hello'); import sys; sys.stdout.flush()\n" + TASKS)
    (spec,) = within_deadline(describe(["printing_tasks:stats"], "contracts/tasks"))
    assert spec.name == "stats"


# ── the child itself ────────────────────────────────────────────────────────────────────────────────


class Family:
    """A child, and what it said until its end."""

    def __init__(self, *arguments: str, python: str | None = None) -> None:
        self.frames: list[Frame] = []
        self.statuses: list[int] = []
        self.evidence: list[Evidence] = []
        self.child = Child(arguments, python=python, on_frames=self.frames.extend, on_exit=self._ended)

    def _ended(self, status: int, evidence: Evidence) -> None:
        self.statuses.append(status)
        self.evidence.append(evidence)

    async def ended(self) -> int:
        await until(lambda: bool(self.statuses))
        return self.statuses[0]

    async def said(self, count: int) -> list[Frame]:
        await until(lambda: len(self.frames) >= count)
        return self.frames


#: What AMQP said of every job here.
JOB = ["q.step", JOB_ID, 1, None, None, 10_000, 0]


def boot(target: str) -> bytes:
    return pack(Kind.BOOT, 0, [target, "worker-1", 1024 * 1024, "contracts/tasks", 4 * 1024 * 1024, 1])


def job(action: str) -> bytes:
    return job_body(task="q.step", args={"action": action})


RUNNABLE = """
import os, signal, subprocess, sys, time
from penstock import Queue
q = Queue("q")

@q.task
def step(action=""):
    if action == "spawn":
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid
    exec(action)
"""


def test_a_child_says_that_it_is_ready_and_ends_when_its_parent_closes(here: Path) -> None:
    # Given a module
    (here / "runnable.py").write_text(RUNNABLE)

    async def test() -> None:
        # When a child boots and is then told to finish
        family = Family("processes")
        family.child.start()
        family.child.send(boot("runnable:q"))
        family.child.flush()
        await family.said(1)
        family.child.finish()

        # Then it ends by itself, told once
        assert await family.ended() == 0
        assert [frame.kind for frame in family.frames] == [Kind.READY]
        assert family.statuses == [0]
        assert not alive(family.child.pid)

    within_deadline(test())


def test_a_child_that_fails_to_boot_says_why_before_it_ends(here: Path) -> None:
    # Given a module whose start-up hook fails
    (here / "hooked.py").write_text(
        "from penstock import Queue\nq = Queue('q')\nq.expose('math:sqrt')\n"
        "@q.startup\ndef load_model(): raise FileNotFoundError('model.bin')\n"
    )

    async def test() -> None:
        # When a child boots
        family = Family("processes")
        family.child.start()
        family.child.send(boot("hooked:q"))
        family.child.flush()

        # Then its last word is the user's error, and its status says what kind of failure it is
        assert await family.ended() == 75
        (frame,) = family.frames
        assert frame.kind == Kind.FAILED
        assert "in load_model" in frame.meta[0]
        assert frame.meta[0].endswith("FileNotFoundError: model.bin")

    within_deadline(test())


def test_a_child_that_is_killed_is_reported_by_its_signal(here: Path) -> None:
    (here / "runnable.py").write_text(RUNNABLE)

    async def test() -> None:
        family = Family("processes")
        family.child.start()
        family.child.send(boot("runnable:q"))
        family.child.flush()
        await family.said(1)
        family.child.kill()
        family.child.kill()
        assert await family.ended() == -signal.SIGKILL
        family.child.kill()  # nobody is there any more

    within_deadline(test())


def test_killing_a_child_ends_what_it_started(here: Path) -> None:
    # Given a child whose job started a process of its own
    (here / "runnable.py").write_text(RUNNABLE)

    async def test() -> None:
        family = Family("processes")
        family.child.start()
        family.child.send(boot("runnable:q"))
        family.child.flush()
        family.child.send(pack(Kind.JOB, 1, JOB, job("spawn")))
        family.child.flush()
        outcome = (await family.said(2))[1]
        grandchild = decode_result(outcome.body).value
        assert alive(grandchild)

        # When the child is killed
        family.child.kill()
        await family.ended()

        # Then its process is gone, too
        await until(lambda: not alive(grandchild))

    within_deadline(test())


def test_the_end_of_a_child_is_seen_though_its_own_child_lives_on(here: Path) -> None:
    # Given a child whose job forks, so that its child holds the socket, too
    (here / "runnable.py").write_text(RUNNABLE)

    async def test() -> None:
        family = Family("processes")
        family.child.start()
        family.child.send(boot("runnable:q"))
        family.child.flush()

        # When it then dies
        fork = "if os.fork() == 0: time.sleep(60)\nos._exit(9)"
        family.child.send(pack(Kind.JOB, 1, JOB, job(fork)))
        family.child.flush()

        # Then that is told at once
        assert await family.ended() == 9
        family.child.kill()

    within_deadline(test())


def test_a_child_that_dies_leaves_nothing_behind_that_it_started(here: Path) -> None:
    """A crash of the library must not leave its ffmpeg running for ever."""
    # Given a child whose job started a process of its own
    (here / "runnable.py").write_text(RUNNABLE)

    async def test() -> None:
        family = Family("processes")
        family.child.start()
        family.child.send(boot("runnable:q"))
        family.child.flush()
        family.child.send(pack(Kind.JOB, 1, JOB, job("spawn")))
        family.child.flush()

        # When the child crashes
        family.child.send(pack(Kind.JOB, 2, JOB, job("os.kill(os.getpid(), signal.SIGKILL)")))
        family.child.flush()
        assert await family.ended() == -signal.SIGKILL
        grandchild = decode_result(family.frames[1].body).value

        # Then that process is gone, too
        await until(lambda: not alive(grandchild))

    within_deadline(test())


def test_a_job_larger_than_any_buffer_of_the_kernel_goes_through(here: Path) -> None:
    # Given a task that tells how much it got
    (here / "counting.py").write_text(
        "from penstock import Queue\nq = Queue('q')\n@q.task\ndef step(data): return [len(data), data[-3:]]\n"
    )

    async def test() -> None:
        family = Family("processes")
        family.child.start()
        big = 900_000

        # When several large jobs are sent in one turn of the loop
        family.child.send(boot("counting:q"))
        family.child.flush()
        for number in range(8):
            body = job_body(task="q.step", args={"data": bytes(big) + b"end"})
            family.child.send(pack(Kind.JOB, number, JOB, body))
            family.child.flush()
        family.child.finish()

        # Then all are answered before the child ends
        assert await family.ended() == 0
        outcomes = [frame for frame in family.frames if frame.kind == Kind.OUTCOME]
        assert [frame.number for frame in outcomes] == list(range(8))
        assert {tuple(decode_result(frame.body).value) for frame in outcomes} == {(big + 3, b"end")}

    within_deadline(test())


def test_an_interpreter_that_is_not_there_is_an_error_at_once(here: Path) -> None:
    async def test() -> None:
        family = Family("run", python="/no/such/python")
        with pytest.raises(FileNotFoundError):
            family.child.start()

    within_deadline(test())


def test_a_child_does_not_outlive_its_parent(here: Path) -> None:
    # Given a parent of its own that starts a child, says who it is, and waits
    (here / "runnable.py").write_text(RUNNABLE)
    (here / "parent.py").write_text(
        "import asyncio\n"
        "from penstock.lanes.child import Child\n"
        "from penstock.lanes.frames import Kind, pack\n"
        "async def main():\n"
        "    ready = asyncio.Event()\n"
        "    child = Child(['run'], python=None, on_frames=lambda _: ready.set(), on_exit=print)\n"
        "    child.start()\n"
        "    child.send(pack(Kind.BOOT, 0, ['runnable:q', 'w', 4096, 'contracts/tasks', 4096, 1]))\n"
        "    child.flush()\n"
        "    await ready.wait()\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )

    async def test() -> None:
        parent = await asyncio.create_subprocess_exec(sys.executable, "parent.py", stdout=asyncio.subprocess.PIPE)
        assert parent.stdout is not None
        try:
            child = int(await parent.stdout.readline())
            assert alive(child)
        finally:
            # When the parent is killed
            parent.kill()
            await parent.wait()

        # Then the child is gone as well
        await until(lambda: not alive(child))

    within_deadline(test())


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (78, "exit status 78"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-60, "signal 60")],
)
def test_an_exit_status_is_told_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words
