"""Temporary directories: what belongs to a worker that lives, and what is nobody's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from penstock.lanes import tempdir
from penstock.lanes.tempdir import TempDirs, sweep
from tests.unit.waiting import until, within_deadline


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_worker_has_left_is_removed_by_the_next_and_what_lives_is_not(folder: Path) -> None:
    # Given a worker with a directory
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from penstock.lanes.tempdir import TempDirs\n"
        "dirs = TempDirs(lambda: None); print(dirs.make(), flush=True); sys.stdin.read()\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with worker:
        assert worker.stdout is not None
        theirs = Path(worker.stdout.readline().strip())
        (theirs / "deep").mkdir()

        # When another looks for what is nobody's, then it is left alone
        sweep(str(folder))
        assert theirs.exists()

        # When the worker is killed, then it is removed
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    sweep(str(folder))
    assert not theirs.exists()


def test_only_directories_of_this_name_are_removed(folder: Path) -> None:
    # Given what looks alike
    (folder / "penstock").mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "penstock-child-link").symlink_to(folder / "elsewhere")
    (folder / "penstock-child-file").touch()

    # Then nothing of it is touched
    before = sorted(folder.iterdir())
    sweep(str(folder))
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(os.getuid() != 0, reason="as root only")
def test_a_directory_of_another_user_is_left_to_them(folder: Path) -> None:
    (folder / "penstock-child-other").mkdir()
    os.chown(folder / "penstock-child-other", 65533, 65533)
    sweep(str(folder))
    assert (folder / "penstock-child-other").exists()


def test_a_directory_that_another_worker_removes_before_it_is_locked_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given another worker that is faster, once
    lock = tempdir._lock
    taken: list[str] = []

    def too_late(path: str) -> int | None:
        if not taken:
            taken.append(path)
            shutil.rmtree(path, ignore_errors=True)  # the sweep of these directories may be at it as well
        return lock(path)

    monkeypatch.setattr(tempdir, "_lock", too_late)

    async def test() -> None:
        # When a directory is made, then it is another
        dirs = TempDirs(lambda: None)
        made = dirs.make()
        assert [made] != taken
        assert os.listdir(made) == []  # noqa: PTH208

        # And it can be removed
        dirs.remove(made)
        await until(lambda: dirs.going == 0)
        assert not os.path.exists(made)  # noqa: ASYNC240, PTH110

    within_deadline(test())


def test_without_a_thread_a_directory_is_left_to_the_next_worker(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    removed: list[int] = []

    async def test() -> None:
        # When the system has no thread left, neither to look for what is nobody's nor to remove anything
        dirs = TempDirs(lambda: removed.append(1))
        with monkeypatch.context() as poor:
            poor.setattr(threading.Thread, "start", refuse)
            made = dirs.make()
            dirs.remove(made)

        # Then nobody waits for that, and it is said
        assert (dirs.going, removed) == (0, [1])
        assert "cannot be removed whole" in caplog.text

        # And whoever looks next, this worker included, removes it
        dirs.make()
        await until(lambda: not os.path.exists(made))  # noqa: PTH110

    within_deadline(test())


def test_what_cannot_be_removed_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    removed: list[int] = []

    async def test() -> None:
        dirs = TempDirs(lambda: removed.append(1))
        made = dirs.make()
        dirs.remove(made)
        await until(lambda: bool(removed))
        assert f"{made}, the temporary directory of a child that is gone, cannot be removed whole" in caplog.text

    within_deadline(test())
