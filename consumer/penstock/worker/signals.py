"""What the signals of this process mean to a worker.

SIGTERM, SIGINT    drain and stop; the second one is fast
SIGHUP             replace every child in its turn: new code, no job is cut off
SIGUSR1            the stacks of all children, to the log
SIGTTIN, SIGTTOU   a slot more, or one less, for every queue that can have it; until the worker ends
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Final

from penstock.wire.registry import Event
from penstock.worker.served import ServedQueue
from penstock.worker.shutdown import Shutdown

_log = logging.getLogger(__name__)

STOP: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Takes the signals of this process.

    Args:
        queues: The queues of the worker.
        shutdown: Asked to stop it.
    """

    def __init__(self, queues: Sequence[ServedQueue], shutdown: Shutdown) -> None:
        self._queues = queues
        self._shutdown = shutdown
        self._telling: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Take them from now on."""
        handlers: dict[signal.Signals, Callable[[], None]] = {
            **dict.fromkeys(STOP, self._shutdown.request),
            signal.SIGHUP: self._restart,
            signal.SIGUSR1: self._tell,
            signal.SIGTTIN: lambda: self._resize(1, "SIGTTIN"),
            signal.SIGTTOU: lambda: self._resize(-1, "SIGTTOU"),
        }
        loop = asyncio.get_running_loop()
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)

    def _restart(self) -> None:
        _log.info("children are replaced one after the other", extra={"event": Event.WORKER_RESTARTING})
        for queue in self._queues:
            queue.lane.restart()

    def _resize(self, more: int, by: str) -> None:
        for queue in self._queues:
            queue.resize(queue.lane.room + more, by=by)

    def _tell(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._stacks(), name="penstock-stacks")

    async def _stacks(self) -> None:
        for queue in self._queues:
            for pid, stack in (await queue.lane.stacks()).items():
                extra = {"event": Event.CHILD_STACK, "queue": queue.spec.name, "pid": pid, "traceback": stack}
                _log.info("what a child does now", extra=extra)
