"""Servers that live and refuse: alarms, full queues, full memory, a full disk."""

from __future__ import annotations

import contextlib
import os
from http import HTTPStatus
from typing import ClassVar
from urllib.error import HTTPError

from tests.chaos.evidence import read_journal
from tests.chaos.faults.base import Fault
from tests.chaos.plan import QUEUE
from tests.chaos.rig import DEAD_LETTER_AGAIN_MS
from tests.chaos.world import HERE, World

#: How long a delivery may stay unacknowledged while that is the fault, in ms; the jobs of kind `long` take longer.
CONSUMER_TIMEOUT_MS = 3_000
_POLICY = "/api/policies/%2F/chaos-full"


class MemoryAlarm(Fault):
    """RabbitMQ is short of memory: it stops reading from whoever publishes."""

    target = "broker"
    moment = (0.0, 0.5)  # the command takes a second or more
    hold_s = (0.5, 4.0)

    def inject(self, world: World) -> None:
        world.rig.broker.control("set_vm_memory_high_watermark", "absolute", "1")

    def heal(self, world: World) -> None:
        world.rig.broker.control("set_vm_memory_high_watermark", "0.5")


class QueueFull(Fault):
    """No worker runs and their queue takes no more, neither from producers nor retries that come back.

    It has room again when the workers are back; the limit stays until the run is over. RabbitMQ 3.10 never tells the
    internal publisher of retries that a limit is gone: taken away from a full queue, it leaves them where they are.
    """

    target = "broker"
    moment = (0.0, 0.4)  # a queue takes time to be full
    hold_s = (1.0, 4.0)
    hidden_s = DEAD_LETTER_AGAIN_MS / 1000 + 1.0

    def impossible(self, world: World) -> str | None:
        return None if world.rig.broker.folder else "RabbitMQ's settings cannot be changed here"

    def inject(self, world: World) -> None:
        pattern = f"^{world.rig.topology.work_queue(QUEUE)}$".replace(".", r"\.")
        policy = {"pattern": pattern, "definition": {"max-length": self.rng.randrange(10, 100)}, "apply-to": "queues"}
        for player in world.workers:
            player.stop()
        world.rig.manage("PUT", _POLICY, policy)

    def heal(self, world: World) -> None:
        for player in world.workers:
            player.start()

    def finish(self, world: World) -> None:
        try:
            world.rig.manage("DELETE", _POLICY)
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:  # the broker was away when the policy should have been set
                raise
        if not read_journal(world.journal).refusals:
            self.harmless = "nobody was refused"


class ConsumerTimeout(Fault):
    """Jobs take longer than RabbitMQ lets a delivery stay unacknowledged: it takes them back from the worker.

    4.3 goes by the worker's own argument, which is an hour; inject/sitecustomize.py makes it short. Older brokers
    have a setting of their own, and look once in a `channel_tick_interval`.
    """

    target = "timeout"
    hold_s = (0.0, 0.0)
    crowds = (("long", 4),)
    environment: ClassVar[dict[str, str]] = {
        "PYTHONPATH": str(HERE / "inject"),
        "PENSTOCK_CHAOS_CONSUMER_TIMEOUT_MS": str(CONSUMER_TIMEOUT_MS),
    }

    def prepare(self, world: World) -> None:
        self._set(world, consumer_timeout=CONSUMER_TIMEOUT_MS, channel_tick_interval=500)

    def inject(self, world: World) -> None:
        del world  # the long jobs are in the plan

    def finish(self, world: World) -> None:
        self._set(world, consumer_timeout=1_800_000, channel_tick_interval=60_000)
        if not world.logged("amqp.consumer_cancelled"):
            self.harmless = "no delivery was held too long"

    @staticmethod
    def _set(world: World, **values: int) -> None:
        calls = [f"application:set_env(rabbit, {name}, {value})" for name, value in values.items()]
        world.rig.broker.control("eval", f"{', '.join(calls)}.")


class RedisMemory(Fault):
    """Redis has no memory for writes (maxmemory, noeviction)."""

    target = "redis"
    hold_s = (0.3, 5.0)

    def inject(self, world: World) -> None:
        with contextlib.closing(world.rig.store()) as store:
            store.config_set("maxmemory-policy", "noeviction")
            store.config_set("maxmemory", 1)

    def heal(self, world: World) -> None:
        with contextlib.closing(world.rig.store()) as store:
            store.config_set("maxmemory", 0)

    def finish(self, world: World) -> None:
        if not world.logged("redis.unavailable"):
            self.harmless = "nothing was written meanwhile"


class RedisDisk(Fault):
    """The disk is full on which Redis keeps its log of writes."""

    target = "redis"
    hold_s = (0.5, 5.0)

    def impossible(self, world: World) -> str | None:
        return None if world.rig.small_disk else "a disk that can be filled needs root, to mount it"

    def inject(self, world: World) -> None:
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

    def finish(self, world: World) -> None:
        if not world.logged("redis.unavailable"):
            self.harmless = "nothing was written meanwhile"
