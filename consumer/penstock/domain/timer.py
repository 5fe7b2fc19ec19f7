"""What will be called later, whoever counts the time."""

from __future__ import annotations

from typing import Protocol


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Call it off; once more, or too late, is fine."""
        ...
