"""What settlement needs of a place for results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


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

    def find(self, job_id: str, done: Callable[[bytes | None], None]) -> None:
        """Look a result up; `done` gets its bytes, or None when there is none."""
        ...
