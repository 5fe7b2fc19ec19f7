"""pika's connection and channel as far as publishing and consuming need them, played by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pika import exceptions, spec


class FakeConnection:
    """Opens channels at once, unless `slow`: then when told to."""

    def __init__(self, *, slow: bool = False) -> None:
        self.is_open = True
        self.channels: list[FakeChannel] = []
        self.slow = slow
        self._opening: list[Callable[[Any], None]] = []

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        self._opening.append(on_open_callback)
        if not self.slow:
            self.let_open()

    def let_open(self) -> FakeChannel:
        """The broker confirms the channel that was asked for."""
        self.channels.append(FakeChannel())
        self._opening.pop(0)(self.channels[-1])
        return self.channels[-1]

    @property
    def opening(self) -> int:
        return len(self._opening)

    def lose(self) -> None:
        """The connection is lost, and its channels with it."""
        self.is_open = False
        for channel in self.channels:
            if channel.is_open:
                channel.die(exceptions.StreamLostError("connection lost"))


class FakeChannel:
    """Records what is sent; the test plays the broker."""

    def __init__(self) -> None:
        self.is_open = True
        self.sent: list[tuple[Any, ...]] = []
        self.published: list[tuple[str, str, bytes]] = []
        self._on_close: Callable[[Any, BaseException], None] | None = None
        self._on_return: Callable[..., None] | None = None
        self._on_cancel: Callable[[Any], None] | None = None
        self._on_confirm: Callable[[Any], None] | None = None
        self._selected: Callable[[Any], None] | None = None
        self.consumers: dict[str, tuple[int, Callable[..., None], Callable[[Any], None]]] = {}
        self._prefetch = 0

    # ── what penstock calls ─────────────────────────────────────────────────────────────────────

    def add_on_close_callback(self, callback: Callable[[Any, BaseException], None]) -> None:
        self._on_close = callback

    def add_on_return_callback(self, callback: Callable[..., None]) -> None:
        self._on_return = callback

    def add_on_cancel_callback(self, callback: Callable[[Any], None]) -> None:
        self._on_cancel = callback

    def confirm_delivery(self, on_confirm: Callable[[Any], None], callback: Callable[[Any], None]) -> None:
        self._on_confirm, self._selected = on_confirm, callback
        callback(None)

    def basic_publish(self, exchange: str, routing_key: str, body: bytes, _properties: Any, *, mandatory: bool) -> None:
        assert mandatory, "an unroutable message would vanish"
        assert self.is_open
        self.published.append((exchange, routing_key, body))

    def basic_qos(self, *, prefetch_count: int, callback: Any) -> None:  # noqa: ARG002 -- pika's name
        self._prefetch = prefetch_count

    def basic_consume(
        self, queue: str, deliver: Callable[..., None], *, arguments: Any, callback: Callable[[Any], None]
    ) -> str:
        assert "x-consumer-timeout" in arguments
        tag = f"{queue}-{len(self.consumers) + 1}"
        self.consumers[tag] = (self._prefetch, deliver, callback)
        return tag

    def basic_ack(self, tag: int, *, multiple: bool = False) -> None:
        self.sent.append(("ack", tag, multiple))

    def basic_reject(self, tag: int, *, requeue: bool) -> None:
        self.sent.append(("reject", tag, requeue))

    def basic_nack(self, tag: int, *, requeue: bool) -> None:
        self.sent.append(("nack", tag, requeue))

    def _rpc(self, method: Any) -> None:
        """In line with the other requests; what is sent past them overtakes those that wait for an answer."""
        assert isinstance(method, spec.Basic.Cancel)
        assert method.nowait
        self.sent.append(("cancel", method.consumer_tag))

    def close(self, *, reply_text: str) -> None:
        self.sent.append(("close",))
        self.die(exceptions.ChannelClosedByClient(200, reply_text))

    # ── what the broker does ────────────────────────────────────────────────────────────────────

    def confirm(self, tag: int, *, multiple: bool = False) -> None:
        self._confirm(spec.Basic.Ack(delivery_tag=tag, multiple=multiple))

    def refuse(self, tag: int, *, multiple: bool = False) -> None:
        self._confirm(spec.Basic.Nack(delivery_tag=tag, multiple=multiple))

    def _confirm(self, method: Any) -> None:
        assert self._on_confirm is not None
        self._on_confirm(type("Frame", (), {"method": method})())

    def give_back(self, exchange: str, routing_key: str, properties: Any) -> None:
        """A message found no queue."""
        assert self._on_return is not None
        method = spec.Basic.Return(reply_code=312, exchange=exchange, routing_key=routing_key)
        self._on_return(self, method, properties, b"")

    def deliver(self, consumer: str, tag: int) -> None:
        method = spec.Basic.Deliver(consumer_tag=consumer, delivery_tag=tag, exchange="x", routing_key="t.f")
        self.consumers[consumer][1](self, method, spec.BasicProperties(), b"body")

    def consume_ok(self, consumer: str) -> None:
        self.consumers[consumer][2](None)

    def cancel(self) -> None:
        """The broker ends a consumer."""
        assert self._on_cancel is not None
        self._on_cancel(None)

    def end(self, code: int, why: str) -> None:
        """The broker closes the channel."""
        self.die(exceptions.ChannelClosedByBroker(code, why))

    def die(self, why: Exception) -> None:
        self.is_open = False
        if self._on_close is not None:
            self._on_close(self, why)


class FakeLoop:
    """A loop whose turns and clock the test moves."""

    def __init__(self) -> None:
        self.soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.later: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self.soon.append((callback, args))

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        self.later.append((delay_s, callback, args))

    def turn(self) -> None:
        """Run what is due in this turn."""
        due, self.soon = self.soon, []
        for callback, args in due:
            callback(*args)

    def wait(self) -> list[float]:
        """Run what is due later; returns how long each had to wait, in seconds."""
        due, self.later = self.later, []
        for _, callback, args in due:
            callback(*args)
        return [delay_s for delay_s, _, _ in due]
