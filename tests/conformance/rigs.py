"""The two brokers that play the conformance suite."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import pika
from pika import exceptions

from penstock.broker.ports import Broker, Confirm
from penstock.broker.rabbitmq import RabbitMQ
from penstock.errors import DeniedError, TopologyError
from penstock.testing import MemoryBroker, MemoryServer
from penstock.testing.clock import Clock, FakeClock
from tests.conformance.stage import QUEUE, Features, Rig, Taken
from tests.helpers import management
from tests.helpers.forwarder import Direction, Forwarder
from tests.helpers.servers import need


class MemoryRig(Rig):
    """`penstock.testing`, as one version of RabbitMQ or another."""

    def __init__(self, version: str, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.server = MemoryServer(version=version, clock=clock)
        self._made: list[MemoryBroker] = []

    def make(self) -> Broker:
        made = MemoryBroker(self.server)
        self._made.append(made)
        return made

    @property
    def features(self) -> Features:
        return Features(free_nack=self.server.modern)

    def publish(self, exchange: str, key: str, body: bytes = b"", **properties: Any) -> Confirm:
        return self.server.publish(exchange, key, pika.BasicProperties(**properties), body)

    def take(self, queue: str) -> Taken | None:
        message = self.server.queues[queue].take()
        if message is None:
            return None
        properties = self.server.delivery_of(message)
        return Taken(message.exchange, message.routing_key, properties.headers or {}, properties, message.body)

    def ready(self, queue: str) -> int:
        return len(self.server.queues[queue].ready)

    def reply_queue(self, reply_to: str) -> str:
        name = self.topology.name(f"reply.{reply_to}")
        self.server.declare_queue(name, {}, [(self.topology.name("replies"), reply_to)])
        return name

    def limit(self, queue: str, length: int | None) -> None:
        self.server.queues[queue].max_length = length

    def delete(self, queue: str) -> None:
        self.server.delete_queue(queue)

    def redeclare(self, queue: str, arguments: dict[str, Any]) -> None:
        self.server.delete_queue(queue)
        self.server.declare_queue(queue, arguments)

    def lose(self) -> None:
        for broker in self._made:
            broker.lose()

    def hold_confirms(self) -> None:
        for broker in self._made:
            broker.hold_confirms()

    def restore(self) -> None:
        for broker in self._made:
            broker.restore()

    def elapse(self, seconds: float) -> None:
        if isinstance(self._clock, FakeClock):
            self._clock.advance(seconds)

    def close(self) -> None:
        pass


class RabbitRig(Rig):
    """A real RabbitMQ, with a forwarder between it and the brokers."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._forwarder = Forwarder(url)
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._open()
        self._limited = False

    def _open(self) -> Any:
        channel = self._connection.channel()
        channel.confirm_delivery()
        return channel

    def make(self) -> Broker:
        return RabbitMQ(self._forwarder.url, name="conformance")

    @property
    def features(self) -> Features:
        version = str(self._connection._impl.server_properties["version"])
        return Features(free_nack=[int(part) for part in version.split(".")[:2]] >= [4, 3])

    def publish(self, exchange: str, key: str, body: bytes = b"", **properties: Any) -> Confirm:
        try:
            self._channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)
        except exceptions.UnroutableError:
            return Confirm.RETURNED
        except exceptions.NackError:
            return Confirm.REFUSED
        except exceptions.ChannelClosedByBroker as error:
            self._channel = self._open()
            raise (TopologyError if error.reply_code == 404 else DeniedError)(error.reply_text) from error
        return Confirm.ACKED

    def take(self, queue: str) -> Taken | None:
        method, properties, body = self._channel.basic_get(queue, auto_ack=True)
        if method is None:
            return None
        return Taken(method.exchange, method.routing_key, properties.headers or {}, properties, body)

    def ready(self, queue: str) -> int:
        return int(self._channel.queue_declare(queue, passive=True).method.message_count)

    def reply_queue(self, reply_to: str) -> str:
        name = self.topology.name(f"reply.{reply_to}")
        self._channel.queue_declare(name, exclusive=True)
        self._channel.queue_bind(name, self.topology.name("replies"), reply_to)
        return name

    def limit(self, queue: str, length: int | None) -> None:
        path = f"/api/policies/%2F/{quote(self.topology.namespace)}"
        self._limited = length is not None
        if length is None:
            management.call("DELETE", path)
        else:
            pattern = "^" + queue.replace(".", "\\.") + "$"
            policy = {"pattern": pattern, "apply-to": "queues", "definition": {"max-length": length}}
            management.call("PUT", path, policy)

    def delete(self, queue: str) -> None:
        self._channel.queue_delete(queue)

    def redeclare(self, queue: str, arguments: dict[str, Any]) -> None:
        self._channel.queue_delete(queue)
        self._channel.queue_declare(queue, durable=True, arguments=arguments)

    def lose(self) -> None:
        self._forwarder.refuse()
        self._forwarder.cut()

    def hold_confirms(self) -> None:
        self._forwarder.stall([Direction.TO_CLIENT])

    def restore(self) -> None:
        self._forwarder.flow()
        self._forwarder.refuse(False)

    def elapse(self, seconds: float) -> None:
        """It passes by itself."""

    def close(self) -> None:
        if self._limited:
            self.limit("", None)
        for queue in self.topology.queues([QUEUE]):
            self._channel.queue_delete(queue.name)
        for exchange in self.topology.exchanges():
            self._channel.exchange_delete(exchange.name)
        self._connection.close()
        self._forwarder.close()


#: What each name in a test's id stands for.
MEMORY: dict[str, Callable[[Clock], Rig]] = {
    "memory as 3.10": partial(MemoryRig, "3.10.8"),
    "memory as 4.3": partial(MemoryRig, "4.3.6"),
}
NAMES = (*MEMORY, "RabbitMQ")


def new_rig(name: str, clock: Clock) -> Rig:
    """A rig by its name; the real one needs its URL and has the time of the world."""
    return MEMORY[name](clock) if name in MEMORY else RabbitRig(need("PENSTOCK_AMQP_URL"))
