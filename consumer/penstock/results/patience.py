"""Asking Redis until it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: Wait before the first new try while Redis is away, and the longest one, in seconds.
_BACKOFF_BASE_S: Final = 0.1
_BACKOFF_CAP_S: Final = 1.0

_Answer = TypeVar("_Answer")


class Patience:
    """Makes calls until they succeed, and knows whether the last try did.

    Args:
        what: What Redis does not take while it is away, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        #: Why the last try failed; None: it succeeded.
        self.trouble: str | None = None

    async def ask(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """The answer to a call that may be made any number of times."""
        tries = 0
        while True:
            try:
                answer = await call()
            except Exception as error:  # noqa: BLE001 -- whatever it is, a job waits for the answer
                self._note(error)
                await asyncio.sleep(min(_BACKOFF_CAP_S, _BACKOFF_BASE_S * 2.0**tries))
                tries = min(tries + 1, 10)
            else:
                self._note(None)
                return answer

    def _note(self, error: Exception | None) -> None:
        """Remember how the last try ended, and tell of every change."""
        before, self.trouble = self.trouble, None if error is None else str(error) or type(error).__name__
        if before is not None and error is None:
            _log.info("Redis answers again", extra={"event": Event.REDIS_AVAILABLE})
        elif before is None and error is not None:
            _log.error(
                f"Redis does not take {self._what}; their jobs stay unacknowledged and the call is tried again",
                extra={"event": Event.REDIS_UNAVAILABLE, "reason": self.trouble},
            )
