"""The broker objects of a namespace, expanded from the registry, and where a message goes among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.wire.registry import EXCHANGES, LADDER, NAMESPACE, QUEUES, TRANSIENT_QUEUES


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str
    internal: bool
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable queue and its bindings, pairs of exchange and key."""

    name: str
    arguments: Mapping[str, Any]
    bindings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """Names and objects under one namespace."""

    namespace: str = NAMESPACE

    def name(self, suffix: str) -> str:
        """The full name of an exchange or queue: `jobs` is `penstock.jobs`."""
        return f"{self.namespace}.{suffix}"

    def work_queue(self, queue: str) -> str:
        """The broker's name of a work queue: `stats` is `penstock.q.stats`."""
        return self.name(f"q.{queue}")

    def dead_queue(self, queue: str) -> str:
        """The broker's name of a dead queue: `stats` is `penstock.dead.stats`."""
        return self.name(f"dead.{queue}")

    def control_queue(self, user: str, instance: str) -> Queue:
        """The queue on which a worker hears commands: exclusive, not durable, and of this worker alone."""
        row = next(row for row in TRANSIENT_QUEUES if row.exchange == "control")
        fields = {"user": user, "instance": instance}
        bindings = ((self.name(row.exchange), _fill(row.key, fields)),)
        return Queue(name=self.name(_fill(row.name, fields)), arguments={}, bindings=bindings)

    def exchanges(self) -> Iterator[Exchange]:
        """Every exchange, each after the one that it names as alternate."""
        rows = sorted(EXCHANGES, key=lambda row: row.alternate is not None)
        for row in rows:
            alternate = {} if row.alternate is None else {"alternate-exchange": self.name(row.alternate)}
            yield Exchange(name=self.name(row.name), type=row.type, internal=row.internal, arguments=alternate)

    def queues(self, queues: Iterable[str]) -> Iterator[Queue]:
        """The shared queues (ladder, lost) and those of each named queue."""
        names = list(queues)
        for row in QUEUES:
            for fields in self._instances(row.per, names):
                yield Queue(
                    name=self.name(_fill(row.name, fields)),
                    arguments={key: _fill(value, fields) for key, value in row.arguments.items()},
                    bindings=tuple(
                        (self.name(binding["exchange"]), _fill(binding["key"], fields)) for binding in row.bindings
                    ),
                )

    def _instances(self, per: str, queues: list[str]) -> list[dict[str, Any]]:
        """The values that fill one row's placeholders, one mapping per object."""
        base = {"namespace": self.namespace}
        if per == "queue":
            return [{**base, "queue": queue} for queue in queues]
        if per == "level":
            return [{**base, "level": level.level, "ttl_ms": level.ttl_ms} for level in LADDER]
        return [base]


def _fill(value: Any, fields: Mapping[str, Any]) -> Any:
    """Fill placeholders; a value that is one placeholder alone keeps the type of what fills it."""
    if not isinstance(value, str):
        return value
    whole = value[1:-1]
    if value == f"{{{whole}}}" and whole in fields:
        return fields[whole]
    return value.format_map(fields)


def level_for(remaining_ms: int) -> str:
    """The ladder level for a wait: the longest that fits into it, else the shortest there is.

    A wait between two levels takes several hops; the job is looked at after each (x-not-before).
    """
    fitting = [row.level for row in LADDER if row.ttl_ms <= remaining_ms]
    return fitting[-1] if fitting else LADDER[0].level


def retry_key(level: str, task: str) -> str:
    """The routing key on the retry exchange: `<level>.<queue>.<function>`."""
    return f"{level}.{task}"


def task_of_returned(routing_key: str) -> str:
    """The task of a delivery from the return exchange, whose key still begins with its level."""
    return routing_key.partition(".")[2]
