"""The parent's end of a template: a child that imports the queue once and is forked for each child of the lane."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.domain.confine import Start
from penstock.domain.outcome import Evidence
from penstock.domain.task import QueueSpec
from penstock.lanes.adoption import ADOPTION
from penstock.lanes.alarm import Alarm
from penstock.lanes.child import END_S, Child
from penstock.lanes.frames import Frame, Kind, pack
from penstock.memory_file import MemoryFile
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Fork:
    """A child that waits to be forked, and what it is to have."""

    child: Child
    start: Start
    line: MemoryFile
    stack: MemoryFile

    def close(self) -> None:
        """Let go of what the child is to have: only then does its line end with it."""
        self.line.close()
        self.stack.close()


class Template:
    """A template, from its start to its end.

    It forks one child after the other. One that has ended before it forked a child is that child's end as well, with
    the same status and words; those that it has forked do not notice.

    Args:
        spec: The queue.
        start: What the template is started with.
        on_end: Called once, when it has ended.
    """

    def __init__(self, spec: QueueSpec, start: Start, on_end: Callable[[Template], None]) -> None:
        self._queue = spec.name
        self._on_end = on_end
        self._waiting: deque[_Fork] = deque()
        self._forking: _Fork | None = None
        self._ready = False
        self._retired = False
        self._killed = False
        self._alarm = Alarm()
        self._said: str | None = None
        self._child = Child(
            ["template", spec.lane.kind, spec.target],
            start=start,
            python=spec.lane.python,
            on_frames=self._heard,
            on_exit=self._ended,
        )

    def launch(self) -> None:
        """Start it.

        Raises:
            OSError: The system cannot.
        """
        self._child.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def fork(self, child: Child, start: Start, line: MemoryFile, stack: MemoryFile) -> None:
        """Fork a child when there is nothing in the way, which says itself that it is born; or tell why it is not.

        Args:
            child: The child.
            start: What is particular to it.
            line: Its end of the line.
            stack: The file for its last stack.
        """
        self._waiting.append(_Fork(child, start, line, stack))
        self._next()

    def withdraw(self, child: Child) -> None:
        """A child that is not born yet is not wanted any more.

        A template that is at work on it, or on its imports, for nobody else, is ended: it might never come to an end.
        """
        for fork in [fork for fork in self._waiting if fork.child is child]:
            self._waiting.remove(fork)
            fork.close()
            child.never_born(None, -9)
        if (self._forking is not None and self._forking.child is child) or not (self._ready or self._waiting):
            self.kill()

    def retire(self) -> None:
        """Let it end when it has forked the children that wait."""
        self._retired = True
        self._next()

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        self._child.kill()

    def _next(self) -> None:
        """Ask for one child at a time: so the template has no descriptors of any other."""
        if not self._ready or self._forking is not None:
            return
        if not self._waiting:
            if self._retired:
                self._child.finish()
                self._alarm.set(END_S, self.kill)  # what the import has left behind may keep it from its end
            return
        self._forking = fork = self._waiting.popleft()
        ADOPTION.begin()
        self._child.send(pack(Kind.STACK, 0, [], with_fd=True), fork.stack)
        self._child.send(pack(Kind.FORK, 0, fork.start.to_wire(), with_fd=True), fork.line)
        self._child.flush()

    def _heard(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.kind == Kind.READY:
                self._became_ready()
            elif frame.kind == Kind.FORKED:
                self._forked(*frame.meta)
            else:
                self._said = frame.meta[0]

    def _became_ready(self) -> None:
        self._ready = True
        fields = {"queue": self._queue, "pid": self.pid}
        _log.info("template ready", extra={"event": Event.TEMPLATE_STARTED, **fields})
        self._next()

    def _forked(self, why_not: str | None) -> None:
        fork = self._done()
        if fork is not None:
            fork.close()
            if why_not is not None:
                fork.child.never_born(why_not, 1)
        self._next()

    def _done(self) -> _Fork | None:
        fork, self._forking = self._forking, None
        if fork is not None:
            ADOPTION.end()
        return fork

    def _ended(self, status: int, evidence: Evidence) -> None:
        self._alarm.cancel()
        unborn = [fork for fork in (self._done(), *self._waiting) if fork is not None]
        self._waiting.clear()
        for fork in unborn:
            fork.close()
            fork.child.never_born(self._said, status)
        fields: dict[str, Any] = {"queue": self._queue, "pid": self.pid, "exit": evidence.exit, "said": self._said}
        level = logging.INFO if self._retired or self._killed else logging.WARNING
        _log.log(level, "template ended", extra={"event": Event.TEMPLATE_EXITED, **fields})
        self._on_end(self)
