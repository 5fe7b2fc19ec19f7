"""A place for results in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from penstock.memory_file import MemoryFile
from penstock.wire.blob import Blob
from penstock.wire.items import FENCE_BYTES, fence_bytes
from penstock.wire.registry import BLOB_GRACE_MS


class MemoryBlobs:
    """The BlobStore of a MemoryStore.

    Args:
        ask: Lets a call end in its turn.
    """

    def __init__(self, ask: Callable[[Callable[[], None]], None]) -> None:
        #: Bodies by job id and SHA-256. Nothing expires by itself.
        self.bodies: dict[tuple[str, str], bytes] = {}
        #: For how many milliseconds each was to be kept, when that was said the last time.
        self.lifetimes: dict[tuple[str, str], int] = {}
        self._ask = ask

    def fetch(self, job_id: str, blob: Blob, file: MemoryFile, done: Callable[[bool | OSError], None]) -> None:
        """See BlobStore.fetch."""

        def call() -> None:
            body = self.bodies.get((job_id, blob.sha256), b"")
            file.write(body, 0)
            done(len(body) == blob.size)

        self._ask(call)

    def keep(self, job_id: str, blob: Blob, file: MemoryFile, ttl_ms: int, done: Callable[[], None]) -> None:
        """See BlobStore.keep."""

        def call() -> None:
            self.bodies[job_id, blob.sha256] = file.read(blob.size, 0)
            self.lifetimes[job_id, blob.sha256] = ttl_ms
            done()

        self._ask(call)

    def expire(self, job_id: str, blob: Blob, ttl_ms: int) -> None:
        """See BlobStore.expire."""

        def call() -> None:
            if (job_id, blob.sha256) in self.bodies:
                self.lifetimes[job_id, blob.sha256] = ttl_ms

        self._ask(call)


class MemoryItems:
    """The ItemStore of a MemoryStore.

    Args:
        ask: Lets a call end in its turn.
        tell: Tells a requester, if there is one, of a job.
    """

    def __init__(self, ask: Callable[[Callable[[], None]], None], tell: Callable[[str | None, str], None]) -> None:
        #: By job id, the fence and the items, as they would lie in Redis. Nothing expires by itself.
        self.logs: dict[str, bytes] = {}
        #: By job id, the fence and the newest progress.
        self.newest: dict[str, bytes] = {}
        self._ask = ask
        self._tell = tell

    def append(
        self, job_id: str, fence: int, at: int, items: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """See ItemStore.append."""

        def call() -> None:
            log, own, end = self.logs.get(job_id, b""), fence_bytes(fence), at + FENCE_BYTES
            fits = log[:FENCE_BYTES] == own and len(log) >= end
            begins = at == 0 and log[:FENCE_BYTES] < own
            if fits or begins:
                rest = log[end + len(items) :] if fits else b""
                self.logs[job_id] = (log[:end] if fits else own) + items + rest
                self._tell(reply_to, job_id)
            done(fits or begins)

        self._ask(call)

    def progress(
        self, job_id: str, fence: int, body: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """See ItemStore.progress."""

        def call() -> None:
            own = fence_bytes(fence)
            kept = self.newest.get(job_id, b"")[:FENCE_BYTES] <= own
            if kept:
                self.newest[job_id] = own + body
                self._tell(reply_to, job_id)
            done(kept)

        self._ask(call)


class MemoryStore:
    """A ResultStore of results/ports, without a network. It passes the suite that Redis passes.

    Several workers may share one. Calls end in the turn of the loop after they were made; while the store is away
    they wait.
    """

    def __init__(self) -> None:
        #: The result of each job, result.v1 bytes by job id.
        self.results: dict[str, bytes] = {}
        #: Whom it told of a result: pairs of the requester's reply_to and the job's id.
        self.told: list[tuple[str, str]] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._blobs = MemoryBlobs(self._ask)
        self._items = MemoryItems(self._ask, self._tell)
        #: Called with each job of which a requester is told.
        self.on_told: Callable[[str], None] = lambda _: None
        self._away: str | None = None
        self._seen: str | None = None
        self._turning = False

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    @property
    def up(self) -> bool:
        """See ResultStore.up."""
        return self._seen is None

    @property
    def trouble(self) -> str | None:
        """See ResultStore.trouble."""
        return self._seen

    @property
    def pending(self) -> int:
        """See ResultStore.pending."""
        return len(self._calls)

    @property
    def blobs(self) -> MemoryBlobs:
        """See ResultStore.blobs."""
        return self._blobs

    @property
    def items(self) -> MemoryItems:
        """See ResultStore.items."""
        return self._items

    async def open(self) -> None:
        """See ResultStore.open."""

    async def close(self) -> None:
        """See ResultStore.close."""
        self._calls.clear()

    def put(self, job_id: str, body: bytes, reply_to: str | None, done: Callable[[bool], None]) -> None:
        """See ResultStore.put."""

        def call() -> None:
            first = self.results.setdefault(job_id, body) == body
            self._tell(reply_to, job_id)
            done(first)

        self._ask(call)

    def put_file(
        self,
        job_id: str,
        blob: Blob,
        file: MemoryFile,
        reply_to: str | None,
        done: Callable[[bool], None],
        *,
        as_blob: bool,
    ) -> None:
        """See ResultStore.put_file."""
        if as_blob:
            self.blobs.keep(job_id, blob, file, BLOB_GRACE_MS, lambda: None)
        self.put(job_id, file.read(blob.size, 0), reply_to, done)

    def find(self, job_id: str, done: Callable[[bytes | None], None]) -> None:
        """See ResultStore.find."""
        self._ask(lambda: done(self.results.get(job_id)))

    # ── as RedisResults, for commands ───────────────────────────────────────────────────────────

    async def get(self, job_id: str) -> bytes | None:
        """The result of a job, None when there is none."""
        return self.results.get(job_id)

    async def forget(self, job_id: str) -> bool:
        """Delete the result of a job; returns whether there was one."""
        return self.results.pop(job_id, None) is not None

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    def lose(self, why: str = "the store is away") -> None:
        """Take no calls until `restore`; `trouble` says why from the next call on."""
        self._away = why

    def restore(self) -> None:
        """Take calls again, those that wait first."""
        self._away = self._seen = None
        self._turn()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _tell(self, reply_to: str | None, job_id: str) -> None:
        if reply_to:
            self.told.append((reply_to, job_id))
            self.on_told(job_id)

    def _ask(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._turn()

    def _turn(self) -> None:
        if self._calls and not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        """Let one call end; a `done` that raises is the loop's to report, and stops no other."""
        self._turning = False
        self._seen = self._away
        if self._calls and self._away is None:
            call = self._calls.popleft()
            self._turn()
            call()
