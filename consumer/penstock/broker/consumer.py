"""Taking jobs from one queue, and settling them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from pika import exceptions, spec

from penstock.broker.acks import AckBook
from penstock.broker.backoff import backoff
from penstock.broker.ports import OnMessage
from penstock.broker.raw import RawConnection
from penstock.domain.lane import PREFETCH_SHORT_JOBS
from penstock.wire.registry import CONSUMER_TIMEOUT_MS, Event

_log = logging.getLogger(__name__)

#: Seconds for which a tag that was settled out of order waits for its neighbours. Short: it holds a place in the
#: prefetch, and behind a slow job there are few.
_STRAGGLER_S: Final = 0.002
#: Longest wait in seconds before a channel that is closed is opened again.
_REOPEN_CAP_S: Final = 5.0
#: Seconds before it is looked again whether a consumer can follow one that was cancelled.
_CROWDED_S: Final = 0.1
_NOT_FOUND: Final = 404


class ConsumerChannel:
    """One generation of a queue's channel: delivery tags mean something on it alone.

    Settling a delivery of a channel that is gone does nothing: the broker hands that job out again.
    """

    def __init__(self, channel: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self._book = AckBook()
        self._scheduled = False

    @property
    def open(self) -> bool:
        """Whether its deliveries can still be settled."""
        return bool(self._channel.is_open)

    @property
    def outstanding(self) -> int:
        """How many of its deliveries the broker waits for."""
        return self._book.outstanding

    def delivered(self, tag: int) -> None:
        """The broker has handed this tag out."""
        self._book.deliver(tag)

    def ack(self, tag: int) -> None:
        """The job is over."""
        self._book.settle(tag)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def give_back(self, tag: int, *, counted: bool) -> None:
        """Return the job to its queue.

        Args:
            tag: The delivery.
            counted: Whether it counts against the delivery limit on every version (basic.reject does);
                basic.nack does not on RabbitMQ 4.3.
        """
        if not self.open:
            return
        self._book.forget(tag)
        if counted:
            self._channel.basic_reject(tag, requeue=True)
        else:
            self._channel.basic_nack(tag, requeue=True)

    def flush(self) -> None:
        """Send every ack now, stragglers included."""
        self._flush()
        self._flush()

    def _flush(self) -> None:
        self._scheduled = False
        if not self.open:
            return
        acks = self._book.collect()
        if acks.up_to is not None:
            self._channel.basic_ack(acks.up_to, multiple=True)
        for tag in acks.single:
            self._channel.basic_ack(tag)
        if self._book.holds:
            self._scheduled = True
            self._loop.call_later(_STRAGGLER_S, self._flush)


class Consumer:
    """Consumes one queue over whatever connection there is.

    Two consumers share the channel: one that is always there with a small prefetch, and one with a large
    prefetch that is there while jobs are short (see domain.lane). A prefetch cannot be changed in place.

    Args:
        queue: The broker's name of the queue.
        prefetch: Prefetch of the first consumer, in messages.
        on_message: Called with the channel, and pika's method, properties and body.
        on_missing: Called when the broker says that the queue does not exist.
        timeout_ms: Longest time that a delivery may stay unacknowledged, in milliseconds (RabbitMQ 4.3).
    """

    def __init__(
        self,
        queue: str,
        *,
        prefetch: int,
        on_message: OnMessage,
        on_missing: Callable[[], None] | None = None,
        timeout_ms: int = CONSUMER_TIMEOUT_MS,
    ) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._on_message = on_message
        self._on_missing = on_missing
        self._arguments = {"x-consumer-timeout": timeout_ms}
        self._connection: RawConnection | None = None
        self._channel: Any = None
        self._generation: ConsumerChannel | None = None
        self._tags: list[str] = []
        self._boost_tag: str | None = None
        self._confirmed = False
        self._tries = 0
        self._stopped = False
        self._paused: str | None = None
        self._why = "not connected"

    @property
    def consuming(self) -> bool:
        """Whether the broker has confirmed the consumer and nothing has ended it."""
        return self._confirmed and self._open

    @property
    def trouble(self) -> str | None:
        """Why nothing is consumed at the moment; None while all is well."""
        if self._stopped:
            return "stopped"
        if self._paused is not None:
            return f"paused: {self._paused}"
        return None if self.consuming else self._why

    @property
    def _open(self) -> bool:
        return self._channel is not None and bool(self._channel.is_open)

    @property
    def _crowded(self) -> bool:
        """Whether consumers that were cancelled have left more than a new one would bring.

        The prefetch bounds what one consumer brings, not what one pause after the other adds up to.
        """
        return self._generation is not None and self._generation.outstanding > self._prefetch

    def attach(self, connection: RawConnection) -> None:
        """Consume over this connection from now on."""
        self._connection = connection
        self._open_channel(connection)

    def boost(self, wanted: bool) -> None:
        """Add or remove the consumer with the large prefetch."""
        if not self.consuming or wanted == (self._boost_tag is not None):
            return
        if wanted and not self._crowded:
            self._boost_tag = self._consume(PREFETCH_SHORT_JOBS, _nothing)
        elif self._boost_tag is not None:
            self._cancel(self._boost_tag)
            self._boost_tag = None

    def resize(self, prefetch: int) -> None:
        """Have at most so many jobs in hand from now on; a boost ends, and nothing that is in hand is harmed.

        A new consumer takes over on the same channel, so that what the old one has brought can be settled; what is on
        its way to that one still arrives. While more than the new prefetch is in hand, none is asked for.
        """
        if prefetch == self._prefetch:
            return
        self._prefetch = prefetch
        if self._tags:
            self._cancel_all()
            self._start()

    def pause(self, why: str) -> None:
        """Ask for no more jobs until `resume`; those at hand can still be settled. Pausing twice is fine.

        Jobs that are on their way still arrive.
        """
        self._paused = why
        self._cancel_all()

    def resume(self) -> None:
        """Ask for jobs again."""
        if self._paused is not None:
            self._paused = None
            self._start()

    def stop(self) -> None:
        """Ask for no more jobs; those at hand can still be settled. Stopping twice is fine.

        Jobs that are on their way still arrive; whoever gets them gives them back.
        """
        self._stopped = True
        self._cancel_all()

    def flush(self) -> None:
        """Send every pending ack."""
        if self._generation is not None:
            self._generation.flush()

    # ── consumers ───────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        """Consume on the channel that there is, unless nobody wants to or somebody does."""
        if not self._open or self._stopped or self._paused is not None or self._tags:
            return
        if self._crowded:
            self._why = "what is at hand is settled first"
            asyncio.get_running_loop().call_later(_CROWDED_S, self._start)
            return
        generation = self._generation
        self._why = "the broker has not confirmed the consumer yet"

        def confirmed(_: Any) -> None:
            if generation is self._generation and tag in self._tags:
                self._confirmed = True
                self._tries = 0

        tag = self._consume(self._prefetch, confirmed)

    def _consume(self, prefetch: int, on_confirmed: Callable[[Any], None]) -> str:
        """Start a consumer; the prefetch set before it is its own (`global` is false)."""
        generation = self._generation

        def deliver(_: Any, method: Any, properties: Any, body: bytes) -> None:
            assert generation is not None
            generation.delivered(method.delivery_tag)
            try:
                self._on_message(generation, method, properties, body)
            except Exception:  # noqa: BLE001 -- see below
                # A defect of ours may cost this job a delivery, not the connection and every job on it.
                _log.exception(
                    "a delivery could not be taken in; it goes back to its queue",
                    extra={"event": Event.JOB_GIVEN_BACK, "queue": self._queue},
                )
                generation.give_back(method.delivery_tag, counted=True)

        self._channel.basic_qos(prefetch_count=prefetch, callback=_nothing)
        tag = str(
            self._channel.basic_consume(self._queue, deliver, arguments=dict(self._arguments), callback=on_confirmed)
        )
        self._tags.append(tag)
        return tag

    def _cancel_all(self) -> None:
        self._confirmed = False
        self._boost_tag = None
        for tag in list(self._tags):
            self._cancel(tag)

    def _cancel(self, tag: str) -> None:
        """Cancel a consumer of ours.

        Not by `Channel.basic_cancel`: that rejects what is on its way behind our back, which costs those jobs a
        delivery and leaves holes in the book of tags. In line with what was asked before: a cancel that overtook its
        consume would cancel nobody.
        """
        self._tags.remove(tag)
        if self._open:
            self._channel._rpc(spec.Basic.Cancel(consumer_tag=tag, nowait=True))  # noqa: SLF001

    # ── the channel ─────────────────────────────────────────────────────────────────────────────

    def _open_channel(self, connection: RawConnection) -> None:
        """Open a channel, unless a new connection has brought one meanwhile."""
        if connection is self._connection and connection.is_open and not self._stopped:
            self._confirmed = False
            connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        self._generation = ConsumerChannel(channel, asyncio.get_running_loop())
        self._boost_tag = None
        self._tags.clear()
        channel.add_on_close_callback(self._closed)
        channel.add_on_cancel_callback(lambda _: self._cancelled(channel))
        self._start()

    def _cancelled(self, channel: Any) -> None:
        """The broker ended a consumer: its queue is gone, or (4.3) a job was held too long.

        Nothing on this channel may be acked any more: a late ack would revive a dead consumer. Closing the
        channel gives every job back.
        """
        if not channel.is_open:
            return
        _log.error(
            "the broker cancelled the consumer; the channel is opened anew",
            extra={"event": Event.AMQP_CONSUMER_CANCELLED, "queue": self._queue},
        )
        self._confirmed = False
        channel.close(reply_text="the broker cancelled the consumer: its queue is gone, or a job was held too long")

    def _closed(self, channel: Any, reason: BaseException) -> None:
        if channel is not self._channel:
            return
        self._confirmed = False
        self._tags.clear()
        connection = self._connection
        if self._stopped or connection is None:
            return
        missing = isinstance(reason, exceptions.ChannelClosedByBroker) and reason.reply_code == _NOT_FOUND
        self._why = "the queue does not exist" if missing else f"the channel is closed: {reason}"
        if not connection.is_open:
            return
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            _log.error(
                "the broker closed the channel; it is opened anew",
                extra={"event": Event.AMQP_CONSUMER_CANCELLED, "queue": self._queue, "reason": str(reason)},
            )
        pause_s = backoff(self._tries, _REOPEN_CAP_S)
        self._tries += 1
        asyncio.get_running_loop().call_later(pause_s, self._open_channel, connection)
        if missing and self._on_missing is not None:
            self._on_missing()


def _nothing(_: Any) -> None:
    """The broker's confirmation is not awaited."""
