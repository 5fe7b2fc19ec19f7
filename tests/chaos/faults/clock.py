"""Clocks that jump."""

from __future__ import annotations

import random
from typing import ClassVar

from tests.chaos.faults.base import Fault
from tests.chaos.world import HERE, World


class ClockJump(Fault):
    """The workers' wall clock jumps, and later jumps back, as when a time service corrects it."""

    target = "clock"
    hold_s = (0.5, 3.0)
    environment: ClassVar[dict[str, str]] = {"PYTHONPATH": str(HERE / "inject")}

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def inject(self, world: World, rng: random.Random) -> None:
        world.set_clock(self._sign * rng.choice([0.9, 5.0, 60.0, 3600.0]))

    def heal(self, world: World) -> None:
        world.set_clock(0.0)
