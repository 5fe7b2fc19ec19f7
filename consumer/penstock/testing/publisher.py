"""Publishing to a broker in memory; what is unknown when the connection goes is sent again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from penstock.broker.ports import Confirm
from penstock.errors import DeniedError, TopologyError
from penstock.testing.messages import Properties
from penstock.testing.server import MemoryServer

#: Seconds before a channel that the broker closed is opened again.
_REOPEN_S: Final = 1.0


@dataclass(slots=True, eq=False)
class _Publication:
    exchange: str
    routing_key: str
    properties: Properties
    body: bytes
    done: Callable[[Confirm], None]


class MemoryPublisher:
    """Publishes to a MemoryServer; a Publisher of broker/ports.

    A message leaves in the turn of the loop after it was published, and its confirm comes a turn later. A
    connection that is lost in between takes the confirm with it, and the message is published twice.

    Args:
        server: Where to.
        user: As whom.
        on_missing: Called when an exchange does not exist.
    """

    def __init__(self, server: MemoryServer, *, user: str, on_missing: Callable[[], None]) -> None:
        self._server = server
        self._user = user
        self._on_missing = on_missing
        self._connected = False
        self._closed: str | None = None
        self._unsent: deque[_Publication] = deque()
        self._unconfirmed: deque[_Publication] = deque()
        self._turning = False
        self._holding = False
        self._held: list[tuple[_Publication, Confirm]] = []

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    @property
    def pending(self) -> int:
        """See Publisher.pending."""
        return len(self._unsent) + len(self._unconfirmed)

    def publish(
        self, exchange: str, routing_key: str, properties: Any, body: bytes, done: Callable[[Confirm], None]
    ) -> None:
        """See Publisher.publish."""
        self._unsent.append(_Publication(exchange, routing_key, Properties.of(properties), body, done))
        self._turn()

    # ── for the broker ──────────────────────────────────────────────────────────────────────────

    @property
    def trouble(self) -> str | None:
        """Why nothing could be published now; None: it could."""
        if not self._connected:
            return "no connection to the broker in memory (publish)"
        return self._closed or ("the broker takes no messages: blocked" if self._server.blocked else None)

    def connect(self) -> None:
        """The connection is there; what is unknown or waits is sent."""
        self._connected, self._closed = True, None
        self._turn()

    def disconnect(self) -> None:
        """The connection is gone, with the confirms that were on their way."""
        self._connected = False
        self._holding = False
        self._held.clear()
        self._recall()

    def hold_confirms(self, hold: bool) -> None:
        """Let no confirm arrive, or those that were held and all others."""
        self._holding = hold
        held, self._held = self._held, []
        for publication, confirm in held:
            self._confirm(publication, confirm)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _turn(self) -> None:
        if self._unsent and not self._turning and self.trouble is None:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._send)
        elif self._unsent and self._server.blocked and self._connected:
            self._server.when_unblocked(self._turn)

    def _send(self) -> None:
        self._turning = False
        while self._unsent and self.trouble is None:
            publication = self._unsent[0]
            try:
                confirm = self._server.publish(
                    publication.exchange,
                    publication.routing_key,
                    publication.properties,
                    publication.body,
                    user=self._user,
                )
            except (TopologyError, DeniedError) as error:
                # The broker closes the channel. The message cannot be dropped, so it is tried again.
                self._closed = f"the channel is closed: {error}"
                self._recall()
                self._server.clock.call_later(_REOPEN_S, self._reopen)
                if isinstance(error, TopologyError):
                    self._on_missing()
                return
            self._unsent.popleft()
            self._unconfirmed.append(publication)
            asyncio.get_running_loop().call_soon(self._confirm, publication, confirm)
        self._turn()

    def _confirm(self, publication: _Publication, confirm: Confirm) -> None:
        if self._holding:
            self._held.append((publication, confirm))
        elif publication in self._unconfirmed:
            self._unconfirmed.remove(publication)
            publication.done(confirm)

    def _reopen(self) -> None:
        self._closed = None
        self._turn()

    def _recall(self) -> None:
        """The fate of what is unconfirmed will never be told: it is sent again, in its order."""
        self._unsent.extendleft(reversed(self._unconfirmed))
        self._unconfirmed.clear()
