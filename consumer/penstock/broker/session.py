"""An operator's connection: one question after the other, and the first trouble ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Self

from pika import BasicProperties, exceptions, spec

from penstock.broker.connection import Connection
from penstock.broker.ports import Confirm
from penstock.domain.topology import Topology
from penstock.errors import DeniedError, PenstockError, TopologyError, UnavailableError
from penstock.wire.registry import NAMESPACE

#: Seconds to reach the broker, and for one answer of it.
_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 30.0
_NOT_FOUND, _ACCESS_REFUSED = 404, 403

OnReply = Callable[[Any, bytes], None]


class Session:
    """Channels of one connection that is not mended: whoever works on it holds deliveries that die with it.

        async with Session(url, name="penstock dead") as session: ...

    Args:
        url: Where to connect.
        name: What the broker shows as the connection's name.
        namespace: Prefix of exchanges and queues.
    """

    def __init__(self, url: str, *, name: str, namespace: str = NAMESPACE) -> None:
        self.topology = Topology(namespace)
        self._connection = Connection(url, name=name, label="admin", on_open=lambda _: None)
        self._publishing: Any = None
        self._opening = asyncio.Lock()
        self._unconfirmed: dict[int, tuple[str | None, asyncio.Future[Confirm]]] = {}
        self._returned: set[str | None] = set()
        self._published = 0

    async def __aenter__(self) -> Self:
        await self._connection.open(_CONNECT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    @property
    def user(self) -> str:
        """The user that the broker knows."""
        return self._connection.user

    # ── questions ───────────────────────────────────────────────────────────────────────────────

    async def channel(self) -> Any:
        """A new channel; when the broker closes it, every question that is open on the session fails.

        Raises:
            UnavailableError: The broker is gone or does not answer.
        """
        answer = self._question("a channel")
        self._connection.current.channel(on_open_callback=lambda opened: _give(answer, opened))
        return await self._await(answer)

    async def ask(self, channel: Any, what: str, start: Callable[..., Any]) -> Any:
        """The answer to one of pika's requests: `start` is called with its `callback`.

        Args:
            channel: Where it is asked.
            what: What it is about, for messages.
            start: The request.

        Raises:
            TopologyError: The object does not exist, or has other arguments.
            DeniedError: The user may not do this.
            UnavailableError: The broker is gone or does not answer.
        """
        answer = self._question(what, channel)
        channel.add_on_close_callback(lambda _, reason: _fail(answer, _translated(reason, what)))
        start(callback=lambda frame=None: _give(answer, frame))
        return await self._await(answer)

    async def end(self, channel: Any, what: str) -> None:
        """Close a channel and await that the broker has done all that was asked on it.

        Raises:
            UnavailableError: It is not known to have.
        """
        answer = self._question(what, channel)
        channel.add_on_close_callback(lambda _, reason: _give(answer, reason))
        channel.close()
        reason = await self._await(answer)
        if not isinstance(reason, exceptions.ChannelClosedByClient):
            raise _translated(reason, what)

    def _question(self, what: str, channel: Any = None) -> asyncio.Future[Any]:
        if not self._connection.up or (channel is not None and not channel.is_open):
            raise UnavailableError(f"{what}: the connection to RabbitMQ was lost")
        return asyncio.get_running_loop().create_future()

    @staticmethod
    async def _await(answer: asyncio.Future[Any]) -> Any:
        try:
            return await asyncio.wait_for(answer, _ANSWER_S)
        except TimeoutError:
            raise UnavailableError(f"RabbitMQ did not answer within {_ANSWER_S:g} s") from None

    # ── publishing ──────────────────────────────────────────────────────────────────────────────

    async def publish(self, exchange: str, routing_key: str, properties: BasicProperties, body: bytes) -> Confirm:
        """Publish, mandatory and persistent, and await what the broker says of it.

        Args:
            exchange: Its name without the namespace.
            routing_key: The key.
            properties: Its message_id tells what comes back from what does not.
            body: The body.

        Raises:
            DeniedError: The user may not publish there.
            UnavailableError: The broker is gone or does not answer: the message was taken or not.
        """
        async with self._opening:
            if self._publishing is None:
                self._publishing = await self._open_publishing()
        answer = self._question(f"publishing to {exchange}", self._publishing)
        self._published += 1
        self._unconfirmed[self._published] = (properties.message_id, answer)
        self._publishing.basic_publish(
            self.topology.name(exchange), routing_key, body, properties=properties, mandatory=True
        )
        confirm: Confirm = await self._await(answer)
        return confirm

    async def _open_publishing(self) -> Any:
        channel = await self.channel()
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_publishing_closed)
        await self.ask(
            channel, "confirms", lambda callback: channel.confirm_delivery(self._on_confirm, callback=callback)
        )
        return channel

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        # The broker sends the return of a message right before its ack.
        self._returned.add(properties.message_id)

    def _on_confirm(self, frame: Any) -> None:
        last, refused = int(frame.method.delivery_tag), isinstance(frame.method, spec.Basic.Nack)
        tags = [tag for tag in self._unconfirmed if tag <= last] if frame.method.multiple else [last]
        for tag in tags:
            message_id, answer = self._unconfirmed.pop(tag)
            if refused:
                _give(answer, Confirm.REFUSED)
            elif message_id in self._returned:
                self._returned.discard(message_id)
                _give(answer, Confirm.RETURNED)
            else:
                _give(answer, Confirm.ACKED)

    def _on_publishing_closed(self, _: Any, reason: BaseException) -> None:
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for _message_id, answer in unconfirmed.values():
            _fail(answer, _translated(reason, "publishing"))

    # ── replies ─────────────────────────────────────────────────────────────────────────────────

    async def listen(self, instance: str, on_reply: OnReply, on_lost: Callable[[], None]) -> str:
        """Take replies on an exclusive queue of this session; returns the reply_to to ask for.

        Args:
            instance: The queue is `reply.<user>.<instance>`.
            on_reply: Called with the properties and the body of each reply.
            on_lost: Called when no more replies will come.

        Raises:
            DeniedError: The user may not have a reply queue.
            UnavailableError: The broker is gone or does not answer.
        """
        reply_to = f"{self.user}.{instance}"
        queue = self.topology.name(f"reply.{reply_to}")
        channel = await self.channel()

        steps: tuple[Callable[..., Any], ...] = (
            lambda callback: channel.queue_declare(queue, exclusive=True, callback=callback),
            lambda callback: channel.queue_bind(queue, self.topology.name("replies"), reply_to, callback=callback),
            lambda callback: channel.basic_consume(
                queue, lambda *message: on_reply(*message[-2:]), auto_ack=True, callback=callback
            ),
        )
        for step in steps:
            await self.ask(channel, f"queue {queue}", step)
        channel.add_on_close_callback(lambda *_: on_lost())
        return reply_to


def _give(answer: asyncio.Future[Any], value: Any) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: asyncio.Future[Any], error: PenstockError) -> None:
    if not answer.done():
        answer.set_exception(error)


def _translated(reason: BaseException, what: str) -> PenstockError:
    if not isinstance(reason, exceptions.ChannelClosedByBroker):
        return UnavailableError(f"{what}: the connection to RabbitMQ was lost: {reason}")
    if reason.reply_code == _ACCESS_REFUSED:
        return DeniedError(f"{what}: RabbitMQ refuses this user the permission: {reason.reply_text}")
    if reason.reply_code == _NOT_FOUND:
        return TopologyError(f"{what} does not exist: {reason.reply_text}")
    return TopologyError(f"{what}: {reason.reply_text}")
