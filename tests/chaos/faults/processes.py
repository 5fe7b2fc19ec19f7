"""Processes that die, and processes that stop for a while: SIGKILL, and SIGSTOP until SIGCONT."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress

from ops.dev.private import Server
from tests.chaos.faults.base import Fault
from tests.chaos.players import ProducerPlayer, WorkerPlayer
from tests.chaos.world import World
from tests.helpers.wait import until


class KillChild(Fault):
    """One child of a worker dies, several times in a row."""

    target = "child"
    hold_s = (0.0, 0.0)

    def inject(self, world: World) -> None:
        self.harmless = "there was no child"
        for _ in range(self.rng.randrange(1, 4)):
            if child := _any_child(world, self.rng):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    self.harmless = None


class KillWorker(Fault):
    """A worker's parent dies, and is started again at once."""

    target = "worker"
    hold_s = (0.0, 0.0)

    def inject(self, world: World) -> None:
        self.rng.choice(world.workers).kill()


class CrashLoop(Fault):
    """A worker's parent dies again and again, each time with jobs in hand, until it is left alone."""

    target = "worker"
    hold_s = (0.0, 0.0)

    def inject(self, world: World) -> None:
        player = self.rng.choice(world.workers)
        for _ in range(self.rng.randrange(5, 8)):
            until(lambda: player.ready, f"{player.name} is back", 30)
            world.pause(self.rng.uniform(0.1, 0.6))
            player.kill()


class KillProducer(Fault):
    """The producer dies, and is started again at once with its journal."""

    target = "producer"
    hold_s = (0.0, 0.0)

    def inject(self, world: World) -> None:
        if not _producer(world).kill():
            self.harmless = "the producer had ended"


class KillServer(Fault):
    """A server dies with all its processes, and is started again on the same data."""

    def __init__(self, name: str) -> None:
        self.target = name
        self.hold_s = (0.1, 2.0)

    def inject(self, world: World) -> None:
        _server(world, self.target).kill()

    def heal(self, world: World) -> None:
        _server(world, self.target).start()


class StopChild(Fault):
    """One child of a worker stands still."""

    target = "child"
    hold_s = (0.3, 4.0)

    def __init__(self) -> None:
        self._child: int | None = None

    def inject(self, world: World) -> None:
        self._child = _any_child(world, self.rng)
        if self._child is None:
            self.harmless = "there was no child"
        self._signal(signal.SIGSTOP)

    def heal(self, world: World) -> None:
        del world
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.kill(self._child, number)


class StopPlayer(Fault):
    """A worker's parent, or the producer, stands still; longer than a heartbeat, sometimes."""

    def __init__(self, name: str) -> None:
        self.target = name
        self.hold_s = (0.3, 7.0)
        self._player: WorkerPlayer | ProducerPlayer | None = None

    def inject(self, world: World) -> None:
        self._player = self.rng.choice(world.workers) if self.target == "worker" else _producer(world)
        if not self._player.alive:
            self.harmless = f"the {self.target} did not run"
        self._player.signal(signal.SIGSTOP)

    def heal(self, world: World) -> None:
        del world
        if self._player is not None:
            self._player.signal(signal.SIGCONT)


class StopServer(Fault):
    """A server stands still: its connections stay, nothing is answered."""

    def __init__(self, name: str) -> None:
        self.target = name
        self.hold_s = (0.3, 7.0)

    def inject(self, world: World) -> None:
        _server(world, self.target).pause()

    def heal(self, world: World) -> None:
        _server(world, self.target).resume()


class RollingRestart(Fault):
    """Two workers are replaced one after the other, as a deployment does, by SIGTERM."""

    target = "worker"
    hold_s = (0.0, 0.0)
    workers = 2

    def inject(self, world: World) -> None:
        for player in world.workers:
            player.stop()
            player.start()
            until(lambda player=player: player.ready, f"{player.name} is back", 30)  # type: ignore[misc]


def _any_child(world: World, rng: random.Random) -> int | None:
    children = [child for player in world.workers for child in player.children()]
    return rng.choice(children) if children else None


def _producer(world: World) -> ProducerPlayer:
    assert world.producer is not None
    return world.producer


def _server(world: World, name: str) -> Server:
    return world.rig.broker if name == "broker" else world.rig.redis
