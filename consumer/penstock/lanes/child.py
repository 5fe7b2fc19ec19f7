"""The parent's end of one child process: its life and its socket. What the frames mean is not its business."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

from penstock.lanes.frames import Frame, Reader

_READ_BYTES: Final = 256 * 1024


class Child:
    """One child process.

    Args:
        arguments: What follows FD and PARENT_PID on the runner's command line.
        python: The interpreter; None: the parent's own.
        on_frames: Called with the frames of one read, in order.
        on_exit: Called once, after the last frame, with the exit status (negative: the signal that ended it).
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        python: str | None,
        on_frames: Callable[[list[Frame]], None],
        on_exit: Callable[[int], None],
    ) -> None:
        self._arguments = arguments
        self._python = python or sys.executable
        self._on_frames = on_frames
        self._on_exit = on_exit
        self._reader = Reader()
        self._unsent: list[bytes] = []
        self._blocked = False
        self._finishing = False

    def start(self) -> None:
        """Spawn the process.

        Raises:
            OSError: The interpreter cannot be run.
        """
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair()
        with theirs:
            fd = str(theirs.fileno())
            command = [self._python, "-m", "penstock.lanes.runner", fd, str(os.getpid()), *self._arguments]
            try:
                self._process = subprocess.Popen(  # noqa: S603 -- our own module
                    command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
                )
            except OSError:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._on_readable)
        # A thread learns of the end even when a grandchild still holds the socket.
        threading.Thread(target=self._await_exit, name=f"penstock-child-{self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id; also the id of its session and process group."""
        return self._process.pid

    def send(self, frame: bytes) -> None:
        """Add a frame to those that `flush` sends."""
        self._unsent.append(frame)

    def finish(self) -> None:
        """Let the child end after the frames that it has."""
        self._finishing = True
        self.flush()

    def kill(self) -> None:
        """End the child and what it started, at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was faster

    def flush(self) -> None:
        """Send the frames in one write; what the socket does not take follows when it can."""
        if self._blocked or self._socket.fileno() < 0:
            return
        data = b"".join(self._unsent)
        try:
            sent = self._socket.send(data) if data else 0
            if self._finishing and sent == len(data):
                self._socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the child is gone; its end is on its way
        if rest := data[sent:]:
            self._unsent = [rest]
            self._blocked = True
            self._loop.add_writer(self._socket, self._on_writable)
            return
        self._unsent = []

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self._blocked = False
        self.flush()

    def _on_readable(self) -> bool:
        """Take one read; returns whether there may be more."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            return False
        self._on_frames(self._reader.feed(data))
        return True

    def _await_exit(self) -> None:
        # While the dead child is not reaped, its process group cannot be anybody else's: end what it started.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        status = self._process.wait()
        try:
            self._loop.call_soon_threadsafe(self._exited, status)
        except RuntimeError:
            pass  # the loop is closed: nobody asks any more

    def _exited(self, status: int) -> None:
        while self._on_readable():
            pass  # what it said before it ended
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._on_exit(status)


def describe_exit(status: int) -> str:
    """An exit status in words: `SIGSEGV`, or `exit status 3`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
