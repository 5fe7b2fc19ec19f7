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
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from penstock.domain.confine import Start
from penstock.domain.outcome import Evidence
from penstock.lanes.frames import Frame, Kind, Reader, receive, send_with
from penstock.lanes.laststack import StackFile
from penstock.lanes.process import Process
from penstock.memory_file import MemoryFile

if TYPE_CHECKING:
    import resource

#: A child that is started with nothing.
NO_START: Final = Start()
_READ_BYTES: Final = 256 * 1024
#: Seconds that a child has to end by itself when it has nothing left to do.
END_S: Final = 2.0
#: Seconds that children have to write down what they do.
_STACK_S: Final = 0.5
#: In which unit the system counts a process's memory.
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class Forks(Protocol):
    """What forks children, instead of starting an interpreter for each."""

    def fork(self, child: Child, start: Start, line: MemoryFile, stack: MemoryFile) -> None:
        """Fork a child when there is nothing in the way, or tell it by `never_born` why not."""
        ...

    def withdraw(self, child: Child) -> None:
        """Not to fork a child that is not born yet, as far as that can be."""
        ...


class Child:
    """One child process.

    Args:
        arguments: What follows START on the runner's command line; a child that is forked has none.
        python: The interpreter; None: the parent's own.
        on_frames: Called with the frames of one read, in order.
        on_exit: Called once, after the last frame, with the exit status (negative: the signal that ended it) and all
            that is known of the end. Linux counts what this process had in memory when it started the child as the
            child's, so `peak_rss` is never below that.
        start: What it is started with. Defaults to nothing.
        template: What forks it. Defaults to None: an interpreter is started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        python: str | None,
        on_frames: Callable[[list[Frame]], None],
        on_exit: Callable[[int, Evidence], None],
        start: Start = NO_START,
        template: Forks | None = None,
    ) -> None:
        self._arguments = arguments
        self._start = start
        self._template = template
        self._python = python or sys.executable
        self._on_frames = on_frames
        self._on_exit = on_exit
        self._reader = Reader()
        #: Frames in their order, each group with the file that goes with its first one.
        self._unsent: deque[tuple[MemoryFile | None, list[bytes]]] = deque()
        self._blocked = False
        self._finishing = False
        #: None: it is not born yet.
        self._process: Process | None = None
        #: Whether it is to be killed when it is born.
        self._doomed = False
        #: Last words and exit status for the case that it is never born.
        self._unborn: tuple[str | None, int] | None = None
        self._heard_all = False

    def start(self) -> None:
        """Spawn the process, or have it forked; what is sent meanwhile waits for it.

        Raises:
            OSError: The interpreter cannot be run, or there is no descriptor or thread left.
        """
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as undo:
            self._stack = StackFile()
            undo.callback(self._stack.close)
            self._socket, theirs = socket.socketpair()
            undo.enter_context(self._socket)
            self._socket.setblocking(False)
            with theirs:
                if self._template is None:
                    self._born(self._spawn(theirs.fileno(), self._stack.fileno()))
                else:
                    files = (MemoryFile(os.dup(theirs.fileno())), MemoryFile(os.dup(self._stack.fileno())))
                    self._template.fork(self, self._start, *files)
            self._loop.add_reader(self._socket, self._on_readable)
            undo.pop_all()

    def _spawn(self, *fds: int) -> int:
        command = [self._python, "-m", "penstock.lanes.runner", *map(str, (*fds, os.getpid()))]
        command += [json.dumps(self._start.to_wire()), *self._arguments]
        # A child inherits what is blocked: before it can answer who asks for its stack, that would be its end.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            popen = subprocess.Popen(  # noqa: S603 -- our own module
                command, stdin=subprocess.DEVNULL, pass_fds=fds, start_new_session=True
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        popen.returncode = 0  # it is reaped elsewhere: nothing is left to do here
        return popen.pid

    def _born(self, pid: int) -> None:
        """The process is there.

        Raises:
            OSError: There is no thread left; the process has been ended.
        """
        self._process = Process(pid, self._on_end)
        if self._doomed:
            self._process.kill()

    def never_born(self, said: str | None, status: int) -> None:
        """Unless the process is there after all: this is its end, with this status and these last words, if any."""
        self._unborn = (said, status)
        self._end_unborn()

    def _end_unborn(self) -> None:
        # Its line tells whether there is a process; who was to fork it tells why there is none, before or after that.
        if self._process is None and self._unborn is not None and self._heard_all:
            (said, status), self._unborn = self._unborn, None
            if said is not None:
                self._loop.call_soon(self._on_frames, [Frame(Kind.FAILED, 0, [said, False], b"")])
            evidence = Evidence(exit=describe_exit(status), peak_rss=None, stack=None)
            self._loop.call_soon(self._exited, status, evidence)

    @property
    def pid(self) -> int:
        """The process id; also the id of its session and process group. 0: it is not born yet."""
        return 0 if self._process is None else self._process.pid

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
        if self._process is not None:
            self._process.kill()
        elif self._template is not None and not self._doomed:
            self._doomed = True
            self._template.withdraw(self)

    def interrupt(self) -> None:
        """Have a child that is ready look which of its jobs is to end."""
        if self._process is not None:
            self._process.send(signal.SIGINT)

    def ask_stack(self) -> None:
        """Have a child write its stacks down, for what `on_exit` tells if it ends now; one that starts does so soon."""
        if self._process is not None:
            self._process.send(signal.SIGUSR2)

    def stack(self) -> str | None:
        """What it has written down since it was asked; None: nothing yet."""
        return self._stack.read()

    def forget_stack(self) -> None:
        """Drop the stacks that were written down: the child lives on."""
        self._stack.forget()

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
            self._heard_all = True
            self._end_unborn()
            return False
        frames = self._reader.feed(data, fds)
        if self._process is None and frames:
            self._forked(*frames.pop(0).meta)
        self._on_frames(frames)
        return True

    def _forked(self, pid: int) -> None:
        """It is born, and says who it is."""
        try:
            self._born(pid)
        except OSError as error:
            self.never_born(f"could not be forked: {error.strerror}", 1)

    def _on_end(self, status: int, usage: resource.struct_rusage) -> None:
        """The process has ended; this is a thread of its own."""
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


async def stacks(children: Sequence[Child]) -> dict[int, str]:
    """What children do now, by process id: their stacks. Those that do not tell are left out."""
    for child in children:
        child.ask_stack()
    await asyncio.sleep(_STACK_S)
    told = {child.pid: stack for child in children if (stack := child.stack()) is not None}
    for child in children:
        child.forget_stack()
    return told


def describe_exit(status: int) -> str:
    """An exit status in words: `SIGSEGV`, or `exit status 3`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
