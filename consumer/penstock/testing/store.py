"""A place for results in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


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

    async def open(self) -> None:
        """See ResultStore.open."""

    async def close(self) -> None:
        """See ResultStore.close."""
        self._calls.clear()

    def put(self, job_id: str, body: bytes, reply_to: str | None, done: Callable[[bool], None]) -> None:
        """See ResultStore.put."""

        def call() -> None:
            first = self.results.setdefault(job_id, body) == body
            if reply_to:
                self.told.append((reply_to, job_id))
            done(first)

        self._ask(call)

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
