"""A worker's connection to a broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from penstock.broker.ports import ConnectionState, OnCommand, OnMessage, Publisher
from penstock.domain.topology import Queue, Topology
from penstock.errors import TopologyError, UnavailableError
from penstock.testing.consumer import MemoryConsumer
from penstock.testing.listener import MemoryListener
from penstock.testing.publisher import MemoryPublisher
from penstock.testing.server import GUEST, MemoryServer


class MemoryBroker:
    """A Broker of broker/ports, without a network. It passes the suite that RabbitMQ passes.

    What goes to the broker arrives in a later turn of the loop, so that a lost connection can lose it.

    Args:
        server: What it connects to; several brokers may share one. Defaults to one of its own.
        user: As whom.
    """

    def __init__(self, server: MemoryServer | None = None, *, user: str = GUEST) -> None:
        self.server = server or MemoryServer()
        self.user = user
        self._publisher = MemoryPublisher(self.server, user=user, on_missing=self._mend)
        self.publisher: Publisher = self._publisher
        self._declare: Callable[[], None] | None = None
        self._consumers: list[MemoryConsumer] = []
        self._listeners: list[MemoryListener] = []
        self._connected = False
        self._consumes = False
        self._closed = False
        self._away = False

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    @property
    def version(self) -> str:
        """See Broker.version."""
        return self.server.version

    @property
    def gives_back_free(self) -> bool:
        """See Broker.gives_back_free."""
        return self.server.modern

    async def open(self, timeout_s: float) -> None:  # noqa: ARG002 -- nothing here takes time
        """See Broker.open."""
        if self._away:
            raise UnavailableError("no connection to the broker in memory: it is away")
        self._connect()

    async def see_to(self, topology: Topology, queues: Iterable[str], *, strict: bool) -> None:
        """See Broker.see_to."""
        if not self._connected:
            raise UnavailableError("no connection to the broker in memory")
        names = list(queues)
        if not strict:
            self._declare = lambda: self.server.declare(topology, names)
            self._declare()
        elif missing := self.server.missing(topology, names):
            raise TopologyError(f"the broker lacks {', '.join(missing)}")

    def consumer(self, queue: str, *, prefetch: int, on_message: OnMessage) -> MemoryConsumer:
        """See Broker.consumer."""
        made = MemoryConsumer(self.server, queue, prefetch=prefetch, on_message=on_message, on_missing=self._mend)
        self._consumers.append(made)
        if self._consumes and self._connected:
            made.connect()
        return made

    def listen(self, queue: Queue, on_command: OnCommand) -> MemoryListener:
        """See Broker.listen."""
        made = MemoryListener(self.server, queue, on_command=on_command, on_missing=self._mend)
        self._listeners.append(made)
        if self._consumes and self._connected:
            made.connect()
        return made

    def consume(self) -> None:
        """See Broker.consume."""
        self._consumes = True
        if self._connected:
            for each in self._takers():
                each.connect()

    def troubles(self) -> list[str]:
        """See Broker.troubles."""
        found = [] if self._connected else ["no connection to the broker in memory (consume)"]
        return found + ([self._publisher.trouble] if self._publisher.trouble else [])

    def connections(self) -> list[ConnectionState]:
        """See Broker.connections."""
        return []

    async def close(self) -> None:
        """See Broker.close."""
        self._closed = True
        self._disconnect("closed")

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    def lose(self) -> None:
        """Cut the connections: confirms and acks under way are lost, what is in hand is handed out again."""
        self._away = True
        self._disconnect("the connection is lost")

    def hold_confirms(self, hold: bool = True) -> None:  # noqa: FBT002 -- reads as a sentence
        """Hold back what the broker says of publications, until told otherwise or the connection is lost."""
        self._publisher.hold_confirms(hold)

    def restore(self) -> None:
        """Let the connections come back."""
        self._away = False
        if not self._closed:
            self._connect()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _takers(self) -> list[MemoryListener | MemoryConsumer]:
        """Listeners first, so that a job is known to be cancelled when it comes."""
        return [*self._listeners, *self._consumers]

    def _mend(self) -> None:
        """Something that was there is gone: declare it again, if that is this broker's business."""
        if self._declare is not None:
            self._declare()

    def _connect(self) -> None:
        self._connected = True
        self._publisher.connect()
        if self._consumes:
            for each in self._takers():
                each.connect()

    def _disconnect(self, why: str) -> None:
        self._connected = False
        self._publisher.disconnect()
        for each in self._takers():
            each.disconnect(why)
