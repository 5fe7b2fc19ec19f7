"""RabbitMQ as a worker needs it: two connections, one publisher, a consumer for each queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, NamedTuple

from penstock.broker import declare
from penstock.broker.connection import Connection
from penstock.broker.consumer import Consumer
from penstock.broker.listener import Listener
from penstock.broker.ports import ConnectionState, OnCommand, OnMessage
from penstock.broker.ports import Publisher as PublisherPort
from penstock.broker.publisher import Publisher
from penstock.broker.raw import RawConnection
from penstock.domain.topology import Queue, Topology
from penstock.errors import PenstockError
from penstock.wire.registry import CONSUMER_TIMEOUT_MS, Event

_log = logging.getLogger(__name__)

#: From this version on a nack gives a job back without counting against its delivery limit.
_NACK_IS_FREE: Final = (4, 3)


class _Wanted(NamedTuple):
    """The topology that this worker was told to see to."""

    topology: Topology
    queues: list[str]
    strict: bool


class RabbitMQ:
    """A `Broker`.

    Jobs are taken and settled over one connection and everything is published over the other one: while an alarm
    blocks a connection over which something is published, the acks on it are not heeded either.

    Outside strict mode what somebody deletes while the worker runs is declared again.

    Args:
        url: `amqp://` or `amqps://`; the user is taken from it.
        name: What the broker shows as the connections' name, before `consume` and `publish`.
        consumer_timeout_ms: Longest time that a delivery may stay unacknowledged, in milliseconds; then the broker
            hands the job out again (RabbitMQ 4.3, older ones use their own setting). Defaults to an hour.

    Raises:
        UsageError: The URL is malformed.
    """

    def __init__(self, url: str, *, name: str, consumer_timeout_ms: int = CONSUMER_TIMEOUT_MS) -> None:
        self._publisher = Publisher(on_missing=self._mend)
        self._consume = Connection(url, name=f"{name} consume", label="consume", on_open=self._attach)
        self._publish = Connection(url, name=f"{name} publish", label="publish", on_open=self._publisher.attach)
        self._consumers: list[Consumer] = []
        self._listeners: list[Listener] = []
        self._consumer_timeout_ms = consumer_timeout_ms
        self._begun = False
        self._wanted: _Wanted | None = None
        self._mending: asyncio.Task[None] | None = None
        self.user = self._consume.user
        self.publisher: PublisherPort = self._publisher

    @property
    def version(self) -> str:
        """See Broker.version."""
        return self._consume.version

    @property
    def gives_back_free(self) -> bool:
        """See Broker.gives_back_free."""
        return _numbers(self.version) >= _NACK_IS_FREE

    async def open(self, timeout_s: float) -> None:
        """See Broker.open."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        for connection in (self._consume, self._publish):
            await connection.open(deadline - loop.time())

    async def see_to(self, topology: Topology, queues: Iterable[str], *, strict: bool) -> None:
        """See Broker.see_to."""
        self._wanted = _Wanted(topology, list(queues), strict)
        see_to = declare.verify if strict else declare.apply
        await see_to(self._consume.current, topology, self._wanted.queues)

    def consumer(self, queue: str, *, prefetch: int, on_message: OnMessage) -> Consumer:
        """See Broker.consumer."""
        made = Consumer(
            queue,
            prefetch=prefetch,
            on_message=on_message,
            on_missing=self._mend,
            timeout_ms=self._consumer_timeout_ms,
        )
        self._consumers.append(made)
        return made

    def listen(self, queue: Queue, on_command: OnCommand) -> Listener:
        """See Broker.listen."""
        made = Listener(queue, on_command=on_command, on_missing=self._mend)
        self._listeners.append(made)
        return made

    def consume(self) -> None:
        """See Broker.consume."""
        self._begun = True
        if self._consume.up:
            self._attach(self._consume.current)

    def troubles(self) -> list[str]:
        """See Broker.troubles."""
        reasons = [connection.trouble for connection in (self._consume, self._publish)]
        if self._publish.trouble is None:
            reasons.append(self._publisher.trouble)
        return [reason for reason in reasons if reason is not None]

    def connections(self) -> list[ConnectionState]:
        """See Broker.connections."""
        return [self._consume.state, self._publish.state]

    async def close(self) -> None:
        """See Broker.close."""
        self._publisher.stop()
        for consumer in self._consumers:
            consumer.stop()
        for listener in self._listeners:
            listener.stop()
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])
        await asyncio.gather(self._consume.close(), self._publish.close())

    def _attach(self, connection: RawConnection) -> None:
        """Consume over a new connection, once there are children to run what arrives."""
        if self._begun:
            # First, so that a job is known to be cancelled when it comes.
            for listener in self._listeners:
                listener.attach(connection)
            for consumer in self._consumers:
                consumer.attach(connection)

    def _mend(self) -> None:
        """Something that was there is gone: declare it again, if that is this worker's business."""
        wanted = self._wanted
        if wanted is None or wanted.strict or (self._mending is not None and not self._mending.done()):
            return
        self._mending = asyncio.create_task(self._declare(wanted), name="penstock-declare")

    async def _declare(self, wanted: _Wanted) -> None:
        _log.warning(
            "exchanges or queues are gone; they are declared again, without what was in them",
            extra={"event": Event.AMQP_CONSUMER_CANCELLED, "queues": wanted.queues},
        )
        try:
            await declare.apply(self._consume.current, wanted.topology, wanted.queues)
        except PenstockError as error:
            _log.error(str(error), extra={"event": Event.AMQP_CONSUMER_CANCELLED, "queues": wanted.queues})


def _numbers(version: str) -> tuple[int, ...]:
    """A version's leading numbers, for comparison: `4.3.6` is (4, 3, 6) and `?` is ()."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
