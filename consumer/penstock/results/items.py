"""What jobs yield, in Redis: a string per job with all items of its latest start, and one with its newest progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import Any, Final

import redis.asyncio

from penstock.results.patience import Patience
from penstock.wire.items import FENCE_BYTES, fence_bytes
from penstock.wire.registry import REDIS_ITEMS_KEY, REDIS_PROGRESS_KEY, REDIS_RESULT_CHANNEL, Event

_log = logging.getLogger(__name__)

#: How many calls are on their way at once; those of one job come one after the other.
_AT_ONCE: Final = 16


class RedisItems:
    """An ItemStore on Redis.

    Args:
        client: Redis; closed by whoever made it.
        namespace: Prefix of keys and channels.
        ttl_ms: Lifetime from the last write on, in milliseconds.
    """

    def __init__(self, client: redis.asyncio.Redis, *, namespace: str, ttl_ms: int) -> None:
        self._items = REDIS_ITEMS_KEY.replace("{namespace}", namespace)
        self._progress = REDIS_PROGRESS_KEY.replace("{namespace}", namespace)
        self._channel = REDIS_RESULT_CHANNEL.replace("{namespace}", namespace)
        self._ttl_ms = ttl_ms
        self._script = client.register_script(files(__package__).joinpath("append.lua").read_text())
        self._patience = Patience("items")
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

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

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    def append(
        self, job_id: str, fence: int, at: int, items: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """See ItemStore.append."""
        self._begin(self._items, job_id, fence, str(at + FENCE_BYTES), items, reply_to, done)

    def progress(
        self, job_id: str, fence: int, body: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """See ItemStore.progress."""
        self._begin(self._progress, job_id, fence, "", body, reply_to, done)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _begin(
        self,
        key: str,
        job_id: str,
        fence: int,
        at: str,
        content: bytes,
        reply_to: str | None,
        done: Callable[[bool], None],
    ) -> None:
        channel = self._channel.replace("{reply_to}", reply_to) if reply_to else ""
        arguments = [fence_bytes(fence), at, content, self._ttl_ms, channel, job_id]
        call = self._made(key.replace("{job_id}", job_id), arguments, done)
        task = asyncio.create_task(call, name="penstock-items")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _made(self, key: str, arguments: list[Any], done: Callable[[bool], None]) -> None:
        async with self._free:
            kept: int = await self._patience.ask(partial(self._script, [key], arguments))
        try:
            done(kept == 1)
        except Exception:  # noqa: BLE001 -- settlement and pika may raise anything
            _log.exception(
                "the store's answer could not be acted on; its job will be redelivered",
                extra={"event": Event.JOB_SETTLEMENT_DEFERRED, "job_id": arguments[-1]},
            )
