"""Publishing with confirms: every message ends acked, returned or refused; what is unknown is sent again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pika import BasicProperties, spec

from penstock.broker.ports import Confirm
from penstock.broker.raw import RawConnection
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: Seconds before a channel that the broker closed is opened again.
_REOPEN_S: Final = 1.0


@dataclass(slots=True)
class Publication:
    """A message and whom to tell of its fate."""

    exchange: str
    routing_key: str
    properties: BasicProperties
    body: bytes
    done: Callable[[Confirm], None]

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What identifies a returned message among those that are unconfirmed."""
        return self.exchange, self.routing_key, self.properties.correlation_id


class Publisher:
    """Publishes over whatever connection there is.

    A message whose confirm was lost with its connection is published again: it may then arrive twice, never not
    at all. `done` is therefore called once, with a fact. What waits here is bounded by the jobs at hand.
    """

    def __init__(self) -> None:
        self._connection: RawConnection | None = None
        self._channel: Any = None
        self._unconfirmed: dict[int, Publication] = {}
        self._waiting: list[Publication] = []
        self._returned: set[tuple[str, str, str | None]] = set()
        self._next_tag = 1
        self._stopped = False

    @property
    def ready(self) -> bool:
        """Whether a message would leave now."""
        return self._channel is not None and bool(self._channel.is_open)

    @property
    def pending(self) -> int:
        """Messages whose fate is not known yet."""
        return len(self._unconfirmed) + len(self._waiting)

    def attach(self, connection: RawConnection) -> None:
        """Publish over this connection from now on."""
        self._connection = connection
        self._open()

    def stop(self) -> None:
        """Open no channel any more."""
        self._stopped = True

    def publish(
        self,
        exchange: str,
        routing_key: str,
        properties: BasicProperties,
        body: bytes,
        done: Callable[[Confirm], None],
    ) -> None:
        """Publish, mandatory; `done` is called when the broker has spoken."""
        publication = Publication(exchange, routing_key, properties, body, done)
        if self.ready:
            self._send(publication)
        else:
            self._waiting.append(publication)

    def _send(self, publication: Publication) -> None:
        self._unconfirmed[self._next_tag] = publication
        self._next_tag += 1
        self._channel.basic_publish(
            publication.exchange,
            publication.routing_key,
            publication.body,
            publication.properties,
            mandatory=True,
        )

    def _open(self) -> None:
        connection = self._connection
        if not self._stopped and connection is not None and connection.is_open:
            connection.channel(on_open_callback=self._opened)

    def _reopen(self, connection: RawConnection) -> None:
        """Open a channel in place of one that was closed, unless a new connection has brought one meanwhile."""
        if connection is self._connection:
            self._open()

    def _opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(
            lambda frame: self._on_confirm(channel, frame), callback=lambda _: self._resume(channel)
        )

    def _resume(self, channel: Any) -> None:
        """Send again what is unconfirmed, in order, then what waited."""
        again = [*self._unconfirmed.values(), *self._waiting]
        self._unconfirmed, self._waiting, self._returned = {}, [], set()
        self._next_tag = 1
        self._channel = channel
        for publication in again:
            self._send(publication)

    def _on_return(self, channel: Any, method: Any, properties: Any, _: bytes) -> None:
        if channel is not self._channel:
            return
        # The broker sends the return of a message right before its ack.
        self._returned.add((method.exchange, method.routing_key, properties.correlation_id))

    def _on_confirm(self, channel: Any, frame: Any) -> None:
        if channel is not self._channel:
            return  # tags of an earlier channel mean other messages now
        method = frame.method
        refused = isinstance(method, spec.Basic.Nack)
        tag = int(method.delivery_tag)
        if not method.multiple:
            if (publication := self._unconfirmed.pop(tag, None)) is not None:
                self._finish(publication, refused)
            return
        # Tags are in the order of publication.
        tags = []
        for unconfirmed in self._unconfirmed:
            if unconfirmed > tag:
                break
            tags.append(unconfirmed)
        for confirmed in tags:
            self._finish(self._unconfirmed.pop(confirmed), refused)

    def _finish(self, publication: Publication, refused: bool) -> None:
        if refused:
            publication.done(Confirm.REFUSED)
        elif self._returned and publication.key in self._returned:
            self._returned.discard(publication.key)
            publication.done(Confirm.RETURNED)
        else:
            publication.done(Confirm.ACKED)

    def _closed(self, channel: Any, reason: BaseException) -> None:
        if self._channel is not None and channel is not self._channel:
            return
        self._channel = None
        connection = self._connection
        if not self._stopped and connection is not None and connection.is_open:
            _log.error(
                "the broker closed the publishing channel; it is opened anew",
                extra={"event": Event.AMQP_DISCONNECTED, "connection": "publish", "reason": str(reason)},
            )
            asyncio.get_running_loop().call_later(_REOPEN_S, self._reopen, connection)
