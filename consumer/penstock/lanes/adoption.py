"""A worker becomes the parent of a child that its template has forked.

The template forks a process that forks the child and ends. Linux gives such an orphan to the closest ancestor that has
said that it takes them (PR_SET_CHILD_SUBREAPER). So the child is the worker's own: the worker learns its end from the
system, and the child dies with the worker, not with the template.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37


class Adoption:
    """Whether this process takes orphans: only while a template forks.

    At any other time an orphan is what a job has left behind, and goes to init as ever. One that comes in these
    milliseconds is ended and reaped with the process group that it is of (lanes/process.py); one that has left its
    group stays a zombie, once it has ended, until the worker ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forks = 0
        #: Whether the process took orphans before, for a reason of its own.
        self._always = False

    def begin(self) -> None:
        """A template forks from now on."""
        with self._lock:
            if self._forks == 0:
                self._always = _takes_orphans()
                _take_orphans(True)
            self._forks += 1

    def end(self) -> None:
        """It has forked, or is gone."""
        with self._lock:
            self._forks -= 1
            if self._forks == 0 and not self._always:
                _take_orphans(False)


#: The only one, because what it switches belongs to the process, whichever lanes and loops there are in it.
ADOPTION: Final = Adoption()


def _takes_orphans() -> bool:
    if sys.platform != "linux":
        return False
    flag = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0)
    return bool(flag.value)


def _take_orphans(take: bool) -> None:
    """Where the system refuses, the child finds that it has another parent, and says so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(take), 0, 0, 0)
