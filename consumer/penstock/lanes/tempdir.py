"""Temporary directories of children: the parent makes and removes them, because a child may be killed at any time."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from penstock.wire.registry import Event

_log = logging.getLogger(__name__)


class TempDirs:
    """The directories of one lane's children.

    Args:
        on_removed: Called whenever one is gone, or as much of it as can be removed.
    """

    def __init__(self, on_removed: Callable[[], None]) -> None:
        self._on_removed = on_removed
        #: How many are being removed.
        self.going = 0

    def make(self) -> str:
        """An empty directory that nobody else may read.

        Raises:
            OSError: It cannot be made.
        """
        return tempfile.mkdtemp(prefix="penstock-child-")

    def remove(self, path: str) -> None:
        """Remove a directory with all that is in it.

        That may take long, so a thread does it; nothing else waits for it.
        """
        self.going += 1
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._clear, args=(path, loop), name="penstock-tempdir", daemon=True).start()

    def _clear(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        shutil.rmtree(path, ignore_errors=True)
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
