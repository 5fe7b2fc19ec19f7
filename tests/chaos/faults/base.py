"""What a fault is: it is injected at one moment and healed at another."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.chaos.world import World

#: The connections that a forwarder can be put into: who, to which server.
Link = tuple[str, str]


class Fault(ABC):
    """One kind of harm. An object of it is for one run."""

    #: What it harms. Two faults with the same target are not in force at once: the second waits.
    target: ClassVar[str] = ""
    #: Shortest and longest time between `inject` and `heal`, in seconds.
    hold_s: tuple[float, float] = (0.2, 2.0)
    #: The connections that need a forwarder.
    links: tuple[Link, ...] = ()
    #: Kinds of jobs of which so many come one after the other.
    crowds: tuple[tuple[str, int], ...] = ()
    #: How many workers it needs at least.
    workers = 1
    #: Further arguments and environment of the workers.
    environment: ClassVar[dict[str, str]] = {}

    def impossible(self, world: World) -> str | None:
        """Why it cannot be injected here; None: it can."""
        del world
        return None

    @abstractmethod
    def inject(self, world: World, rng: random.Random) -> None:
        """Begin to harm."""

    def heal(self, world: World) -> None:
        """Stop harming. Called once after each `inject`."""
        del world
