"""Jobs that harm who runs them, many at once."""

from __future__ import annotations

from tests.chaos.faults.base import Fault
from tests.chaos.world import World


class Crowd(Fault):
    """So many jobs of a kind, one after the other in the plan; there is nothing else to inject."""

    target = "child"
    hold_s = (0.0, 0.0)

    def __init__(self, kind: str, count: int) -> None:
        self.crowds = ((kind, count),)

    def inject(self, world: World) -> None:
        del world
