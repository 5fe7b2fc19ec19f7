"""How a running job learns that it is to end.

In a child with one job the main thread runs it, so the job can be interrupted by a signal: its handler raises
`Cancelled`. A signal carries no number, and the job that it was meant for may have ended before it arrives. So the
parent first writes the job's number into a file that both have, and signals then. The handler reads the file and
raises only in the job of that number, once, and only while the task's own code runs. A signal that comes before that
is remembered by its number and raised when the code begins.

In a child with several jobs a CANCEL frame says the number; the reader of frames sets a flag. What else it does to a
job in a thread is in threadstop.

What must not be cut off while the task's code runs, a frame that is sent or read, is done between `hold` and
`release`; what came meanwhile is raised then.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Protocol

from penstock.domain.context import Cancelled
from penstock.lanes.runner.softlimit import SoftLimit


class Stop(Protocol):
    """Entered around the task's own code; raises Cancelled there if the job is to end."""

    @property
    def asked(self) -> bool:
        """Whether the job is to end."""
        ...

    def hold(self) -> None:
        """Let nothing be raised until `release`."""
        ...

    def release(self) -> None:
        """Raise Cancelled if that was held back."""
        ...

    @property
    def due(self) -> bool:
        """Whether nothing but `look` tells the task that it is to end, and it has not been told."""
        ...

    def look(self) -> None:
        """Raise Cancelled if it is due."""
        ...

    def limit(self, seconds: float | None) -> SoftLimit:
        """The soft limit of the next call, to be entered after this; None: there is none."""
        ...

    def close(self) -> None:
        """Leave it once more: what interrupts a call may come just before it is left."""
        ...

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...


class Flag:
    """Whether one job of several is to end: it has to look."""

    __slots__ = ("_told", "asked")

    def __init__(self) -> None:
        self.asked = False
        self._told = False

    def hold(self) -> None:
        """See Stop.hold."""

    def release(self) -> None:
        """See Stop.release."""

    @property
    def due(self) -> bool:
        """See Stop.due."""
        return self.asked and not self._told

    def look(self) -> None:
        """See Stop.look."""
        if self.due:
            self._told = True
            raise Cancelled

    def limit(self, seconds: float | None) -> SoftLimit:
        """See Stop.limit."""
        return SoftLimit(seconds)

    def close(self) -> None:
        """See Stop.close."""

    def __enter__(self) -> None:
        self.look()

    def __exit__(self, *_: object) -> None:
        pass


class Interrupt:
    """Interrupts the one job that runs in the main thread.

    Args:
        fd: The file with the number of the job that is to end, four bytes; None: there is none.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        #: The job that is to end, as far as a signal has said.
        self.announced: int | None = None
        #: The job whose code runs, and in which the handler may raise.
        self.armed: int | None = None

    def listen(self) -> None:
        """Heed the signal from now on."""
        if self._fd is not None:
            # What user code starts shall not hold the file.
            os.set_inheritable(self._fd, False)
            signal.signal(signal.SIGINT, self._signalled)

    def job(self, number: int) -> Stop:
        """What to enter around the code of the job with this frame number."""
        return _Turn(self, number)

    def _signalled(self, *_: Any) -> None:
        assert self._fd is not None
        self.announced = int.from_bytes(os.pread(self._fd, 4, 0), "big")
        armed = self.armed
        if armed is not None and armed == self.announced:
            # Disarmed first: whatever is interrupted on the way out of the job is not interrupted again.
            self.armed = None
            raise Cancelled


class _Turn:
    __slots__ = ("_held", "_interrupt", "_number")

    def __init__(self, interrupt: Interrupt, number: int) -> None:
        self._interrupt = interrupt
        self._number = number
        self._held = False

    def hold(self) -> None:
        """See Stop.hold."""
        # In this order: a signal between the two is raised before anything is held.
        held = self._interrupt.armed is not None
        self._interrupt.armed = None
        self._held = held

    def release(self) -> None:
        """See Stop.release."""
        if self._held:
            self._held = False
            self.__enter__()

    @property
    def due(self) -> bool:
        """See Stop.due: a signal tells it."""
        return False

    def look(self) -> None:
        """See Stop.look."""

    def limit(self, seconds: float | None) -> SoftLimit:
        """See Stop.limit."""
        return SoftLimit(seconds)

    @property
    def asked(self) -> bool:
        return self._interrupt.announced == self._number

    def __enter__(self) -> None:
        self._interrupt.armed = self._number
        if self._interrupt.announced == self._number:
            self._interrupt.armed = None
            raise Cancelled

    def close(self) -> None:
        """See Stop.close."""
        self._interrupt.armed = None

    def __exit__(self, *_: object) -> None:
        self._interrupt.armed = None
