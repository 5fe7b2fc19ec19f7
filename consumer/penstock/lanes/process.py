"""A child process as the system knows it: signalled as long as its id is its own, and reaped when it has ended."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import resource

#: Exit status (negative: the signal) and what the process has used.
OnEnd: TypeAlias = "Callable[[int, resource.struct_rusage], None]"


class Process:
    """A process whose parent this one is, and which leads a session.

    Args:
        pid: Its id, also that of its session and process group.
        on_end: Called in a thread, once, when it has ended and what it started has been killed.

    Raises:
        OSError: The system has no thread left for that; the process has been ended.
    """

    def __init__(self, pid: int, on_end: OnEnd) -> None:
        self.pid = pid
        self._on_end = on_end
        #: Held while the process is signalled or reaped: what is reaped has lost its id to anybody.
        self._signalling = threading.Lock()
        self._reaped = False
        # A thread learns of the end even when something that the process started still holds its socket.
        thread = threading.Thread(target=self._await_end, name=f"penstock-child-{pid}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self.kill()
            os.waitpid(pid, 0)  # it has hardly begun: nothing of it keeps us waiting
            raise OSError(errno.EAGAIN, "no thread is left to await the end of a child") from None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; to one that is gone it makes no difference."""
        self._signal(os.kill, number)

    def kill(self) -> None:
        """End the process and what is in its process group, at once."""
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        with self._signalling:
            if not self._reaped:
                try:
                    send(self.pid, number)
                except (ProcessLookupError, PermissionError):
                    pass  # it was faster; macOS says of a dead one that we may not

    def _await_end(self) -> None:
        # While the dead child is not reaped, its process group cannot be anybody else's: end what it started.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        with self._signalling:
            _, waited, usage = os.wait4(self.pid, 0)
            self._reaped = True
        self._on_end(os.waitstatus_to_exitcode(waited), usage)
        # Orphans of its group that this process was given (lanes/adoption.py): nobody else would reap them.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-self.pid, 0)
