"""A template: it imports the queue once and is forked for each child of its lane.

The children share what the import has made, copy on write, and start without importing anything.

The child is to be the worker's own, not the template's: see the parent's side for why. So the template forks a process
between, which forks the child and ends; then Linux gives the child to the worker. The child waits at a gate until
that has happened. A template that dies before it opens the gate takes the child with it, which is still of its process
group. Then the child leaves the group and says on its own line who it is; what becomes of the template is the same to
it from then on.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import threading
import warnings
from typing import Final, NamedTuple

from penstock.domain.confine import Start
from penstock.errors import DeclarationError
from penstock.lanes.frames import Frame, Kind, pack
from penstock.lanes.runner.boot import load
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.credit import Credit
from penstock.lanes.runner.laststack import leave_last_stack
from penstock.lanes.runner.lifeline import die_with_parent

#: What the template says to the child at the gate, and the child to the template.
_GO: Final = b"g"
_BORN: Final = b"b"


class Line(NamedTuple):
    """What ties a process to the worker."""

    socket: socket.socket
    stack_fd: int
    parent_pid: int


class Forked(NamedTuple):
    """What a child that was forked has of its own."""

    line: socket.socket
    start: Start


def run(line: Line, target: str) -> Forked | None:
    """Import the queue and fork until the worker closes: then None. In a child that was forked: what it has.

    Raises:
        DeclarationError: The import has started threads, or the system is not Linux; else as `load`.
    """
    if sys.platform != "linux":
        raise DeclarationError("preload=True needs Linux")
    load(target)
    _must_be_alone(target)
    # What is here stays: a collection in a child need not look at it, which would copy its pages.
    gc.collect()
    gc.freeze()
    channel = Channel(line.socket, Credit())
    channel.send(Kind.READY, 0, [])
    stack_fd: int | None = None
    for frame in channel:
        if frame.kind == Kind.STACK:
            stack_fd = frame.fd
            continue
        if (forked := _forked(channel, frame, stack_fd, line)) is not None:
            return forked
        stack_fd = None
    return None


def _must_be_alone(target: str) -> None:
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        raise DeclarationError(
            f"preload=True: importing {target} has started threads ({', '.join(sorted(others))}), which no forked "
            "child would have; start them in @queue.startup, or leave preload out"
        )


def _forked(channel: Channel, frame: Frame, stack_fd: int | None, line: Line) -> Forked | None:
    """Fork a child and tell the worker. In the child: what it has."""
    if frame.fd is None or stack_fd is None:
        _close(*(fd for fd in (frame.fd, stack_fd) if fd is not None))
        channel.send(Kind.FORKED, 0, ["could not be forked: its template has no file descriptor left"])
        return None
    # What waits to be written would be written by each child again.
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        gate, wait = socket.socketpair()
        with gate, wait:
            between = _fork()
            if between == 0:
                _fork_and_end()
                gate.close()
                return _child(frame, stack_fd, wait, line)
            wait.close()
            why_not = _let_go(gate, between)
    except OSError as error:
        why_not = f"could not be forked: {error.strerror}"
    _close(frame.fd, stack_fd)
    channel.send(Kind.FORKED, 0, [why_not])
    return None


def _fork() -> int:
    with warnings.catch_warnings():
        # Python warns of native threads, such as OpenBLAS has; docs/lanes.md says what is to be known of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _fork_and_end() -> None:
    """In the process between: fork the child and end. In the child: return."""
    try:
        pid = _fork()
    except OSError as error:
        os._exit(error.errno or 1)
    if pid:
        os._exit(0)


def _let_go(gate: socket.socket, between: int) -> str | None:
    """Open the gate once the worker has the child; returns why there is none."""
    _, status = os.waitpid(between, 0)
    with contextlib.suppress(ConnectionError):  # there is no child
        gate.sendall(_GO)
        if gate.recv(1):
            return None
    if errno := os.waitstatus_to_exitcode(status):
        return f"could not be forked: {os.strerror(abs(errno))}"
    return "was not given to its worker by the system (PR_SET_CHILD_SUBREAPER), which preload=True needs"


def _child(frame: Frame, stack_fd: int, gate: socket.socket, line: Line) -> Forked:
    """Become a child of the worker: with a session, a line and a stack of its own, and nothing of the template's."""
    assert frame.fd is not None
    try:
        if gate.recv(1) != _GO:
            os._exit(0)
        die_with_parent(line.parent_pid)
        # Not sooner: the worker reaps what is left of its template's group, and knows of no other one yet.
        os.setsid()
        own = socket.socket(fileno=frame.fd)
        own.sendall(pack(Kind.BORN, 0, [os.getpid()]))
        with contextlib.suppress(ConnectionError):  # the template is gone, which makes no difference any more
            gate.sendall(_BORN)
        leave_last_stack(stack_fd)
        line.socket.close()
        os.close(line.stack_fd)
    except OSError:
        os._exit(1)  # an error here must not be answered in the template's name
    return Forked(own, Start.from_wire(frame.meta))


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)
