"""The soft limit of a call: an exception in the task, in time to tidy up or to return what there is."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Awaitable
from typing import Any

from penstock.domain.context import SoftTimeoutError


@functools.cache
def late(seconds: float) -> type[SoftTimeoutError]:
    """What is raised when so many seconds are over: a class, because in a thread nothing else can be."""

    class LateError(SoftTimeoutError):
        def __init__(self) -> None:
            super().__init__(f"the soft limit of {seconds:g} s is over")

    LateError.__name__ = LateError.__qualname__ = SoftTimeoutError.__name__
    LateError.__module__ = SoftTimeoutError.__module__
    return LateError


class SoftLimit:
    """Raises SoftTimeoutError in the main thread after so many seconds, once, while it is entered.

    Args:
        seconds: None: there is no limit.
    """

    _holding = False
    _missed = False

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._armed = False
        self._before: Any = None

    def __enter__(self) -> None:
        if self._seconds is not None:
            self._before = signal.signal(signal.SIGALRM, self._over)
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        if self._seconds is not None:
            # First of all: an alarm that is on its way must not interrupt what follows.
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)

    def hold(self) -> None:
        """Let nothing be raised until `release`."""
        self._holding = True

    def release(self) -> None:
        """Raise what was held back."""
        self._holding = False
        if self._missed:
            self._missed = False
            self._over()

    def _over(self, *_: object) -> None:
        if self._holding:
            self._missed = True
        elif self._armed and self._seconds is not None:
            self._armed = False
            raise late(self._seconds)


async def soft_limited(call: Awaitable[Any], seconds: float | None) -> Any:
    """The answer of a coroutine, which is cancelled after so many seconds.

    Raises:
        SoftTimeoutError: It was, and has ended.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await call
    except TimeoutError:
        if limit.expired() and seconds is not None:
            raise late(seconds) from None
        raise
