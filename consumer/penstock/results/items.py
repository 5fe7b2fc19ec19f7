"""What jobs yield, in Redis: a string per job with all items of its latest start, and one with its newest progress."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from typing import Any, Final

import redis.asyncio

from penstock.results.calls import Calls
from penstock.wire.items import FENCE_BYTES, fence_bytes
from penstock.wire.registry import REDIS_ITEMS_KEY, REDIS_PROGRESS_KEY, REDIS_RESULT_CHANNEL

#: How many calls are on their way at once; those of one job come one after the other.
_AT_ONCE: Final = 16


class RedisItems(Calls):
    """An ItemStore on Redis.

    Args:
        client: Redis; closed by whoever made it.
        namespace: Prefix of keys and channels.
        ttl_ms: Lifetime from the last write on, in milliseconds.
    """

    def __init__(self, client: redis.asyncio.Redis, *, namespace: str, ttl_ms: int) -> None:
        super().__init__("items", _AT_ONCE)
        self._items = REDIS_ITEMS_KEY.replace("{namespace}", namespace)
        self._progress = REDIS_PROGRESS_KEY.replace("{namespace}", namespace)
        self._channel = REDIS_RESULT_CHANNEL.replace("{namespace}", namespace)
        self._ttl_ms = ttl_ms
        self._script = client.register_script(files(__package__).joinpath("append.lua").read_text())

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    def append(
        self, job_id: str, fence: int, at: int, items: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """See ItemStore.append."""
        self._write(self._items, job_id, fence, str(at + FENCE_BYTES), items, reply_to, done)

    def progress(
        self, job_id: str, fence: int, body: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """See ItemStore.progress."""
        self._write(self._progress, job_id, fence, "", body, reply_to, done)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _write(
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
        arguments: list[Any] = [fence_bytes(fence), at, content, self._ttl_ms, channel, job_id]
        call = partial(self._script, [key.replace("{job_id}", job_id)], arguments)
        self.begin(self.ask(call), lambda kept: done(kept == 1), job_id)
