"""The parent's end of one child process: its life and its socket. What the frames mean is not its business."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from penstock.domain.confine import Start
from penstock.domain.outcome import Evidence
from penstock.lanes.frames import Frame, Reader, receive, send_with
from penstock.lanes.laststack import StackFile
from penstock.memory_file import MemoryFile

#: A child that is started with nothing.
NO_START: Final = Start()
_READ_BYTES: Final = 256 * 1024
#: In which unit the system counts a process's memory.
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class Child:
    """One child process.

    Args:
        arguments: What follows START on the runner's command line.
        python: The interpreter; None: the parent's own.
        on_frames: Called with the frames of one read, in order.
        on_exit: Called once, after the last frame, with the exit status (negative: the signal that ended it) and all
            that is known of the end. Linux counts what this process had in memory when it started the child as the
            child's, so `peak_rss` is never below that.
        start: What it is started with. Defaults to nothing.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        python: str | None,
        on_frames: Callable[[list[Frame]], None],
        on_exit: Callable[[int, Evidence], None],
        start: Start = NO_START,
    ) -> None:
        self._arguments = arguments
        self._start = start
        self._python = python or sys.executable
        self._on_frames = on_frames
        self._on_exit = on_exit
        self._reader = Reader()
        #: Frames in their order, each group with the file that goes with its first one.
        self._unsent: deque[tuple[MemoryFile | None, list[bytes]]] = deque()
        self._blocked = False
        self._finishing = False
        #: Held while the process is signalled or reaped: what is reaped has lost its id to anybody.
        self._signalling = threading.Lock()

    def start(self) -> None:
        """Spawn the process.

        Raises:
            OSError: The interpreter cannot be run, or there is no descriptor left.
        """
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            self._stack = StackFile()
            undo.callback(self._stack.close)
            self._socket, theirs = socket.socketpair()
            undo.enter_context(self._socket)
            with theirs:
                fds = (theirs.fileno(), self._stack.fileno())
                command = [
                    self._python,
                    "-m",
                    "penstock.lanes.runner",
                    *map(str, (*fds, os.getpid())),
                    json.dumps(self._start.to_wire()),
                    *self._arguments,
                ]
                self._process = subprocess.Popen(  # noqa: S603 -- our own module
                    command, stdin=subprocess.DEVNULL, pass_fds=fds, start_new_session=True
                )
            undo.pop_all()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._on_readable)
        # A thread learns of the end even when a grandchild still holds the socket.
        threading.Thread(target=self._await_exit, name=f"penstock-child-{self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id; also the id of its session and process group."""
        return self._process.pid

    def send(self, frame: bytes, file: MemoryFile | None = None) -> None:
        """Add a frame, and the file whose descriptor goes with it, to those that `flush` sends."""
        if self._unsent and file is None:
            self._unsent[-1][1].append(frame)
        else:
            self._unsent.append((file, [frame]))

    def finish(self) -> None:
        """Let the child end after the frames that it has."""
        self._finishing = True
        self.flush()

    def kill(self) -> None:
        """End the child and what it started, at once."""
        self._signal(os.killpg, signal.SIGKILL)

    def interrupt(self) -> None:
        """Have a child that is ready look which of its jobs is to end."""
        self._signal(os.kill, signal.SIGINT)

    def ask_stack(self) -> None:
        """Have a child that is ready write its stacks down, for what `on_exit` tells if it ends now."""
        self._signal(os.kill, signal.SIGUSR2)

    def stack(self) -> str | None:
        """What it has written down since it was asked; None: nothing yet."""
        return self._stack.read()

    def forget_stack(self) -> None:
        """Drop the stacks that were written down: the child lives on."""
        self._stack.forget()

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        with self._signalling:
            if self._process.returncode is None:
                try:
                    send(self.pid, number)
                except (ProcessLookupError, PermissionError):
                    pass  # it was faster; macOS says of a dead one that we may not

    def flush(self) -> None:
        """Send the frames in as few writes as can be; what the socket does not take follows when it can."""
        if self._blocked or self._socket.fileno() < 0:
            return
        try:
            while self._unsent:
                if not self._sent_whole(*self._unsent.popleft()):
                    self._blocked = True
                    self._loop.add_writer(self._socket, self._on_writable)
                    return
            if self._finishing:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the child is gone; its end is on its way

    def _sent_whole(self, file: MemoryFile | None, frames: list[bytes]) -> bool:
        """Send a group; what is left of it is the next one again."""
        data = b"".join(frames)
        try:
            sent = self._socket.send(data) if file is None else send_with(self._socket, data, file.fileno())
        except BlockingIOError:
            self._unsent.appendleft((file, [data]))
            return False
        if rest := data[sent:]:
            self._unsent.appendleft((None, [rest]))
        return not rest

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self._blocked = False
        self.flush()

    def _on_readable(self) -> bool:
        """Take one read; returns whether there may be more."""
        try:
            data, fds = receive(self._socket, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data, fds = b"", []
        if not data:
            self._loop.remove_reader(self._socket)
            return False
        self._on_frames(self._reader.feed(data, fds))
        return True

    def _await_exit(self) -> None:
        # While the dead child is not reaped, its process group cannot be anybody else's: end what it started.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        with self._signalling:
            _, waited, usage = os.wait4(self.pid, 0)
            self._process.returncode = status = os.waitstatus_to_exitcode(waited)
        evidence = Evidence(exit=describe_exit(status), peak_rss=usage.ru_maxrss * _RSS_UNIT, stack=self._stack.read())
        try:
            self._loop.call_soon_threadsafe(self._exited, status, evidence)
        except RuntimeError:
            self._stack.close()  # the loop is closed: nobody asks any more

    def _exited(self, status: int, evidence: Evidence) -> None:
        while self._on_readable():
            pass  # what it said before it ended
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._stack.close()
        self._on_exit(status, evidence)


def describe_exit(status: int) -> str:
    """An exit status in words: `SIGSEGV`, or `exit status 3`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
