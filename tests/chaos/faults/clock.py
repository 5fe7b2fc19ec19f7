"""Clocks that jump."""

from __future__ import annotations

from typing import ClassVar

from tests.chaos.faults.base import Fault
from tests.chaos.world import HERE, World


class ClockJump(Fault):
    """The workers' wall clock jumps, and later jumps back, as when a time service corrects it.

    Not by more than a run can wait: what a worker puts off by a wrong clock waits in the broker accordingly longer.
    """

    target = "clock"
    hold_s = (0.5, 3.0)
    environment: ClassVar[dict[str, str]] = {"PYTHONPATH": str(HERE / "inject")}

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def inject(self, world: World) -> None:
        world.set_clock(self._sign * self.rng.choice([0.9, 5.0, 15.0]))

    def heal(self, world: World) -> None:
        world.set_clock(0.0)
