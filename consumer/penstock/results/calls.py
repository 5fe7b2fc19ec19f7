"""Calls of Redis that are made in the background, a few at once, until they succeed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from penstock.results.patience import Patience
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


class Calls:
    """What a store on Redis has under way.

    Args:
        what: What Redis does not take while it is away, for the log.
        at_once: How many calls are on their way at once; more only compete for the same line.
    """

    def __init__(self, what: str, at_once: int) -> None:
        self._patience = Patience(what)
        self._free = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self.ask = self._patience.ask

    @property
    def trouble(self) -> str | None:
        """Why the last call failed; None: it succeeded."""
        return self._patience.trouble

    @property
    def pending(self) -> int:
        """Calls that have not ended."""
        return len(self._tasks)

    async def close(self) -> None:
        """Drop the calls that have not ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def begin(self, call: Coroutine[Any, Any, _Answer], done: Callable[[_Answer], None], job_id: str) -> None:
        """Make a call as soon as few enough are under way, and pass its answer on."""
        task = asyncio.create_task(self._made(call, done, job_id), name="penstock-redis-call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _made(self, call: Coroutine[Any, Any, _Answer], done: Callable[[_Answer], None], job_id: str) -> None:
        try:
            async with self._free:
                answer = await call
            done(answer)
        except Exception:  # noqa: BLE001 -- settlement and pika may raise anything
            _log.exception(
                "the store's answer could not be acted on; its job will be redelivered",
                extra={"event": Event.JOB_SETTLEMENT_DEFERRED, "job_id": job_id},
            )
        finally:
            call.close()
