"""What a worker needs of a place for results, for what comes before them, and for bodies too long for a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.memory_file import MemoryFile
from penstock.wire.blob import Blob


class BlobStore(Protocol):
    """Keeps long bodies for a while, each under its job and its SHA-256.

    Its calls are as those of a ResultStore, but they end in any order.
    """

    def fetch(self, job_id: str, blob: Blob, file: MemoryFile, done: Callable[[bool | OSError], None]) -> None:
        """Write a blob into a file.

        `done` gets False when there is none of that size, an error when the file did not take it. Whether the bytes
        have that hash is for their reader to see.
        """
        ...

    def keep(self, job_id: str, blob: Blob, file: MemoryFile, ttl_ms: int, done: Callable[[], None]) -> None:
        """Keep a file as a blob for so many milliseconds."""
        ...

    def expire(self, job_id: str, blob: Blob, ttl_ms: int) -> None:
        """Keep a blob for so many milliseconds from now on, neither longer nor shorter."""
        ...


class ItemStore(Protocol):
    """Keeps what jobs yield before their results: all items of the latest start, and its newest progress.

    Each start of a job has a larger fence. What an earlier start writes once a later one has written is refused. Its
    calls are as those of a ResultStore, but they end in any order: who wants items in theirs awaits each call.
    """

    def append(
        self, job_id: str, fence: int, at: int, items: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """Keep items behind those that are there.

        Args:
            job_id: The job.
            fence: Of the start that yielded them.
            at: How many bytes of items the start has had kept before; 0 replaces what an earlier one has left.
            items: The items, each with its length before it; see wire/items.
            reply_to: Whose channel is told; None: nobody's.
            done: Gets False when they were refused, or when what was kept before them is gone.
        """
        ...

    def progress(
        self, job_id: str, fence: int, body: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        """Keep the progress of a start in place of what was there; `done` gets False when it was refused."""
        ...


class ResultStore(Protocol):
    """Keeps results by job id; the first one written wins.

    While the store cannot be reached, or takes nothing because it is full, read-only or loading, every call is tried
    again: `done` may take as long as the outage, and is called once, with a fact. Calls end in the order in which
    they were asked, so a `find` sees what was put before it.
    """

    async def open(self) -> None:
        """Make sure that the store answers, then take calls.

        Raises:
            UnavailableError: It does not answer.
            DeniedError: It refuses the user or the password.
        """
        ...

    async def close(self) -> None:
        """Stop; calls that have not ended are dropped, their jobs will be redelivered. Closing twice is fine."""
        ...

    @property
    def blobs(self) -> BlobStore:
        """Where its long bodies are."""
        ...

    @property
    def items(self) -> ItemStore:
        """Where what comes before its results is."""
        ...

    @property
    def up(self) -> bool:
        """Whether the last call succeeded."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why the last call failed; None: it succeeded."""
        ...

    @property
    def pending(self) -> int:
        """Calls that have not ended."""
        ...

    def put(self, job_id: str, body: bytes, reply_to: str | None, done: Callable[[bool], None]) -> None:
        """Keep a result; `done(first)` is called once it is certain that a result is kept.

        `first` is False when an earlier result of the same job was there: that one stays.
        """
        ...

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
        """As `put`, of a long result; with `as_blob` it is kept as a blob, too, for `BLOB_GRACE_MS`.

        It may end before calls that were asked earlier.
        """
        ...

    def find(self, job_id: str, done: Callable[[bytes | None], None]) -> None:
        """Look a result up; `done` gets its bytes, or None when there is none."""
        ...
