"""Taking jobs from a queue in memory, and settling them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from penstock.broker.ports import OnMessage
from penstock.domain.lane import PREFETCH_SHORT_JOBS
from penstock.domain.timer import Timer
from penstock.testing.messages import Handed, Message
from penstock.testing.queues import MemoryQueue, Subscription
from penstock.testing.server import MemoryServer
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: Seconds before a channel that the broker closed is opened again.
_REOPEN_S: Final = 1.0


class MemoryChannel:
    """One generation of a queue's channel. What it sends arrives in the next turn of the loop, or not at all."""

    def __init__(
        self, server: MemoryServer, queue: MemoryQueue, on_message: OnMessage, on_settled: Callable[[], None]
    ) -> None:
        self.open = True
        self._on_settled = on_settled
        self._server = server
        self._queue = queue
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._last_tag = 0
        self._in_hand: dict[int, tuple[Subscription, Message]] = {}
        self._acks: list[int] = []

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    def ack(self, tag: int) -> None:
        """See Channel.ack."""
        if not self._acks:
            self._loop.call_soon(self.flush)
        self._acks.append(tag)

    def give_back(self, tag: int, *, counted: bool) -> None:
        """See Channel.give_back."""
        if (held := self._in_hand.pop(tag, None)) is not None:
            subscription, message = held
            counts = counted or not self._server.modern
            self._queue.give_back(subscription, [message], counted=counts)
            self._on_settled()

    # ── for the consumer ────────────────────────────────────────────────────────────────────────

    def subscribe(self, prefetch: int, cancelled: Callable[[], None]) -> Subscription:
        """Consume; every message gets a tag of this channel."""
        subscription = Subscription(prefetch, lambda message: self._hand_out(subscription, message), cancelled)
        self._queue.subscribe(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Consume no more; what is on its way still arrives."""
        self._queue.unsubscribe(subscription)

    @property
    def outstanding(self) -> int:
        """How many of its deliveries the broker waits for."""
        return len(self._in_hand)

    def flush(self) -> None:
        """Let the acks arrive."""
        acks, self._acks = self._acks, []
        for tag in acks:
            if (held := self._in_hand.pop(tag, None)) is not None:
                self._queue.acked(held[0])
        self._on_settled()

    def close(self) -> None:
        """End; everything that is not acked goes back to the queue, each counting as a delivery."""
        self.open = False
        self._acks.clear()
        held, self._in_hand = self._in_hand, {}
        for subscription, _ in held.values():
            self._queue.unsubscribe(subscription)
        for subscription, message in held.values():
            self._queue.give_back(subscription, [message], counted=True)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _hand_out(self, subscription: Subscription, message: Message) -> None:
        self._last_tag += 1
        self._in_hand[self._last_tag] = subscription, message
        method = Handed(
            exchange=message.exchange,
            routing_key=message.routing_key,
            delivery_tag=self._last_tag,
            redelivered=message.returns > 0,
        )
        properties = self._server.delivery_of(message)
        self._loop.call_soon(self._arrived, method, properties, message.body)

    def _arrived(self, method: Handed, properties: object, body: bytes) -> None:
        if not self.open:
            return
        try:
            self._on_message(self, method, properties, body)
        except Exception:  # noqa: BLE001 -- see below
            # As over a network: a defect of ours may cost this job a delivery, not everything behind it.
            _log.exception(
                "a delivery could not be taken in; it goes back to its queue",
                extra={"event": Event.JOB_GIVEN_BACK, "queue": self._queue.name},
            )
            self.give_back(method.delivery_tag, counted=True)


class MemoryConsumer:
    """Takes the jobs of one queue of a MemoryServer; a Consumer of broker/ports.

    Args:
        server: Where the queue is.
        queue: Its name.
        prefetch: Most jobs in hand.
        on_message: Called with each job.
        on_missing: Called when there is no such queue.
    """

    def __init__(
        self,
        server: MemoryServer,
        queue: str,
        *,
        prefetch: int,
        on_message: OnMessage,
        on_missing: Callable[[], None],
    ) -> None:
        self._server = server
        self._queue = queue
        self._prefetch = prefetch
        self._on_message = on_message
        self._on_missing = on_missing
        self._connected = False
        self._channel: MemoryChannel | None = None
        self._base: Subscription | None = None
        self._boost: Subscription | None = None
        self._confirmed = False
        self._stopped = False
        self._paused: str | None = None
        self._broken: str | None = "not connected"
        self._reopening: Timer | None = None

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    @property
    def consuming(self) -> bool:
        """See Consumer.consuming."""
        return self._confirmed and self._base is not None

    @property
    def trouble(self) -> str | None:
        """See Consumer.trouble."""
        if self._stopped:
            return "stopped"
        if self._paused is not None:
            return f"paused: {self._paused}"
        if self.consuming:
            return None
        if self._crowded:
            return "what is at hand is settled first"
        return self._broken or "the broker has not confirmed the consumer yet"

    def boost(self, wanted: bool) -> None:
        """See Consumer.boost."""
        if not self.consuming or wanted == (self._boost is not None) or self._channel is None:
            return
        if wanted and not self._crowded:
            self._boost = self._channel.subscribe(PREFETCH_SHORT_JOBS, self._cancelled)
        elif self._boost is not None:
            self._channel.unsubscribe(self._boost)
            self._boost = None

    def resize(self, prefetch: int) -> None:
        """See Consumer.resize."""
        if prefetch == self._prefetch:
            return
        self._prefetch = prefetch
        if self._base is not None:
            self._unsubscribe()
            self._subscribe()

    def pause(self, why: str) -> None:
        """See Consumer.pause."""
        self._paused = why
        self._unsubscribe()

    def resume(self) -> None:
        """See Consumer.resume."""
        if self._paused is not None:
            self._paused = None
            self._subscribe()

    def stop(self) -> None:
        """See Consumer.stop."""
        self._stopped = True
        self._unsubscribe()

    def flush(self) -> None:
        """See Consumer.flush."""
        if self._channel is not None:
            self._channel.flush()

    @property
    def _crowded(self) -> bool:
        """Whether subscriptions that have ended left more in hand than a new one would bring."""
        return self._channel is not None and self._channel.outstanding > self._prefetch

    # ── for the broker ──────────────────────────────────────────────────────────────────────────

    def connect(self) -> None:
        """The connection is there."""
        self._connected = True
        self._open()

    def disconnect(self, why: str) -> None:
        """The connection is gone, and with it the channel."""
        self._connected = False
        self._close(why)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        if not self._connected or self._channel is not None or self._stopped:
            return
        queue = self._server.queues.get(self._queue)
        if queue is None:
            self._close(f"the channel is closed: no queue {self._queue!r}")
            self._reopen_later()
            self._on_missing()
            return
        self._channel = MemoryChannel(self._server, queue, self._on_message, self._subscribe)
        self._broken = None
        self._subscribe()

    def _subscribe(self) -> None:
        """Consume, unless nobody wants to, somebody does, or what is in hand comes first."""
        if self._channel is None or self._base is not None or self._stopped or self._paused is not None:
            return
        if self._crowded:
            return  # each settlement tries again
        self._base = self._channel.subscribe(self._prefetch, self._cancelled)
        self._confirmed = False
        asyncio.get_running_loop().call_soon(self._confirm, self._base)

    def _confirm(self, subscription: Subscription) -> None:
        if subscription is self._base:
            self._confirmed = True

    def _unsubscribe(self) -> None:
        for subscription in (self._base, self._boost):
            if self._channel is not None and subscription is not None:
                self._channel.unsubscribe(subscription)
        self._base = self._boost = None

    def _cancelled(self) -> None:
        """The broker ended a consumer: nothing on its channel may be acked any more, so the channel goes too."""
        _log.error(
            "the broker cancelled the consumer; the channel is opened anew",
            extra={"event": Event.AMQP_CONSUMER_CANCELLED, "queue": self._queue},
        )
        if self._channel is not None:
            self._close("the broker cancelled the consumer")
            self._reopen_later()

    def _reopen_later(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        self._reopening = self._server.clock.call_later(_REOPEN_S, self._open)

    def _close(self, why: str) -> None:
        self._unsubscribe()
        channel, self._channel = self._channel, None
        self._broken = why
        if channel is not None:
            channel.close()
