"""Looking into a dead queue without disturbing it.

A look holds messages unacknowledged, in their order, and gives back those that nobody took away. Giving back counts
as a delivery before RabbitMQ 4.3, and a quorum queue drops a message that was delivered too often. Queues of the
registry have a limit that nobody reaches; for one that was declared otherwise, a message that comes near the default
limit is replaced by a fresh copy, behind the others, instead of being given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from pika import BasicProperties

from penstock.broker.ports import Confirm
from penstock.broker.session import Session
from penstock.errors import DeniedError, PenstockError, UnavailableError
from penstock.wire.headers import int_header

#: Deliveries that came to no end after which a message is replaced; RabbitMQ 4 drops it after 20.
REFRESH_AT: Final = 15
#: Most bytes of bodies that a look keeps.
MAX_KEPT_BYTES: Final = 256 * 1024 * 1024
#: AMQP's largest prefetch.
_MAX_PREFETCH: Final = 65_535
#: Seconds without a message after which somebody else must have taken the rest.
_QUIET_S: Final = 5.0
#: Messages that are given back with one frame: RabbitMQ 3.10 shuffles more than 32 of them.
_IN_ORDER: Final = 32
#: Pauses between questions whether what was given back is there again, in seconds.
_SEE_BACK_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
#: Copies that are published before their confirms are awaited.
_WINDOW: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A message of the dead queue that is held unacknowledged.

    Attributes:
        tag: Its delivery tag.
        exchange: The exchange that it came through last.
        routing_key: Its routing key.
        deliveries: How often it was handed out before without being taken away, as far as the broker counts that.
        properties: pika's properties; without any content when pika could not read them.
        body: The body; empty when it was not to be kept.
    """

    tag: int
    exchange: str
    routing_key: str
    deliveries: int
    properties: Any
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look saw.

    Attributes:
        ready: Messages that waited in the queue when it began; what others held is not among them.
        looked: How many of them were looked at.
        others: Others that took messages from the queue at that moment.
        full: Whether it ended early because the bodies were too many bytes.
    """

    ready: int
    looked: int
    others: int
    full: bool


class DeadQueue:
    """The dead queue of one queue, as one operator has it before him.

        async with DeadQueue(session, "stats", renewed) as dead: ...

    Args:
        session: The connection.
        queue: The queue's name, for instance `stats`.
        renewed: Routing key and headers of the fresh copy of a message.

    Leaving it gives back what is still held.
    """

    def __init__(self, session: Session, queue: str, renewed: Callable[[Held], tuple[str, Mapping[str, Any]]]) -> None:
        self._session = session
        self._queue = queue
        self._name = session.topology.dead_queue(queue)
        self._renewed = renewed
        self._channel: Any = None
        self._held: dict[int, Held] = {}

    async def __aenter__(self) -> Self:
        self._channel = await self._session.channel()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Give back what is held, and make sure that what was taken away is gone.

        Raises:
            UnavailableError: That is not known; what was taken away may still be there.
        """
        try:
            await self.give_back()
            await self._session.end(self._channel, f"the end at {self._name}")
        except UnavailableError:
            if kind is None:
                raise

    async def look(self, limit: int, wanted: Callable[[Held], bool]) -> Look:
        """Hold the first messages of the queue, in their order.

        Args:
            limit: Most messages.
            wanted: Called with each of them; whether its body is to be kept. Only then is it in `Held` afterwards.

        Raises:
            TopologyError: There is no such queue.
            DeniedError: The user may not read it.
            UnavailableError: The broker is gone or does not answer.
        """
        channel, what = self._channel, f"queue {self._name}"
        ready, others = await self._counts()
        target = min(ready, limit, _MAX_PREFETCH)
        if target <= 0:
            return Look(ready=ready, looked=0, others=others, full=False)
        seen = _Seen(target, wanted, self._held)
        await self._session.ask(
            channel, what, lambda callback: channel.basic_qos(prefetch_count=target, callback=callback)
        )
        channel.add_on_close_callback(lambda *_: seen.over.set())
        consuming = await self._session.ask(
            channel, what, lambda callback: channel.basic_consume(self._name, seen.take, callback=callback)
        )
        await seen.end()
        tag = consuming.method.consumer_tag
        await self._session.ask(channel, what, lambda callback: channel.basic_cancel(tag, callback=callback))
        return Look(ready=ready, looked=seen.count, others=others, full=seen.full)

    def take_away(self, held: Held) -> None:
        """The message is over: it leaves the queue.

        Raises:
            UnavailableError: The broker is gone; the message is in the queue still.
        """
        if not self._channel.is_open:
            raise UnavailableError(f"{self._name}: the connection to RabbitMQ was lost")
        del self._held[held.tag]
        self._channel.basic_ack(held.tag)

    async def replace(self, held: Held, routing_key: str, headers: Mapping[str, Any], body: bytes) -> bool:
        """Put another message in its place, behind the others; returns whether the broker took it.

        The old one leaves the queue once the new one is confirmed: a crash in between leaves both.
        """
        copy = like(held, headers)
        if await self._session.publish("dead", routing_key, copy, body) is not Confirm.ACKED:
            return False
        self.take_away(held)
        return True

    async def give_back(self) -> None:
        """Give back everything that is held, each message to its old place; a copy of it where that may lose it.

        Raises:
            DeniedError: The user may not publish the copies; everything was given back.
            UnavailableError: The broker is gone or does not answer; it takes back what was held.
        """
        near = [held for held in self._held.values() if held.deliveries >= REFRESH_AT and held.properties.headers]
        try:
            if near and not await self._has_our_limit():
                await self._refresh(near)
        finally:
            count = self._give_back()
        await self._see_back(count)

    async def _see_back(self, count: int) -> None:
        """Wait a moment until so many messages are in the queue again.

        The broker says nothing when it has taken messages back, and whoever looks before will not find them. Others
        may take them at once: hence no longer than a moment.
        """
        for pause_s in _SEE_BACK_S if count else ():
            if (await self._counts())[0] >= count:
                return
            await asyncio.sleep(pause_s)

    async def _counts(self) -> tuple[int, int]:
        """How many messages wait in the queue, and how many consumers it has."""
        there = await self._session.ask(
            self._channel,
            f"queue {self._name}",
            lambda callback: self._channel.queue_declare(self._name, passive=True, callback=callback),
        )
        return there.method.message_count, there.method.consumer_count

    def _give_back(self) -> int:
        tags = sorted(self._held)
        self._held.clear()
        if self._channel.is_open:
            for start in range(0, len(tags), _IN_ORDER):
                last = tags[start : start + _IN_ORDER][-1]
                self._channel.basic_nack(last, multiple=True, requeue=True)
        return len(tags)

    async def _refresh(self, near: list[Held]) -> None:
        try:
            for start in range(0, len(near), _WINDOW):
                window = near[start : start + _WINDOW]
                await asyncio.gather(*(self.replace(held, *self._renewed(held), held.body) for held in window))
        except DeniedError as error:
            raise DeniedError(
                f"{self._name} has another delivery limit than penstock gives it, and its messages come near: every "
                f"further look may lose some. They can be renewed by a user who may write to the exchange: {error}"
            ) from error

    async def _has_our_limit(self) -> bool:
        """Whether the queue has the arguments of the registry; False when this user may not find out."""
        [ours] = (row for row in self._session.topology.queues([self._queue]) if row.name == self._name)
        channel = await self._session.channel()
        try:
            await self._session.ask(
                channel,
                f"queue {self._name}",
                lambda callback: channel.queue_declare(
                    self._name, durable=True, arguments=dict(ours.arguments), callback=callback
                ),
            )
        except PenstockError:
            return False
        await self._session.end(channel, f"queue {self._name}")
        return True


