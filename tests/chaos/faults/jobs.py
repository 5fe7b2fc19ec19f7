"""Jobs that harm who runs them, many at once; and jobs that their caller cancels."""

from __future__ import annotations

from tests.chaos.evidence import read_journal
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


class Cancels(Fault):
    """Jobs are cancelled during all of the load, so that any other fault strikes among them."""

    target = "cancelled jobs"
    hold_s = (0.0, 0.0)
    crowds = (("cancelled", 12),) * 8

    def inject(self, world: World) -> None:
        del world

    def finish(self, world: World) -> None:
        seen = [result.code for told in read_journal(world.journal).jobs.values() for result in told.results]
        if "CANCELLED" not in seen:
            self.harmless = "no job was cancelled"
