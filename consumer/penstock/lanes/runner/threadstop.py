"""How a job that runs in a thread is interrupted: by an exception between two steps of its Python code.

Python can raise one in another thread (PyThreadState_SetAsyncExc of its C API); a call that waits, or computes outside
of Python, ends first. It is raised in the task's own code only, and at most twice in a call: when the soft limit is
over, and after that, if the task goes on, when the job was cancelled. Whatever is interrupted by the latter, on its way
out, too, is not interrupted again. Python looks for it at every jump back, so after one there is none on its way.

A plain lock taken by `with` is let go whatever comes. A Condition is not: it is Python code, which may be interrupted
when it has the lock and `with` does not know of it yet. So our own are taken between `hold` and `release` only, and a
thread that is in such code of the standard library is interrupted when it has left it. A thread that waits for the lock
of a log handler would have it for good otherwise, and all its neighbours would wait for ever.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import sys
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

from penstock.domain.context import Cancelled
from penstock.lanes.runner.alarms import Alarms
from penstock.lanes.runner.softlimit import SoftLimit, late
from penstock.lanes.runner.stop import Flag
from penstock.wire.registry import CANCEL_GRACE_MS

#: Seconds in which a job may see for itself that it is to end. With the other half it ends before its child is killed,
#: which happens where it has no neighbours.
_LOOK_S: Final = CANCEL_GRACE_MS / 2000
_RAISE: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc
#: Seconds between two looks at a thread that is about to take a lock, or to let go of one.
_PACE_S: Final = 0.003


def _codes(owner: Any, *names: str) -> set[CodeType]:
    """The code of functions, as far as this version of Python has them."""
    return {function.__code__ for name in names if (function := getattr(owner, name, None)) is not None}


_IMPORTS: Final = importlib._bootstrap  # noqa: SLF001 -- there is no other way to its locks

#: What takes a lock, or lets go of one, and leaves it taken when an exception comes in between.
_LOCKING: Final = frozenset(
    _codes(threading.Condition, "__enter__", "__exit__")
    | _codes(threading.Semaphore, "acquire", "release", "__exit__")
    | _codes(threading.BoundedSemaphore, "release")
    | _codes(logging.Handler, "acquire", "release")
    | _codes(logging, "_acquireLock", "_releaseLock")
    | _codes(_IMPORTS, "_get_module_lock", "_lock_unlock_module")
    | _codes(getattr(_IMPORTS, "_ModuleLock", None), "acquire", "release")
    | _codes(getattr(_IMPORTS, "_ModuleLockManager", None), "__enter__", "__exit__")
)


#: What was raised in a call: only more can follow.
_NOTHING, _LATE, _CANCELLED = range(3)


class ThreadStop(Flag):
    """Says whether one job of several is to end, and ends it if it does not look.

    Args:
        alarms: Call when it is time.
        wake: Called when the job is to look, should it wait for something of ours.
    """

    __slots__ = ("_alarm", "_alarms", "_due", "_lock", "_open", "_seconds", "_spent", "_thread", "_turn", "_wake")

    def __init__(self, alarms: Alarms, wake: Callable[[], None]) -> None:
        super().__init__()
        self._alarms = alarms
        self._wake = wake
        self._lock = threading.Lock()
        #: The soft limit of the next call, and what will say that it is over.
        self._seconds: float | None = None
        self._alarm: object = None
        #: Number of the call, and whether it is being made.
        self._turn = 0
        self._open = False
        #: In which thread an exception may be raised now; 0: in none.
        self._thread = 0
        #: Which was raised in this call, or is due.
        self._spent = _NOTHING
        #: What is raised at the next `release`.
        self._due: type[BaseException] | None = None

    def ask(self) -> None:
        """The job is to end."""
        self.asked = True
        self._wake()
        self._alarms.set(_LOOK_S, lambda: self._interrupt(Cancelled, self._turn))

    def limit(self, seconds: float | None) -> SoftLimit:
        """See Stop.limit."""
        self._seconds = seconds
        return SoftLimit(None)

    def hold(self) -> None:
        """See Stop.hold."""
        with self._lock:
            self._thread = 0
        _arrive()

    def release(self) -> None:
        """See Stop.release."""
        with self._lock:
            self._thread = threading.get_ident()
            due, self._due = self._due, None
        if due is not None:
            raise due

    @property
    def due(self) -> bool:
        """See Stop.due."""
        return (self.asked and self._spent < _CANCELLED) or self._due is not None

    def look(self) -> None:
        """See Stop.look."""
        if self.asked:
            with self._lock:
                spent, self._spent = self._spent, _CANCELLED
            if spent < _CANCELLED:
                raise Cancelled

    def __enter__(self) -> None:
        if self.asked:
            raise Cancelled
        with self._lock:
            self._turn = turn = self._turn + 1
            self._open, self._spent, self._due = True, _NOTHING, None
        if (seconds := self._seconds) is not None:
            self._alarm = self._alarms.set(seconds, lambda: self._interrupt(late(seconds), turn))
        self.release()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See Stop.close."""
        try:
            self.hold()
        finally:
            try:
                self.hold()
            finally:
                # Nothing can come any more: either both have, or this is held.
                if self._seconds is not None:
                    self._alarms.drop(self._alarm)
                with self._lock:
                    self._open = False

    def _interrupt(self, kind: type[BaseException], turn: int) -> None:
        """Raise an exception in this call, now or when it is possible."""
        with self._lock:
            what = _CANCELLED if kind is Cancelled else _LATE
            if self._spent >= what or not self._open or turn != self._turn:
                return
            if not self._thread:
                self._due = kind
            elif not _raised(self._thread, kind):
                self._alarms.set(_PACE_S, lambda: self._interrupt(kind, turn))
                return
            self._spent = what
        self._wake()


def _raised(thread: int, kind: type[BaseException]) -> bool:
    """Raise an exception in a thread, unless it is about to take a lock or to let go of one; returns whether."""
    number, error = ctypes.c_ulong(thread), ctypes.py_object(kind)
    collects = gc.isenabled()
    # A collection in the middle of the look would have a lock of Python's own for good (CPython 106883).
    gc.disable()
    try:
        # The head of a loop, because after a call Python may let the thread go on, and what was seen of it were not
        # true any more. From here to the call that raises there is no such place.
        for frames in iter(sys._current_frames, None):  # noqa: SLF001 -- it is documented
            if frames[thread].f_code in _LOCKING:
                return False
            _RAISE(number, error)
            return True
        return False
    finally:
        if collects:
            gc.enable()


def _arrive() -> None:
    """Let an exception that is on its way be raised here."""
    for _ in range(2):
        pass
