"""When a child is replaced though nothing is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from penstock.errors import DeclarationError

#: By how much the limits of one child may exceed those of another: children that started together end apart.
_SPREAD: Final = 0.2


@dataclass(frozen=True, slots=True)
class Recycle:
    """Replaces a child after some jobs, some time, or above some memory, before a leak of its libraries hurts.

        Queue("images", lane=Processes(4, recycle=Recycle(jobs=1000, memory=512 * 2**20)))

    The child finishes the jobs that it has and ends; nothing is cut off, and no job notices. At most a quarter of a
    lane's children are replaced at once, and `jobs` and `age` are up to a fifth larger for each child than is said.

    Attributes:
        jobs: After so many jobs. Defaults to None: however many.
        age: After so many seconds. Defaults to None: however old.
        memory: Above so many bytes resident, without what it has started itself; on Linux only. Defaults to None:
            however many.

    Raises:
        DeclarationError: A limit is not above 0, or there is none.
    """

    jobs: int | None = None
    age: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        """Check the limits."""
        given = {name: limit for name, limit in asdict(self).items() if limit is not None}
        if not given:
            raise DeclarationError("Recycle: give jobs=, age= or memory=")
        for name, limit in given.items():
            if not 0 < limit < math.inf:
                raise DeclarationError(f"Recycle: {name} must be above 0, not {limit}")

    def for_child(self, chance: float) -> Recycle:
        """The limits of one child; `chance` is from 0 to 1."""
        factor = 1 + _SPREAD * chance
        return replace(
            self,
            jobs=None if self.jobs is None else round(self.jobs * factor),
            age=None if self.age is None else self.age * factor,
        )

    def due(self, *, jobs: int, age_s: float, memory: int) -> bool:
        """Whether a child that has done and grown so much is to be replaced."""
        return (
            (self.jobs is not None and jobs >= self.jobs)
            or (self.age is not None and age_s >= self.age)
            or (self.memory is not None and memory > self.memory)
        )

    def to_wire(self) -> dict[str, Any]:
        """The limits as the catalog carries them."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Recycle:
        """The limits as the parent reads them."""
        return cls(**wire)
