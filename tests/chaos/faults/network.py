"""Connections that end, stall or close half-way, by a forwarder in between."""

from __future__ import annotations

from tests.chaos.faults.base import Fault
from tests.chaos.world import Link, World
from tests.helpers.forwarder import BOTH, Direction, Forwarder


class _LinkFault(Fault):
    def __init__(self, link: Link) -> None:
        self._link = link
        self.links = (link,)
        self.target = "-".join(link)
        self.hold_s = (0.2, 5.0)

    def _forwarder(self, world: World) -> Forwarder:
        forwarder = world.forwarders[self._link]
        if not forwarder.connections:
            self.harmless = "there was no connection"
        return forwarder


class Cut(_LinkFault):
    """Every connection ends; sometimes no new one can be made for a while."""

    def inject(self, world: World) -> None:
        forwarder = self._forwarder(world)
        if self.rng.random() < 0.5:
            forwarder.refuse()
        forwarder.cut()

    def heal(self, world: World) -> None:
        world.forwarders[self._link].refuse(False)


class Stall(_LinkFault):
    """Nothing passes, one way or both, and nobody is told; afterwards all of it arrives, or the connection is gone."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.hold_s = (0.5, 8.0)
        self._ends = False

    def inject(self, world: World) -> None:
        self._ends = self.rng.random() < 0.5
        self._forwarder(world).stall(self.rng.choice([BOTH, (Direction.TO_SERVER,), (Direction.TO_CLIENT,)]))

    def heal(self, world: World) -> None:
        forwarder = world.forwarders[self._link]
        if self._ends:
            forwarder.cut()
        forwarder.flow()


class HalfClose(_LinkFault):
    """One side of every connection is told that the other will send no more."""

    def inject(self, world: World) -> None:
        self._forwarder(world).half_close(self.rng.choice(list(Direction)))


class Partition(Fault):
    """The link between the servers' host and the clients' is down: packets vanish, nobody is told."""

    target = "link"
    hold_s = (0.5, 8.0)
    two_hosts = True

    def inject(self, world: World) -> None:
        assert world.rig.hosts is not None
        world.rig.hosts.link(up=False)

    def heal(self, world: World) -> None:
        assert world.rig.hosts is not None
        world.rig.hosts.link(up=True)
