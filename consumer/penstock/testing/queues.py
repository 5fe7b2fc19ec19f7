"""A quorum queue in memory: what is given back comes first, what comes back too often goes to the dead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.domain.timer import Timer
from penstock.testing.clock import Clock
from penstock.testing.messages import Message

#: Seconds after which at-least-once dead-lettering offers what found no queue once more; RabbitMQ's own.
_STUCK_S: Final = 180.0


@dataclass(slots=True, eq=False)
class Subscription:
    """A consumer, as its queue sees it.

    Attributes:
        prefetch: Most messages that it has in hand.
        deliver: Takes a message.
        cancelled: Called when the queue ends it.
        settles: Whether it settles what it takes; False: that counts as acked at once.
        in_hand: Messages that it has not settled.
    """

    prefetch: int
    deliver: Callable[[Message], None]
    cancelled: Callable[[], None]
    settles: bool = True
    in_hand: int = 0


class MemoryQueue:
    """One queue, with the arguments that penstock declares.

    Args:
        name: Its name.
        arguments: As declared; those that mean nothing here are kept for the comparison of a second declaration.
        clock: For messages that expire.
        dead_letter: Publishes a dead message; returns whether a queue took it.
    """

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        clock: Clock,
        dead_letter: Callable[[MemoryQueue, Message, str], bool],
    ) -> None:
        self.name = name
        self.arguments = dict(arguments)
        #: Most messages that it takes before it refuses; None: no limit. An operator's policy in a real broker.
        self.max_length: int | None = None
        self._clock = clock
        self._dead_letter = dead_letter
        self._limit: int | None = arguments.get("x-delivery-limit")
        self._returned: deque[Message] = deque()
        self._fresh: deque[Message] = deque()
        self._stuck: list[tuple[Message, str]] = []
        self._unacked = 0
        self._subscriptions: deque[Subscription] = deque()
        self._timer: Timer | None = None
        self._timer_at: float | None = None

    @property
    def ready(self) -> list[Message]:
        """The messages that wait for a consumer, in the order in which they will be handed out."""
        return [*self._returned, *self._fresh]

    @property
    def unacked(self) -> int:
        """Messages that consumers have in hand."""
        return self._unacked

    @property
    def consumers(self) -> int:
        """How many consumers it has."""
        return len(self._subscriptions)

    # ── in ──────────────────────────────────────────────────────────────────────────────────────

    def offer(self, message: Message) -> bool:
        """Take a message; False: the queue is full."""
        held = len(self._returned) + len(self._fresh) + len(self._stuck) + self._unacked
        if self.max_length is not None and held >= self.max_length:
            return False
        lives_ms = [int(ms) for ms in (self.arguments.get("x-message-ttl"), message.properties.expiration) if ms]
        message.expires_at = self._clock.now() + min(lives_ms) / 1000 if lives_ms else None
        self._fresh.append(message)
        self._advance()
        return True

    # ── out ─────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, subscription: Subscription) -> None:
        """Add a consumer."""
        self._subscriptions.append(subscription)
        self._advance()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a consumer; what it has in hand stays with it."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def cancel_all(self) -> None:
        """End every consumer, as RabbitMQ does with those whose queue is deleted or that hold a job too long."""
        ended = list(self._subscriptions)
        self._subscriptions.clear()
        for subscription in ended:
            subscription.cancelled()

    def take(self) -> Message | None:
        """Remove the next message; None: there is none."""
        self._expire()
        return self._next() if self._returned or self._fresh else None

    def acked(self, subscription: Subscription) -> None:
        """A consumer is done with a message."""
        subscription.in_hand -= 1
        self._unacked -= 1
        self._advance()

    def give_back(self, subscription: Subscription, messages: list[Message], *, counted: bool) -> None:
        """A consumer gives messages back; beyond the delivery limit they are dead."""
        for message in messages:
            subscription.in_hand -= 1
            self._unacked -= 1
            message.returns += 1
            message.counted += counted
            if self._limit is not None and message.counted > self._limit:
                self._bury(message, "delivery_limit")
            else:
                self._returned.append(message)
        self._advance()

    def purge(self) -> None:
        """Drop what waits."""
        self._returned.clear()
        self._fresh.clear()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _advance(self) -> None:
        """Hand out what there is to whoever has room, in turn."""
        self._expire()
        while self._returned or self._fresh:
            free = next((one for one in self._subscriptions if one.in_hand < one.prefetch), None)
            if free is None:
                return
            self._subscriptions.remove(free)
            self._subscriptions.append(free)
            if free.settles:
                free.in_hand += 1
                self._unacked += 1
            free.deliver(self._next())

    def _next(self) -> Message:
        return (self._returned or self._fresh).popleft()

    def _expire(self) -> None:
        """Bury what has expired at the head of the queue; what stands behind a longer wait has to wait for it."""
        now = self._clock.now()
        due: float | None = None
        for waiting in (self._returned, self._fresh):
            while waiting and waiting[0].expires_at is not None and waiting[0].expires_at <= now:
                self._bury(waiting.popleft(), "expired")
            if waiting and (at := waiting[0].expires_at) is not None:
                due = at if due is None else min(due, at)
        if due == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self._clock.call_later(due - now, self._due)
        self._timer_at = due

    def _due(self) -> None:
        self._timer = self._timer_at = None
        self._advance()

    def _bury(self, message: Message, reason: str) -> None:
        if self._dead_letter(self, message, reason):
            return
        if self.arguments.get("x-dead-letter-strategy") == "at-least-once":
            self._stuck.append((message, reason))
            if len(self._stuck) == 1:
                self._clock.call_later(_STUCK_S, self._bury_again)

    def _bury_again(self) -> None:
        stuck, self._stuck = self._stuck, []
        for message, reason in stuck:
            self._bury(message, reason)
