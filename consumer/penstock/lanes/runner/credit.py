"""How many items the jobs of a child may send, and waiting until it is more.

The parent says an absolute number, so that what comes twice or late does no harm. Who reads the line hands it on: in a
child with one job at a time that is the job itself while it waits.
"""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from penstock.lanes.runner.stop import Stop
from penstock.wire.registry import STREAM_WINDOW

if TYPE_CHECKING:
    from penstock.lanes.runner.channel import Channel

_GONE: Final = "the worker is gone"


class Credit:
    """Knows jobs by their frame numbers. Nobody waits for this one: of jobs that nobody gave a line."""

    def __init__(self) -> None:
        #: Below which number items may be sent; None: all may.
        self._upto: dict[int, int | None] = {}
        self._over = False

    def open(self, number: int) -> None:
        """A job begins to yield."""
        self._upto[number] = STREAM_WINDOW

    def close(self, number: int) -> None:
        """It has ended; what is granted to it from now on is for nobody."""
        del self._upto[number]

    def grant(self, number: int, upto: int | None) -> None:
        """The parent lets a job send more."""
        granted = self._upto.get(number)
        if granted is not None:
            self._upto[number] = None if upto is None else max(granted, upto)

    def end(self) -> None:
        """The parent says no more."""
        self._over = True

    def allows(self, number: int, seq: int) -> bool:
        """Whether a job may send this item now.

        Raises:
            BrokenPipeError: Nor will it ever.
        """
        granted = self._upto[number]
        if granted is None or seq < granted:
            return True
        if self._over:
            raise BrokenPipeError(_GONE)
        return False

    def wait(self, number: int, seq: int, stop: Stop, unbroken: Callable[[Callable[[], Any]], None]) -> None:
        """Return when the job may send the item, or is to end.

        Args:
            number: The job.
            seq: The item.
            stop: Says whether the job is to end.
            unbroken: Does something that nothing may cut off.

        Raises:
            BrokenPipeError: The parent is gone.
        """
        raise NotImplementedError

    async def wait_coroutine(self, number: int, seq: int) -> None:
        """As `wait`, while other tasks run; a task that is to end is cancelled."""
        raise NotImplementedError


class OwnCredit(Credit):
    """Of a child with one job at a time: while it waits, nobody else reads.

    The waiting can be interrupted, the reading cannot: bytes would be lost.
    """

    #: Set once there is one: the channel knows the credit, too.
    channel: Channel

    def wait(self, number: int, seq: int, stop: Stop, unbroken: Callable[[Callable[[], Any]], None]) -> None:  # noqa: ARG002 -- a signal tells of the stop
        """See Credit.wait."""
        readable = select.poll()
        readable.register(self.channel, select.POLLIN)
        while not self.allows(number, seq):
            readable.poll()
            unbroken(self.channel.take)


class ThreadCredit(Credit):
    """Of a child whose jobs are threads: another one reads."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def close(self, number: int) -> None:
        """See Credit.close."""
        with self._changed:  # not between the look and the write of a grant, which would stay
            super().close(number)

    def grant(self, number: int, upto: int | None) -> None:
        """See Credit.grant."""
        with self._changed:
            super().grant(number, upto)
            self._changed.notify_all()

    def end(self) -> None:
        """See Credit.end."""
        with self._changed:
            super().end()
            self._changed.notify_all()

    def look(self) -> None:
        """Let every job that waits look whether it is to end."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, number: int, seq: int, stop: Stop, unbroken: Callable[[Callable[[], Any]], None]) -> None:
        """See Credit.wait."""
        unbroken(lambda: self._wait(number, seq, stop))

    def _wait(self, number: int, seq: int, stop: Stop) -> None:
        with self._changed:
            self._changed.wait_for(lambda: stop.due or self.allows(number, seq))


class LoopCredit(Credit):
    """Of a child whose jobs are tasks of an event loop, in which the line is read, too."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: dict[int, asyncio.Event] = {}

    def grant(self, number: int, upto: int | None) -> None:
        """See Credit.grant."""
        super().grant(number, upto)
        if (changed := self._changed.get(number)) is not None:
            changed.set()

    def end(self) -> None:
        """See Credit.end."""
        super().end()
        for changed in self._changed.values():
            changed.set()

    async def wait_coroutine(self, number: int, seq: int) -> None:
        """See Credit.wait_coroutine."""
        changed = self._changed[number] = asyncio.Event()
        try:
            while not self.allows(number, seq):
                changed.clear()
                await changed.wait()
        finally:
            del self._changed[number]
