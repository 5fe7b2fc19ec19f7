"""Hearing commands from a broker in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from penstock.broker.ports import OnCommand
from penstock.domain.topology import Queue
from penstock.testing.messages import Message
from penstock.testing.server import MemoryServer

_log = logging.getLogger(__name__)


class MemoryListener:
    """A Listener of broker/ports; its queue is there while it is connected.

    Args:
        server: Where the exchange is.
        queue: Its name on the first connection, and its bindings.
        on_command: Called with the properties of each command.
        on_missing: Called when an exchange does not exist.
    """

    def __init__(
        self, server: MemoryServer, queue: Queue, *, on_command: OnCommand, on_missing: Callable[[], None]
    ) -> None:
        self._server = server
        self._queue = queue
        self._on_command = on_command
        self._on_missing = on_missing
        self._generation = 0
        self._name: str | None = None
        self._why: str | None = None

    @property
    def listening(self) -> bool:
        """See Listener.listening."""
        return self._name is not None and self._name in self._server.queues

    @property
    def trouble(self) -> str | None:
        """See Listener.trouble."""
        return None if self.listening else self._why

    def connect(self) -> None:
        """The connection is there."""
        if self._name is not None:
            return
        missing = [exchange for exchange, _ in self._queue.bindings if not self._server.has_exchange(exchange)]
        if missing:
            self._why = f"no exchange {missing[0]!r}"
            self._on_missing()
            return
        self._generation += 1
        name = self._name = self._queue.name if self._generation == 1 else f"{self._queue.name}-{self._generation}"
        self._server.declare_queue(name, {}, self._queue.bindings)
        self._server.listen(name, partial(self._arrives, name))

    def disconnect(self, why: str) -> None:
        """The connection is gone, and with it the queue and what is on its way."""
        self._why = why
        name, self._name = self._name, None
        if name is not None:
            self._server.delete_queue(name)

    def _arrives(self, name: str, message: Message) -> None:
        asyncio.get_running_loop().call_soon(self._heard, name, message)

    def _heard(self, name: str, message: Message) -> None:
        if name != self._name:
            return
        try:
            self._on_command(self._server.delivery_of(message))
        except Exception:  # noqa: BLE001 -- see below
            # As over a network: a defect of ours may cost this command, not everything behind it.
            _log.exception("a command could not be carried out")
