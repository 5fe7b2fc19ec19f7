"""Hearing commands: an exclusive queue of this worker's own on an exchange that everybody hears."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from pika import exceptions

from penstock.broker.backoff import backoff
from penstock.broker.ports import OnCommand
from penstock.broker.raw import RawConnection
from penstock.domain.topology import Queue
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: Longest wait in seconds before a channel that is closed is opened again: what a user may not do now stays so.
_REOPEN_CAP_S: Final = 30.0
_NOT_FOUND: Final = 404
#: Whatever a virtual host makes of a queue without a type: exclusive ones are classic.
_ARGUMENTS: Final = {"x-queue-type": "classic"}


class Listener:
    """Hears commands over whatever connection there is.

    The queue dies with its connection. The broker may learn of that later than we do, so over each connection it has
    another name.

    Args:
        queue: Its name on the first connection, and its bindings.
        on_command: Called with the properties of each command.
        on_missing: Called when the broker says that an exchange does not exist.
    """

    def __init__(self, queue: Queue, *, on_command: OnCommand, on_missing: Callable[[], None]) -> None:
        self._queue = queue
        self._on_command = on_command
        self._on_missing = on_missing
        self._connection: RawConnection | None = None
        self._channel: Any = None
        self._generation = 0
        self._tries = 0
        self._stopped = False
        self._listening = False
        self._why: str | None = None

    @property
    def listening(self) -> bool:
        """See Listener.listening of the ports."""
        return self._listening and self._channel is not None and bool(self._channel.is_open)

    @property
    def trouble(self) -> str | None:
        """See Listener.trouble of the ports."""
        return None if self.listening else self._why

    def attach(self, connection: RawConnection) -> None:
        """Listen over this connection from now on."""
        self._connection = connection
        self._generation += 1
        self._tries = 0
        self._open(connection)

    def stop(self) -> None:
        """Listen no more, for good; stopping twice is fine."""
        self._stopped = True

    def _open(self, connection: RawConnection) -> None:
        if connection is self._connection and connection.is_open and not self._stopped:
            self._listening = False
            connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Any) -> None:
        """Declare, bind and consume, one after the other; a refusal of any of them closes the channel."""
        self._channel = channel
        channel.add_on_close_callback(self._closed)
        channel.add_on_cancel_callback(lambda _: channel.close())  # the queue was deleted
        name = self._queue.name if self._generation == 1 else f"{self._queue.name}-{self._generation}"

        def declared(_: Any) -> None:
            for exchange, key in self._queue.bindings:
                channel.queue_bind(name, exchange, key, callback=bound)

        def bound(_: Any) -> None:
            channel.basic_consume(name, self._heard, auto_ack=True, callback=consuming)

        def consuming(_: Any) -> None:
            if channel is self._channel:
                self._listen()

        channel.queue_declare(name, exclusive=True, arguments=dict(_ARGUMENTS), callback=declared)

    def _listen(self) -> None:
        self._listening = True
        self._tries = 0
        if self._why is not None:
            self._why = None
            _log.info("commands are heard", extra={"event": Event.CONTROL_LISTENING, "queue": self._queue.name})

    def _heard(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        try:
            self._on_command(properties)
        except Exception:  # noqa: BLE001 -- see below
            # A defect of ours may cost this command, not the connection and every job on it.
            _log.exception("a command could not be carried out")

    def _closed(self, channel: Any, reason: BaseException) -> None:
        if channel is not self._channel:
            return
        self._listening = False
        connection = self._connection
        if self._stopped or connection is None:
            return
        why = str(reason)
        if not connection.is_open:
            self._why = why
            return
        if why != self._why:
            _log.warning(
                "commands are not heard, so jobs cannot be cancelled here; it is tried again",
                extra={"event": Event.CONTROL_DEAF, "queue": self._queue.name, "reason": why},
            )
        self._why = why
        pause_s = backoff(self._tries, _REOPEN_CAP_S)
        self._tries += 1
        asyncio.get_running_loop().call_later(pause_s, self._open, connection)
        if isinstance(reason, exceptions.ChannelClosedByBroker) and reason.reply_code == _NOT_FOUND:
            self._on_missing()
