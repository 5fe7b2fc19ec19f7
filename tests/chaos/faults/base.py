"""What a fault is: it is injected at one moment and healed at another."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.chaos.world import Link, World


class Fault(ABC):
    """One kind of harm. An object of it is for one run."""

    #: What it harms. Two faults with the same target are not in force at once: the second waits.
    target: str = ""
    #: Where in the load it begins, as shares of the load's time, at the earliest and at the latest.
    moment: tuple[float, float] = (0.15, 0.85)
    #: Shortest and longest time between `inject` and `heal`, in seconds.
    hold_s: tuple[float, float] = (0.2, 2.0)
    #: The connections that need a forwarder.
    links: tuple[Link, ...] = ()
    #: How long messages may be where no client sees them, in seconds.
    hidden_s: float = 0.0
    #: Kinds of jobs of which so many come one after the other.
    crowds: tuple[tuple[str, int], ...] = ()
    #: How many workers it needs at least.
    workers = 1
    #: Further environment of the workers.
    environment: ClassVar[dict[str, str]] = {}
    #: Whether the clients live on another host than the servers.
    two_hosts = False
    #: Decides what the fault leaves open; set before the first call.
    rng: random.Random
    #: Why it harmed nobody, so that the run proves nothing of it; None: it did.
    harmless: str | None = None

    def impossible(self, world: World) -> str | None:
        """Why it cannot be injected here; None: it can."""
        del world
        return None

    def prepare(self, world: World) -> None:
        """Do what has to be done before the players start."""
        del world

    @abstractmethod
    def inject(self, world: World) -> None:
        """Begin to harm."""

    def heal(self, world: World) -> None:
        """Stop harming. Called once after `inject`."""
        del world

    def finish(self, world: World) -> None:
        """Clear up and look back, when the players have ended."""
        del world
