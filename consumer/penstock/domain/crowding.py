"""When a container is nearly full, which child of a worker has to end, before the system ends the parent. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple, TypeVar

#: Above this share of its container's limit a worker ends a child.
FULL: Final = 0.92

K = TypeVar("K", bound=Hashable)


class Reading(NamedTuple):
    """The memory of a container.

    Attributes:
        used: The bytes in use, without files that the system can drop at any time.
        limit: Its limit, in bytes.
    """

    used: int
    limit: int

    @property
    def full(self) -> bool:
        """Whether the system is about to end somebody."""
        return self.used > FULL * self.limit


def largest(reading: Reading, children: Mapping[K, int]) -> K | None:
    """The child that has to end, of those with so many bytes each; None: none has.

    When the children have less than half of what is used, somebody else fills the container: to end one of them would
    cost a job and help nobody, again and again.
    """
    if not reading.full or not children or 2 * sum(children.values()) < reading.used:
        return None
    return max(children, key=lambda child: children[child])


def sentence(reading: Reading) -> str:
    """What is said of a child that had to end."""
    used, limit = (round(size / 2**20) for size in reading)
    return f"the container is nearly full ({used} of {limit} MiB, its limit), and this child had the most of its worker"
