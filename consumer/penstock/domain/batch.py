"""How many jobs of a task are run in one call, and how long the first of them waits for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.errors import DeclarationError

#: Most jobs in one call.
MAX_SIZE: Final = 1024
#: Longest that a job may wait for others, in seconds.
MAX_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Jobs of one task are collected, and one call runs all of them.

        def norm(x: list[float]) -> float:
            return float(np.linalg.norm(x))

        @stats.task(name="norm", batch=Batch(size=64, of=norm))
        def norms(jobs: list[dict[str, Any]]) -> list[float]:
            return list(np.linalg.norm([job["x"] for job in jobs], axis=1))

    Callers see nothing of it: each has its own arguments, result, error, deadline and attempt.

    Attributes:
        size: Most jobs in one call, from 2 to 1024.
        wait: Longest time in seconds that the first job of a batch waits for others, from 0 to 60. Defaults to 0.005.
            0: a child that is idle takes what is there. While every child is busy a batch fills up, however long.
        of: The prototype: what the task is for one job. Its parameters, their defaults and its annotations are the
            task's, for names, types and contract; it is never called. Defaults to none: arguments of any name are
            taken, and a contract has to be written by hand.

    Raises:
        DeclarationError: A value is out of range; the message names all of them.
    """

    size: int
    wait: float = 0.005
    of: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        """Check all values at once."""
        rules = (
            (type(self.size) is not int or not 2 <= self.size <= MAX_SIZE, f"size must be from 2 to {MAX_SIZE}"),
            (not 0 <= self.wait <= MAX_WAIT_S, f"wait must be a number of seconds from 0 to {MAX_WAIT_S:g}"),
            (self.of is not None and not callable(self.of), "of must be a function, or left out"),
        )
        given = {"size": self.size, "wait": self.wait, "of": self.of}
        if problems := [f"{text}, not {given[text.partition(' ')[0]]!r}" for wrong, text in rules if wrong]:
            raise DeclarationError("Batch: " + "; ".join(problems))

    def numbers(self) -> dict[str, Any]:
        """What the parent needs to know: everything but the prototype."""
        return {"size": self.size, "wait": self.wait}

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> Batch:
        """The batch as the parent sees it."""
        return cls(**numbers)
