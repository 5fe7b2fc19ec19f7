"""Publishing with confirms: every message ends acked, returned or refused; what is unknown is sent again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pika import BasicProperties, exceptions, spec

from penstock.broker.backoff import backoff
from penstock.broker.ports import Confirm
from penstock.broker.raw import RawConnection
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: Longest wait in seconds before a channel that the broker closed is opened again.
_REOPEN_CAP_S: Final = 5.0
#: Seconds without a confirm, while some are due, after which the broker is said to be stuck.
_STUCK_S: Final = 5.0
_NOT_FOUND: Final = 404


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
        """What a returned message has in common with those unconfirmed ones of which it may be one."""
        return self.exchange, self.routing_key, self.properties.correlation_id


class Publisher:
    """Publishes over whatever connection there is.

    A message whose confirm was lost with its connection is published again: it may then arrive twice, never not
    at all. `done` is therefore called once, with a fact. What waits here is bounded by the jobs at hand.

    The broker answers a message that it will not have (no such exchange, no permission) by closing the channel, and
    does not say which one it was. So after that the unconfirmed ones are suspects and are sent one by one; the one
    that closes the channel again is refused, and the others lose nothing but time.

    Args:
        on_missing: Called when the broker says that an exchange does not exist.
    """

    def __init__(self, on_missing: Callable[[], None] | None = None) -> None:
        self._on_missing = on_missing
        self._connection: RawConnection | None = None
        self._channel: Any = None
        self._unconfirmed: dict[int, Publication] = {}
        self._waiting: deque[Publication] = deque()
        #: How many came back whose confirm is still to come: items and the result of a job have one key.
        self._returned: Counter[tuple[str, str, str | None]] = Counter()
        self._suspects = 0
        self._next_tag = 1
        self._tries = 0
        self._heard_at = 0.0
        self._why = "not connected yet"
        self._stopped = False

    @property
    def ready(self) -> bool:
        """Whether a message would leave now."""
        return self._channel is not None and bool(self._channel.is_open)

    @property
    def pending(self) -> int:
        """Messages whose fate is not known yet."""
        return len(self._unconfirmed) + len(self._waiting)

    @property
    def trouble(self) -> str | None:
        """Why messages are not confirmed at the moment; None while all is well."""
        if not self.ready:
            return f"RabbitMQ: the publishing channel is not open ({self._why})"
        silent_s = time.monotonic() - self._heard_at
        if self._unconfirmed and silent_s > _STUCK_S:
            return f"RabbitMQ has confirmed no message for {silent_s:.0f} s"
        return None

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
        if self._suspects or self._waiting or not self.ready:
            self._waiting.append(publication)
        else:
            self._send(publication)

    def _send(self, publication: Publication) -> None:
        if not self._unconfirmed:
            self._heard_at = time.monotonic()
        self._unconfirmed[self._next_tag] = publication
        self._next_tag += 1
        self._channel.basic_publish(
            publication.exchange,
            publication.routing_key,
            publication.body,
            publication.properties,
            mandatory=True,
        )

    def _send_waiting(self) -> None:
        """Send what waits, in order; a suspect only when nothing else is under way."""
        while self._waiting and not (self._suspects and self._unconfirmed):
            self._send(self._waiting.popleft())

    # ── the channel ─────────────────────────────────────────────────────────────────────────────

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
        self._waiting.extendleft(reversed(self._unconfirmed.values()))
        self._unconfirmed, self._returned = {}, Counter()
        self._next_tag = 1
        self._channel = channel
        self._send_waiting()

    def _closed(self, channel: Any, reason: BaseException) -> None:
        if self._channel is not None and channel is not self._channel:
            return
        self._channel = None
        self._why = str(reason)
        connection = self._connection
        if self._stopped or connection is None or not connection.is_open:
            self._suspects = 0
            return
        _log.error(
            "the broker closed the publishing channel; it is opened anew",
            extra={"event": Event.AMQP_DISCONNECTED, "connection": "publish", "reason": self._why},
        )
        asyncio.get_running_loop().call_later(backoff(self._tries, _REOPEN_CAP_S), self._reopen, connection)
        self._tries += 1
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            if reason.reply_code == _NOT_FOUND and self._on_missing is not None:
                self._on_missing()
            self._suspect()

    def _suspect(self) -> None:
        """One of the unconfirmed messages is what the broker closed the channel for."""
        if len(self._unconfirmed) != 1:
            self._suspects = len(self._unconfirmed)
            return
        (publication,) = self._unconfirmed.values()
        self._unconfirmed = {}
        self._suspects = max(0, self._suspects - 1)
        publication.done(Confirm.REFUSED)

    # ── what the broker says ────────────────────────────────────────────────────────────────────

    def _on_return(self, channel: Any, method: Any, properties: Any, _: bytes) -> None:
        if channel is not self._channel:
            return
        # The broker sends the return of a message right before its ack.
        self._returned[method.exchange, method.routing_key, properties.correlation_id] += 1

    def _on_confirm(self, channel: Any, frame: Any) -> None:
        if channel is not self._channel:
            return  # tags of an earlier channel mean other messages now
        self._heard_at = time.monotonic()
        self._tries = 0
        for publication in self._named(frame.method):
            self._finish(publication, refused=isinstance(frame.method, spec.Basic.Nack))
        if self._suspects:
            self._suspects -= 1  # it was under way alone
            self._send_waiting()

    def _named(self, method: Any) -> list[Publication]:
        """Take out the messages that an answer of the broker's names."""
        tag = int(method.delivery_tag)
        tags = [tag]
        if method.multiple:  # tags are in the order of publication
            tags = list(itertools.takewhile(lambda unconfirmed: unconfirmed <= tag, self._unconfirmed))
        return [self._unconfirmed.pop(tag) for tag in tags if tag in self._unconfirmed]

    def _finish(self, publication: Publication, *, refused: bool) -> None:
        confirm = Confirm.REFUSED if refused else Confirm.ACKED
        if not refused and self._returned and publication.key in self._returned:
            self._returned -= Counter([publication.key])  # what is left of none is gone
            confirm = Confirm.RETURNED
        try:
            publication.done(confirm)
        except Exception:  # noqa: BLE001 -- see below
            # A defect of ours in one settlement must not stop those that the same answer names.
            _log.exception(
                "a confirmed message could not be settled; its job will be redelivered",
                extra={"event": Event.JOB_SETTLEMENT_DEFERRED, "job_id": publication.properties.correlation_id},
            )
