"""What settlement needs of a place for results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class ResultStore(Protocol):
    """Keeps results by job id; the first one written wins."""

    @property
    def up(self) -> bool:
        """Whether the last write succeeded."""
        ...

    def put(self, job_id: str, body: bytes, reply_to: str | None, done: Callable[[bool], None]) -> None:
        """Keep a result; `done(first)` is called once it is certain that a result is kept.

        `first` is False when an earlier result of the same job was there: that one stays. While the store
        cannot be reached the write is tried again, so `done` may take as long as the outage.
        """
        ...
