"""What a worker needs of a broker: RabbitMQ is one, `penstock.testing` has another, and one suite holds for both.

A message arrives as four things, as pika gives them: the channel on which it is settled, its method (`exchange`,
`routing_key`, `delivery_tag`, `redelivered`), its properties and its body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, NamedTuple, Protocol

from penstock.domain.topology import Queue, Topology


class Confirm(Enum):
    """What the broker said of a message."""

    ACKED = "acked"
    #: Acked, and returned first: no queue took it.
    RETURNED = "returned"
    #: Nacked: the broker did not take it.
    REFUSED = "refused"


class Channel(Protocol):
    """Where deliveries are settled. Settling one of a channel that is gone does nothing: it is handed out again."""

    @property
    def open(self) -> bool:
        """Whether its deliveries can still be settled."""
        ...

    def ack(self, tag: int) -> None:
        """The job is over."""
        ...

    def give_back(self, tag: int, *, counted: bool) -> None:
        """Return the job to its queue; `counted`: against the delivery limit, on every version."""
        ...


class Consumer(Protocol):
    """Takes the jobs of one queue over whatever connection there is."""

    @property
    def consuming(self) -> bool:
        """Whether the broker has confirmed the consumer and nothing has ended it."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why nothing is consumed at the moment; None while all is well."""
        ...

    def boost(self, wanted: bool) -> None:
        """Add or remove the large prefetch for short jobs."""
        ...

    def resize(self, prefetch: int) -> None:
        """Have at most so many jobs in hand from now on; a boost ends, and nothing that is in hand is harmed.

        While more than that is in hand, none is asked for.
        """
        ...

    def pause(self, why: str) -> None:
        """Ask for no more jobs until `resume`; those at hand can still be settled. Pausing twice is fine."""
        ...

    def resume(self) -> None:
        """Ask for jobs again."""
        ...

    def stop(self) -> None:
        """Ask for no more jobs, for good; those at hand can still be settled. Stopping twice is fine."""
        ...

    def flush(self) -> None:
        """Send every pending ack."""
        ...


class Publisher(Protocol):
    """Publishes with confirms."""

    @property
    def pending(self) -> int:
        """Messages whose fate is not known yet."""
        ...

    def publish(
        self, exchange: str, routing_key: str, properties: Any, body: bytes, done: Callable[[Confirm], None]
    ) -> None:
        """Publish, mandatory; `done` is called once, with a fact, however many connections that takes."""
        ...


OnMessage = Callable[[Any, Any, Any, bytes], None]
#: Takes the properties of a command; commands have no body.
OnCommand = Callable[[Any], None]


class Listener(Protocol):
    """Hears commands over whatever connection there is. One that is sent while there is none is not heard."""

    @property
    def listening(self) -> bool:
        """Whether commands are heard."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why they are not; None while all is well, and as long as it is not known."""
        ...


class ConnectionState(NamedTuple):
    """One connection, for the metrics page."""

    #: `consume` or `publish`.
    label: str
    up: bool
    #: Whether the broker takes no messages over it at the moment (memory or disk alarm).
    blocked: bool
    #: How often it was opened, the first time included.
    opened: int


class Broker(Protocol):
    """A connection to a broker that comes back by itself.

    Attributes:
        user: The user that the broker knows.
        publisher: For copies and replies.
    """

    user: str
    publisher: Publisher

    @property
    def version(self) -> str:
        """The broker's version, for instance `3.10.8`; `?` when it is not known."""
        ...

    @property
    def gives_back_free(self) -> bool:
        """Whether a job can be given back without a delivery being counted (RabbitMQ from 4.3)."""
        ...

    async def open(self, timeout_s: float) -> None:
        """Connect, trying again for at most `timeout_s` seconds.

        Raises:
            UnavailableError: Nobody answered in time.
            DeniedError: The broker refuses the user, its password or the virtual host; not tried again.
        """
        ...

    async def see_to(self, topology: Topology, queues: Iterable[str], *, strict: bool) -> None:
        """Declare the topology, or with `strict` make sure that it is there.

        Raises:
            TopologyError: Something is missing (strict) or has other arguments.
            DeniedError: The user may not configure it.
            UnavailableError: The broker does not answer.
        """
        ...

    def consumer(self, queue: str, *, prefetch: int, on_message: OnMessage) -> Consumer:
        """A consumer of the queue with this full name; it begins with `consume`."""
        ...

    def listen(self, queue: Queue, on_command: OnCommand) -> Listener:
        """A listener on an exclusive queue of its own, declared and bound by it; it begins with `consume`.

        The queue's name is a prefix: over a later connection it is continued, because the old queue may still be there.
        """
        ...

    def consume(self) -> None:
        """Start all consumers and listeners, now and over every later connection."""
        ...

    def troubles(self) -> list[str]:
        """Why jobs could not be taken or settled now, one reason each; empty: they could."""
        ...

    def connections(self) -> list[ConnectionState]:
        """Its connections; none for a broker in memory."""
        ...

    async def close(self) -> None:
        """Close for good; what is not settled is handed out again. Closing twice is fine."""
        ...
