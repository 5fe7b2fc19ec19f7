"""When and how a worker stops: the first signal drains, the second one is fast."""

from __future__ import annotations

import asyncio


class Shutdown:
    """The request to stop, from a signal or from inside.

    Attributes:
        requested: Set by the first signal or by `fail`.
        hurried: Set by the second signal.
        cause: The error for which the worker stops; None: it was asked to.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()
        self.cause: Exception | None = None

    def request(self) -> None:
        """Stop; asked again: stop fast."""
        (self.hurried if self.requested.is_set() else self.requested).set()

    def fail(self, cause: Exception) -> None:
        """Stop because the worker cannot go on; the first cause counts."""
        if self.cause is None:
            self.cause = cause
        self.requested.set()
