"""When and how a worker stops: the first signal drains, the second one is fast."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


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

    def listen(self) -> None:
        """Take the signals of this process."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.request)

    def request(self) -> None:
        """Stop; asked again: stop fast."""
        (self.hurried if self.requested.is_set() else self.requested).set()

    def fail(self, cause: Exception) -> None:
        """Stop because the worker cannot go on; the first cause counts."""
        if self.cause is None:
            self.cause = cause
        self.requested.set()