class _Seen:
    """The messages of one look as they arrive."""

    def __init__(self, target: int, wanted: Callable[[Held], bool], held: dict[int, Held]) -> None:
        self._target = target
        self._wanted = wanted
        self._held = held
        self._kept_bytes = 0
        self.count = 0
        self.full = False
        self.over = asyncio.Event()

    def take(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """Hold one message more; its body only if that is wanted or a copy will be."""
        held = Held(
            tag=method.delivery_tag,
            exchange=method.exchange,
            routing_key=method.routing_key,
            deliveries=int_header(properties.headers or {}, "x-delivery-count") or 0,
            properties=properties,
            body=body,
        )
        # What still arrives after the end is held to be given back, and not shown.
        wanted = not self.over.is_set() and self._wanted(held)
        if wanted or held.deliveries >= REFRESH_AT:
            self._kept_bytes += len(body)
        else:
            held = replace(held, body=b"")
        self._held[held.tag] = held
        if self.over.is_set():
            return
        self.count += 1
        self.full = self._kept_bytes > MAX_KEPT_BYTES
        if self.full or self.count >= self._target:
            self.over.set()

    async def end(self) -> None:
        """Return when all have come, or no more do."""
        before = -1
        while not self.over.is_set() and before != self.count:
            before = self.count
            try:
                await asyncio.wait_for(self.over.wait(), _QUIET_S)
            except TimeoutError:
                continue
        self.over.set()


def like(held: Held, headers: Mapping[str, Any], **changes: Any) -> BasicProperties:
    """Properties of a message that stands in for a dead one: the same job, with these headers.

    The user_id stays behind, for the broker takes no other than the operator's own.
    """
    of = held.properties
    properties = {
        "content_type": of.content_type,
        "type": of.type,
        "message_id": of.message_id,
        "correlation_id": of.correlation_id,
        "reply_to": of.reply_to,
        "priority": of.priority,
        "delivery_mode": 2,
        "headers": dict(headers),
    }
    return BasicProperties(**{**properties, **changes})
