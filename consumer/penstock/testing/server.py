"""The broker's side of a broker in memory: exchanges, queues and what goes between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from penstock.broker.ports import Confirm
from penstock.domain.topology import Topology
from penstock.errors import DeniedError, TopologyError
from penstock.testing.clock import Clock, LoopClock
from penstock.testing.messages import Message, Properties
from penstock.testing.queues import MemoryQueue, Subscription

#: The user of a fresh RabbitMQ.
GUEST: Final = "guest"


@dataclass(slots=True)
class _Exchange:
    type: str
    internal: bool
    alternate: str | None
    bindings: list[tuple[str, str]] = field(default_factory=list)


class MemoryServer:
    """A RabbitMQ without a network; any number of MemoryBrokers connect to it.

    It does what penstock relies on, in the way of the version that it says it is: topic and fanout exchanges,
    internal ones and alternates, quorum queues with delivery limits, messages that expire and dead letters.
    All of it belongs to one loop; nothing here may be called from another thread.

    Args:
        version: What it says it is. Defaults to 4.3.0, where a nack is free; before that every return counts.
        clock: For messages that expire. Defaults to the loop's time; a FakeClock makes a test of hours short.
    """

    def __init__(self, *, version: str = "4.3.0", clock: Clock | None = None) -> None:
        self.version = version
        self.clock = clock or LoopClock()
        #: From 4.3 a nack does not count, counts are carried to the dead queue, and headers tell of returns.
        self.modern = tuple(int(part) for part in version.split(".")[:2]) >= (4, 3)
        self.queues: dict[str, MemoryQueue] = {}
        self._exchanges: dict[str, _Exchange] = {}
        self._blocked = False
        self._on_unblock: list[Callable[[], None]] = []

    # ── what there is ───────────────────────────────────────────────────────────────────────────

    def declare(self, topology: Topology, queues: Iterable[str]) -> None:
        """Declare a namespace; what is there already stays as it is.

        Raises:
            TopologyError: A queue exists with other arguments.
        """
        for exchange in topology.exchanges():
            alternate = exchange.arguments.get("alternate-exchange")
            self._exchanges.setdefault(exchange.name, _Exchange(exchange.type, exchange.internal, alternate))
        for queue in topology.queues(queues):
            self.declare_queue(queue.name, queue.arguments, queue.bindings)

    def declare_queue(self, name: str, arguments: Any = None, bindings: Iterable[tuple[str, str]] = ()) -> MemoryQueue:
        """Declare a queue and bind it, by pairs of exchange and key.

        Raises:
            TopologyError: It exists with other arguments.
        """
        queue = self.queues.get(name)
        if queue is None:
            queue = MemoryQueue(name, arguments or {}, clock=self.clock, dead_letter=self._dead_letter)
            self.queues[name] = queue
        elif queue.arguments != dict(arguments or {}):
            raise TopologyError(f"queue {name} exists with other arguments")
        for exchange, key in bindings:
            bound = self._exchanges[exchange].bindings
            if (key, name) not in bound:
                bound.append((key, name))
        return queue

    def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it; its consumers are cancelled. None of that name is fine."""
        queue = self.queues.pop(name, None)
        if queue is None:
            return
        for exchange in self._exchanges.values():
            exchange.bindings = [binding for binding in exchange.bindings if binding[1] != name]
        queue.cancel_all()

    def has_exchange(self, name: str) -> bool:
        """Whether there is an exchange of this name."""
        return name in self._exchanges

    def missing(self, topology: Topology, queues: Iterable[str]) -> list[str]:
        """The exchanges and queues of a namespace that are not there."""
        exchanges = [f"exchange {one.name}" for one in topology.exchanges() if one.name not in self._exchanges]
        return exchanges + [f"queue {one.name}" for one in topology.queues(queues) if one.name not in self.queues]

    # ── in and out ──────────────────────────────────────────────────────────────────────────────

    def publish(
        self, exchange: str, routing_key: str, properties: Any = None, body: bytes = b"", *, user: str = GUEST
    ) -> Confirm:
        """Publish as a client does, mandatory and with a confirm.

        Args:
            exchange: "" is the default exchange, whose keys are the names of queues.
            routing_key: The key.
            properties: Properties, of this package's class or pika's; None: none.
            body: The bytes.
            user: Who is connected.

        Raises:
            TopologyError: There is no such exchange. A broker closes the channel.
            DeniedError: The exchange is internal, or the message names another user. A broker closes the channel.
        """
        sealed = Properties.of(properties)
        if exchange and exchange not in self._exchanges:
            raise TopologyError(f"no exchange {exchange!r}")
        if exchange and self._exchanges[exchange].internal:
            raise DeniedError(f"cannot publish to internal exchange {exchange!r}")
        if sealed.user_id is not None and sealed.user_id != user:
            raise DeniedError(f"user_id property set to {sealed.user_id!r} but authenticated user was {user!r}")
        names = self._route(exchange, routing_key)
        if not names:
            return Confirm.RETURNED
        taken = [
            self.queues[name].offer(
                Message(exchange=exchange, routing_key=routing_key, properties=Properties.of(sealed), body=body)
            )
            for name in names
        ]
        return Confirm.ACKED if all(taken) else Confirm.REFUSED

    def listen(self, queue: str, on_message: Callable[[Message], None]) -> Callable[[], None]:
        """Take every message of a queue, acked at once; returns how to stop."""
        source = self.queues[queue]
        subscription = Subscription(prefetch=1, deliver=on_message, cancelled=lambda: None, settles=False)
        source.subscribe(subscription)
        return lambda: source.unsubscribe(subscription)

    def delivery_of(self, message: Message) -> Properties:
        """The properties with which a message is handed out, as this version of RabbitMQ counts."""
        properties = Properties.of(message.properties)
        headers = properties.headers or {}
        if not self.modern:
            headers["x-delivery-count"] = message.counted
        elif message.returns:
            headers.update({"x-acquired-count": message.returns, "x-delivery-count": message.counted})
        properties.headers = headers or None
        return properties

    # ── a resource alarm ────────────────────────────────────────────────────────────────────────

    @property
    def blocked(self) -> bool:
        """Whether nothing is taken from publishers."""
        return self._blocked

    def block(self) -> None:
        """Take nothing more from connected publishers, as under an alarm of memory or disk."""
        self._blocked = True

    def unblock(self) -> None:
        """Go on."""
        self._blocked = False
        waiting, self._on_unblock = self._on_unblock, []
        for call in waiting:
            call()

    def when_unblocked(self, call: Callable[[], None]) -> None:
        """Call back once, when the alarm is over."""
        self._on_unblock.append(call)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _route(self, exchange: str, key: str) -> list[str]:
        """The queues that a message goes to, each once, by way of alternates where there is none."""
        if not exchange:
            return [key] if key in self.queues else []
        found = self._exchanges.get(exchange)
        if found is None:
            return []
        everything = found.type == "fanout"
        fitting = (name for pattern, name in found.bindings if everything or matches(pattern, key))
        names = list(dict.fromkeys(fitting))
        return names or (self._route(found.alternate, key) if found.alternate else [])

    def _dead_letter(self, queue: MemoryQueue, message: Message, reason: str) -> bool:
        """Publish a message that its queue gives up; returns whether every queue on its way took it."""
        exchange = queue.arguments.get("x-dead-letter-exchange")
        if exchange is None:
            return False
        key = queue.arguments.get("x-dead-letter-routing-key", message.routing_key)
        names = self._route(exchange, key)
        properties = Properties.of(message.properties)
        properties.headers = self._with_death(queue, message, reason)
        properties.expiration = None
        taken = [
            self.queues[name].offer(
                Message(
                    exchange=exchange,
                    routing_key=key,
                    properties=Properties.of(properties),
                    body=message.body,
                    returns=message.returns if self.modern else 0,
                    counted=message.counted if self.modern else 0,
                )
            )
            for name in names
        ]
        return bool(taken) and all(taken)

    def _with_death(self, queue: MemoryQueue, message: Message, reason: str) -> dict[str, Any]:
        """The headers of a dead message: its deaths so far, by queue and reason, the newest first."""
        headers = dict(message.headers)
        deaths = [dict(death) for death in headers.get("x-death", [])]
        same = next((one for one in deaths if (one["queue"], one["reason"]) == (queue.name, reason)), None)
        if same is None:
            same = {
                "count": 0,
                "reason": reason,
                "queue": queue.name,
                "time": datetime.now(UTC).replace(microsecond=0),
                "exchange": message.exchange,
                "routing-keys": [message.routing_key],
            }
            if message.properties.expiration is not None:
                same["original-expiration"] = message.properties.expiration
        same["count"] += 1
        headers["x-death"] = [same, *(one for one in deaths if one is not same)]
        place = {"exchange": message.exchange, "queue": queue.name, "reason": reason}
        for name, value in place.items():
            headers.setdefault(f"x-first-death-{name}", value)
            if self.modern:
                headers[f"x-last-death-{name}"] = value
        return headers


def matches(pattern: str, key: str) -> bool:
    """Whether a binding's pattern of a topic exchange matches a key: `*` is one word, `#` any number of them."""
    return _matches(pattern.split("."), key.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_matches(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _matches(rest, words[1:])
