"""The table of faults: name, and what makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tests.chaos.faults.base import Fault
from tests.chaos.faults.clock import ClockJump
from tests.chaos.faults.jobs import Cancels, Crowd
from tests.chaos.faults.network import Cut, HalfClose, Partition, Stall
from tests.chaos.faults.processes import (
    CrashLoop,
    KillChild,
    KillProducer,
    KillServer,
    KillWorker,
    RollingRestart,
    StopChild,
    StopPlayer,
    StopServer,
)
from tests.chaos.faults.servers import ConsumerTimeout, MemoryAlarm, QueueFull, RedisDisk, RedisMemory

__all__ = ["FAULTS", "Fault"]

_LINKS = [(who, server) for who in ("worker", "producer") for server in ("rabbitmq", "redis")]

FAULTS: Mapping[str, Callable[[], Fault]] = {
    "kill-child": KillChild,
    "kill-worker": KillWorker,
    "kill-producer": KillProducer,
    "kill-broker": partial(KillServer, "broker"),
    "kill-redis": partial(KillServer, "redis"),
    "stop-child": StopChild,
    "stop-worker": partial(StopPlayer, "worker"),
    "stop-producer": partial(StopPlayer, "producer"),
    "stop-broker": partial(StopServer, "broker"),
    "stop-redis": partial(StopServer, "redis"),
    **{f"cut-{who}-{server}": partial(Cut, (who, server)) for who, server in _LINKS},
    **{f"stall-{who}-{server}": partial(Stall, (who, server)) for who, server in _LINKS},
    **{f"half-close-{who}-{server}": partial(HalfClose, (who, server)) for who, server in _LINKS},
    "memory-alarm": MemoryAlarm,
    "queue-full": QueueFull,
    "consumer-timeout": ConsumerTimeout,
    "redis-memory": RedisMemory,
    "redis-disk": RedisDisk,
    "segfaults": partial(Crowd, "crashes", 8),
    "hangs": partial(Crowd, "hangs", 6),
    "memory-eaters": partial(Crowd, "eats", 6),
    "cancels": Cancels,
    "clock-forward": partial(ClockJump, 1),
    "clock-back": partial(ClockJump, -1),
    "crash-loop": CrashLoop,
    "rolling-restart": RollingRestart,
    "partition": Partition,
}
