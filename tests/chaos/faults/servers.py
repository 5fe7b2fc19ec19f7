"""Servers that live and refuse: alarms, full queues, full memory, a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import random

from tests.chaos.faults.base import Fault
from tests.chaos.plan import QUEUE
from tests.chaos.world import World


class MemoryAlarm(Fault):
    """RabbitMQ is short of memory: it stops reading from whoever publishes."""

    target = "broker"
    hold_s = (0.5, 4.0)

    def inject(self, world: World, rng: random.Random) -> None:
        world.rig.broker.control("set_vm_memory_high_watermark", "absolute", "1")

    def heal(self, world: World) -> None:
        world.rig.broker.control("set_vm_memory_high_watermark", "0.5")


class QueueFull(Fault):
    """The work queue takes no more: producers are refused, and so are the retries that come back to it."""

    target = "broker"
    hold_s = (0.5, 3.0)

    def inject(self, world: World, rng: random.Random) -> None:
        pattern = f"^{world.rig.topology.work_queue(QUEUE)}$".replace(".", r"\.")
        definition = json.dumps({"max-length": rng.randrange(1, 50)})
        world.rig.broker.control("set_policy", "full", pattern, definition, "--apply-to", "queues")

    def heal(self, world: World) -> None:
        world.rig.broker.control("clear_policy", "full")


class RedisMemory(Fault):
    """Redis has no memory for writes (maxmemory, noeviction)."""

    target = "redis"
    hold_s = (0.3, 5.0)

    def inject(self, world: World, rng: random.Random) -> None:
        with contextlib.closing(world.rig.store()) as store:
            store.config_set("maxmemory-policy", "noeviction")
            store.config_set("maxmemory", 1)

    def heal(self, world: World) -> None:
        with contextlib.closing(world.rig.store()) as store:
            store.config_set("maxmemory", 0)


class RedisDisk(Fault):
    """The disk is full on which Redis keeps its log of writes."""

    target = "redis"
    hold_s = (0.5, 5.0)

    def impossible(self, world: World) -> str | None:
        return None if world.rig.small_disk else "a disk that can be filled needs root, to mount it"

    def inject(self, world: World, rng: random.Random) -> None:
        assert world.rig.small_disk is not None
        with (world.rig.small_disk / "balloon").open("wb", buffering=0) as balloon:
            block = bytes(1 << 20)
            with contextlib.suppress(OSError):
                while balloon.write(block) == len(block):
                    pass
            with contextlib.suppress(OSError):
                while balloon.write(b"x" * 512) == 512:
                    pass
            os.fsync(balloon.fileno())

    def heal(self, world: World) -> None:
        assert world.rig.small_disk is not None
        (world.rig.small_disk / "balloon").unlink(missing_ok=True)
