"""The two stores that play the conformance suite, and what became of the calls to them."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import redis

from ops.dev.private import Redis
from penstock.memory_file import MemoryFile
from penstock.results.ports import ResultStore
from penstock.results.redis import RedisResults
from penstock.testing import MemoryStore
from penstock.wire.blob import Blob
from tests.unit.waiting import until


class Store(ResultStore, Protocol):
    """A store with what commands need of one."""

    async def get(self, job_id: str) -> bytes | None: ...

    async def forget(self, job_id: str) -> bool: ...


class StoreRig(ABC):
    """A store to be, and the other side of it."""

    @abstractmethod
    def make(self) -> Store:
        """Make a store that is not open yet; all of one rig meet."""

    @abstractmethod
    def told(self) -> list[tuple[str, str]]:
        """Whom it told of a result: reply_to and job, in order."""

    @abstractmethod
    def lives_ms(self, job_id: str, blob: Blob) -> int:
        """For how many milliseconds a blob is kept from now on; at most 0: there is none."""

    @abstractmethod
    def items(self, job_id: str) -> tuple[bytes | None, bytes | None]:
        """What lies there of a job's items, and of its progress; None: nothing."""

    @abstractmethod
    def lose(self) -> None:
        """Let the store be away."""

    @abstractmethod
    def restore(self) -> None:
        """Let it be back, with all that it had."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is on the other side."""


class MemoryStoreRig(StoreRig):
    def __init__(self) -> None:
        self._store = MemoryStore()

    def make(self) -> Store:
        return self._store

    def told(self) -> list[tuple[str, str]]:
        return self._store.told

    def lives_ms(self, job_id: str, blob: Blob) -> int:
        return self._store.blobs.lifetimes.get((job_id, blob.sha256), 0)

    def items(self, job_id: str) -> tuple[bytes | None, bytes | None]:
        return self._store.items.logs.get(job_id), self._store.items.newest.get(job_id)

    def lose(self) -> None:
        self._store.lose()

    def restore(self) -> None:
        self._store.restore()

    def close(self) -> None:
        pass


class RedisRig(StoreRig):
    """A Redis that keeps what it took, through kill -9."""

    def __init__(self, server: Redis) -> None:
        self.server = server
        self.namespace = f"test-{secrets.token_hex(4)}"
        server.start()
        client: Any = redis.Redis.from_url
        self._client = client(server.url)
        self._listener: Any = self._client.pubsub()
        self._listener.psubscribe(f"{self.namespace}:results:*")
        self._told: list[tuple[str, str]] = []

    def make(self, url: str | None = None) -> RedisResults:
        return RedisResults(url or self.server.url, namespace=self.namespace, ttl_ms=60_000)

    def told(self) -> list[tuple[str, str]]:
        while message := self._listener.get_message():
            if message["type"] == "pmessage":
                reply_to = message["channel"].decode().removeprefix(f"{self.namespace}:results:")
                self._told.append((reply_to, message["data"].decode()))
        return self._told

    def lives_ms(self, job_id: str, blob: Blob) -> int:
        return int(self._client.pttl(blob.key(self.namespace, job_id)))

    def items(self, job_id: str) -> tuple[bytes | None, bytes | None]:
        keys = [f"{self.namespace}:{what}:{{{job_id}}}" for what in ("items", "progress")]
        for key in keys:
            assert self._client.pttl(key) in (-2, *range(50_000, 60_001))
        return self._client.get(keys[0]), self._client.get(keys[1])

    def lose(self) -> None:
        self.server.kill()

    def restore(self) -> None:
        self.server.start()

    def close(self) -> None:
        self._listener.close()
        self._client.close()


class Caller:
    """Calls a store and notes what it is told, in order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.told: list[tuple[str, Any]] = []

    def put(self, job_id: str, body: bytes, reply_to: str | None = None) -> None:
        self.store.put(job_id, body, reply_to, self._noting(job_id))

    def find(self, job_id: str) -> None:
        self.store.find(job_id, self._noting(job_id))

    def put_file(self, job_id: str, body: bytes, reply_to: str | None = None, *, as_blob: bool = True) -> None:
        file = MemoryFile.holding(body)
        self.store.put_file(job_id, Blob.of(body), file, reply_to, self._noting(job_id), as_blob=as_blob)

    def keep(self, job_id: str, body: bytes, ttl_ms: int = 60_000) -> None:
        note = self._noting(job_id)
        self.store.blobs.keep(job_id, Blob.of(body), MemoryFile.holding(body), ttl_ms, lambda: note("kept"))

    def fetch(self, job_id: str, blob: Blob) -> None:
        """The answer is the body, or what the store said instead."""
        file, note = MemoryFile.make(), self._noting(job_id)
        self.store.blobs.fetch(
            job_id, blob, file, lambda found: note(file.read(file.size, 0) if found is True else found)
        )

    def append(self, job_id: str, fence: int, at: int, items: bytes, reply_to: str | None = None) -> None:
        self.store.items.append(job_id, fence, at, items, reply_to, self._noting(job_id))

    def progress(self, job_id: str, fence: int, body: bytes, reply_to: str | None = None) -> None:
        self.store.items.progress(job_id, fence, body, reply_to, self._noting(job_id))

    async def has(self, job_id: str, body: bytes) -> bool:
        """Whether the store has that blob."""
        count = len(self.told)
        self.fetch(job_id, Blob.of(body))
        answer = (await self.answers(count + 1))[-1]
        return bool(answer == body)

    def _noting(self, job_id: str) -> Callable[[Any], None]:
        return lambda answer: self.told.append((job_id, answer))

    async def answers(self, count: int) -> list[Any]:
        """Await that many answers in all; returns them."""
        await until(lambda: len(self.told) >= count)
        return [answer for _, answer in self.told]
