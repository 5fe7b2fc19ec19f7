"""Temporary directories of children: the parent makes and removes them, because a child may be killed at any time.

A worker may be killed as well. So it holds a lock on each of its directories, which ends with it whatever its end: a
directory that nobody has locked is nobody's, and the next worker of the same user removes it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

_PREFIX: Final = "penstock-child-"


class TempDirs:
    """The directories of one lane's children.

    Args:
        on_removed: Called whenever one is gone, or as much of it as can be removed.
    """

    def __init__(self, on_removed: Callable[[], None]) -> None:
        self._on_removed = on_removed
        #: How many are being removed.
        self.going = 0
        self._locks: dict[str, int] = {}
        self._swept = False

    def make(self) -> str:
        """An empty directory that nobody else may read.

        Raises:
            OSError: It cannot be made, or not be locked.
        """
        if not self._swept:
            self._swept = _in_thread("penstock-sweep", sweep, tempfile.gettempdir())
        while True:
            path = tempfile.mkdtemp(prefix=_PREFIX)
            lock = _lock(path)
            if lock is not None:
                self._locks[path] = lock
                return path
            # Another worker took it for nobody's before it was locked, and removes it.

    def remove(self, path: str) -> None:
        """Remove a directory with all that is in it.

        That may take long, so a thread does it; nothing else waits for it. Without a thread it is left to the next
        worker, as that of a worker that is killed.
        """
        self.going += 1
        lock = self._locks.pop(path)
        if not _in_thread("penstock-tempdir", self._clear, path, lock, asyncio.get_running_loop()):
            os.close(lock)  # it is nobody's now
            self._cleared(path, left=True)

    def _clear(self, path: str, lock: int, loop: asyncio.AbstractEventLoop) -> None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
        try:
            loop.call_soon_threadsafe(self._cleared, path, Path(path).exists())
        except RuntimeError:
            pass  # the loop is closed: nobody asks any more

    def _cleared(self, path: str, left: bool) -> None:
        self.going -= 1
        if left:
            text = f"{path}, the temporary directory of a child that is gone, cannot be removed whole"
            _log.warning(text, extra={"event": Event.CHILD_LITTER})
        self._on_removed()


def sweep(folder: str) -> None:
    """Remove what workers of this user have left that were killed."""
    for path in Path(folder).glob(f"{_PREFIX}*"):
        try:
            lock = _lock(str(path))
        except OSError:
            continue  # it is somebody else's
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _in_thread(name: str, call: Callable[..., None], *arguments: Any) -> bool:
    """Have a thread call this; False: the system has none left."""
    try:
        threading.Thread(target=call, args=arguments, name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True


def _lock(path: str) -> int | None:
    """The descriptor that holds the lock of a directory; None: another has it, or has removed the directory.

    Raises:
        OSError: It may not be opened or locked.
    """
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock before may have removed it.
        held = Path(path).exists() and os.fstat(lock).st_uid == os.geteuid()
    except BlockingIOError:
        held = False
    except OSError:
        os.close(lock)
        raise
    if held:
        return lock
    os.close(lock)
    return None
