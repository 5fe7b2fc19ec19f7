"""Long bodies in Redis, written and read in chunks: neither Redis nor the worker stands still for a long one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import redis.asyncio

from penstock.memory_file import MemoryFile
from penstock.results.calls import Calls
from penstock.wire.blob import Blob

_CHUNK_BYTES: Final = 1024 * 1024
#: How many bodies are on their way at once; more only compete for the same line.
_AT_ONCE: Final = 4


class RedisBlobs(Calls):
    """A BlobStore on Redis: a string per job and SHA-256.

    A body is there when its length is the announced one: chunks are written in their order, so one that is cut off
    is shorter, and writing it again completes it.

    Args:
        client: Redis; closed by whoever made it.
        namespace: Prefix of keys.
    """

    def __init__(self, client: redis.asyncio.Redis, *, namespace: str) -> None:
        super().__init__("long bodies", _AT_ONCE)
        self._client = client
        self._namespace = namespace

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    def fetch(self, job_id: str, blob: Blob, file: MemoryFile, done: Callable[[bool | OSError], None]) -> None:
        """See BlobStore.fetch."""
        self.begin(self._fetched(self.key(job_id, blob), blob.size, file), done, job_id)

    def keep(self, job_id: str, blob: Blob, file: MemoryFile, ttl_ms: int, done: Callable[[], None]) -> None:
        """See BlobStore.keep."""
        self.begin(self.kept(job_id, blob, file, ttl_ms), lambda _: done(), job_id)

    def expire(self, job_id: str, blob: Blob, ttl_ms: int) -> None:
        """See BlobStore.expire."""
        call = partial(self._client.pexpire, self.key(job_id, blob), ttl_ms)
        self.begin(self.ask(call), lambda _: None, job_id)

    # ── inside, and for results ─────────────────────────────────────────────────────────────────

    def key(self, job_id: str, blob: Blob) -> str:
        """Where a blob lies."""
        return blob.key(self._namespace, job_id)

    async def kept(self, job_id: str, blob: Blob, file: MemoryFile, ttl_ms: int) -> None:
        """Write a body."""
        key = self.key(job_id, blob)
        for at in range(0, blob.size, _CHUNK_BYTES):
            await self.ask(partial(self._write, key, at, file, ttl_ms))

    async def _write(self, key: str, at: int, file: MemoryFile, ttl_ms: int) -> None:
        # Together: what is cut off here must not stay for ever.
        async with self._client.pipeline(transaction=True) as both:
            both.setrange(key, at, file.read(_CHUNK_BYTES, at))
            both.pexpire(key, ttl_ms)
            await both.execute()

    async def _fetched(self, key: str, size: int, file: MemoryFile) -> bool | OSError:
        if await self.ask(partial(self._client.strlen, key)) != size:
            return False
        at = 0
        while at < size:
            chunk: Any = await self.ask(partial(self._client.getrange, key, at, at + _CHUNK_BYTES - 1))
            if not chunk:
                return False  # its time was up just now
            try:
                file.write(chunk, at)
            except OSError as error:
                return error
            at += len(chunk)
        return at == size
