"""Where the conformance suite plays: a broker with a producer beside it, in memory or real."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pika

from penstock.broker.ports import Broker, Channel, Confirm, Consumer
from penstock.domain.topology import Topology
from penstock.wire.headers import int_header
from tests.unit.waiting import until

#: The work queue of the suite, and the limits that its arguments have.
QUEUE = "t"


@dataclass(frozen=True, kw_only=True)
class Features:
    """In what brokers differ.

    Attributes:
        free_nack: Whether a job can be given back without a delivery being counted.
    """

    free_nack: bool


@dataclass(frozen=True)
class Arrival:
    """A delivery, as `on_message` got it."""

    channel: Channel
    method: Any
    properties: Any
    body: bytes

    @property
    def tag(self) -> int:
        return int(self.method.delivery_tag)

    @property
    def count(self) -> int:
        """Earlier deliveries that count, as the worker's intake reads them."""
        return int_header(self.properties.headers or {}, "x-delivery-count") or 0

    def ack(self) -> None:
        self.channel.ack(self.tag)

    def give_back(self, *, counted: bool) -> None:
        self.channel.give_back(self.tag, counted=counted)


@dataclass(frozen=True)
class Taken:
    """A message that the producer's side took out of a queue."""

    exchange: str
    routing_key: str
    headers: dict[str, Any]
    properties: Any
    body: bytes


class Rig(ABC):
    """A broker to be, and the other side of it: what producers and operators do."""

    def __init__(self) -> None:
        self.topology = Topology(f"test-{secrets.token_hex(4)}")
        self._brokers: list[Broker] = []

    async def connect(self) -> Broker:
        """A broker that is open; all of one rig meet."""
        made = self.make()
        self._brokers.append(made)
        await made.open(10)
        return made

    async def disconnect(self) -> None:
        """Close every broker."""
        for broker in self._brokers:
            await broker.close()

    @abstractmethod
    def make(self) -> Broker:
        """Make a broker that is not open yet."""

    @property
    @abstractmethod
    def features(self) -> Features:
        """What this broker can do."""

    @abstractmethod
    def publish(self, exchange: str, key: str, body: bytes = b"", **properties: Any) -> Confirm:
        """Publish; DeniedError or TopologyError where the broker closes the channel."""

    @abstractmethod
    def take(self, queue: str) -> Taken | None:
        """Take a message out of a queue."""

    @abstractmethod
    def ready(self, queue: str) -> int:
        """How many messages wait in a queue."""

    @abstractmethod
    def reply_queue(self, reply_to: str) -> str:
        """Declare the queue of a requester; returns its name."""

    @abstractmethod
    def limit(self, queue: str, length: int | None) -> None:
        """Let a queue refuse what is more than that."""

    @abstractmethod
    def delete(self, queue: str) -> None:
        """Delete a queue."""

    @abstractmethod
    def redeclare(self, queue: str, arguments: dict[str, Any]) -> None:
        """Delete a queue and declare one of the same name with other arguments."""

    @abstractmethod
    def lose(self) -> None:
        """Cut the connections of every broker, and let none come back."""

    @abstractmethod
    def hold_confirms(self) -> None:
        """Let nothing that the broker says arrive, until the connections are lost."""

    @abstractmethod
    def restore(self) -> None:
        """Let them come back."""

    @abstractmethod
    def elapse(self, seconds: float) -> None:
        """Let time pass, where that can be done without waiting."""

    @abstractmethod
    def close(self) -> None:
        """Remove everything."""


class Stage:
    """A broker that is open on a namespace of its own, and what became of what was sent to it."""

    def __init__(self, rig: Rig, broker: Broker) -> None:
        self.rig = rig
        self.broker = broker
        self.features = rig.features
        self.topology = rig.topology
        self.work = rig.topology.work_queue(QUEUE)
        self.dead = rig.topology.dead_queue(QUEUE)
        self.arrivals: list[Arrival] = []
        self.told: list[tuple[bytes, Confirm]] = []

    async def another(self) -> Stage:
        """A second broker beside this one."""
        return Stage(self.rig, await self.rig.connect())

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────

    def enqueue(self, *bodies: bytes, key: str = f"{QUEUE}.a", **properties: Any) -> None:
        """Publish jobs from outside."""
        for body in bodies:
            assert self.rig.publish(self.topology.name("jobs"), key, body, **properties) is Confirm.ACKED

    async def consume(self, *, prefetch: int = 10, on_message: Callable[..., None] | None = None) -> Consumer:
        """Consume the work queue; arrivals are noted."""
        consumer = self.broker.consumer(self.work, prefetch=prefetch, on_message=on_message or self.note)
        self.broker.consume()
        await until(lambda: consumer.consuming)
        return consumer

    def note(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """Note an arrival."""
        self.arrivals.append(Arrival(channel, method, properties, body))

    async def arrived(self, count: int) -> Arrival:
        """Await that many arrivals in all; returns the last of them."""
        await until(lambda: len(self.arrivals) >= count)
        return self.arrivals[count - 1]

    @property
    def bodies(self) -> list[bytes]:
        return [arrival.body for arrival in self.arrivals]

    async def interrupt(self) -> None:
        """Lose the connection and find it again."""
        self.rig.lose()
        await until(lambda: bool(self.broker.troubles()))
        self.rig.restore()
        await until(lambda: not self.broker.troubles())

    # ── publications ────────────────────────────────────────────────────────────────────────────

    def publish(self, exchange: str, key: str, body: bytes = b"", **properties: Any) -> None:
        """Publish through the broker; the confirm is noted."""
        given = pika.BasicProperties(**properties)
        name = self.topology.name(exchange)
        self.broker.publisher.publish(name, key, given, body, lambda confirm: self.told.append((body, confirm)))

    async def confirmed(self, count: int) -> list[Confirm]:
        """Await that many confirms in all; returns them."""
        await until(lambda: len(self.told) >= count)
        return [confirm for _, confirm in self.told]
