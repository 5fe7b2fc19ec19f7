"""Listener: what becomes of its queue when the broker refuses it, closes its channel, or has lost a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from pika import exceptions

from penstock.broker import listener as module
from penstock.broker.listener import Listener
from penstock.domain.topology import Topology
from tests.unit.broker.fakes import FakeLoop

QUEUE = Topology().control_queue("shop", "w-1")
DENIED = exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED - access to queue")


class FakeChannel:
    """Grants everything but what the test refuses."""

    def __init__(self, refuse: str | None = None) -> None:
        self.is_open = True
        self.asked: list[tuple[str, ...]] = []
        self._refuse = refuse
        self._on_close: Callable[[Any, BaseException], None] | None = None
        self.cancel: Callable[[Any], None] | None = None
        self.deliver: Callable[..., None] | None = None

    def add_on_close_callback(self, callback: Callable[[Any, BaseException], None]) -> None:
        self._on_close = callback

    def add_on_cancel_callback(self, callback: Callable[[Any], None]) -> None:
        self.cancel = callback

    def queue_declare(self, name: str, *, exclusive: bool, arguments: Any, callback: Any) -> None:
        assert exclusive
        assert arguments == {"x-queue-type": "classic"}
        self._answer("declare", name, callback)

    def queue_bind(self, name: str, exchange: str, key: str, *, callback: Any) -> None:
        assert (exchange, key) == ("penstock.control", "")
        self._answer("bind", name, callback)

    def basic_consume(self, name: str, deliver: Any, *, auto_ack: bool, callback: Any) -> None:
        assert auto_ack
        self.deliver = deliver
        self._answer("consume", name, callback)

    def _answer(self, what: str, name: str, callback: Callable[[Any], None]) -> None:
        self.asked.append((what, name))
        if what == self._refuse:
            self.die(DENIED)
        else:
            callback(None)

    def close(self) -> None:
        self.die(exceptions.ChannelClosedByClient(200, "Normal shutdown"))

    def die(self, why: BaseException) -> None:
        self.is_open = False
        assert self._on_close is not None
        self._on_close(self, why)


class FakeConnection:
    """Opens channels at once."""

    def __init__(self, refuse: str | None = None) -> None:
        self.is_open = True
        self.refuse = refuse
        self.channels: list[FakeChannel] = []

    def channel(self, on_open_callback: Callable[[Any], None]) -> None:
        self.channels.append(FakeChannel(self.refuse))
        on_open_callback(self.channels[-1])

    def lose(self) -> None:
        self.is_open = False
        for channel in self.channels:
            if channel.is_open:
                channel.die(exceptions.StreamLostError("lost"))


class Bench:
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.missing = 0
        self.listener = Listener(QUEUE, on_command=self.heard.append, on_missing=self._miss)

    def _miss(self) -> None:
        self.missing += 1

    def attach(self, connection: FakeConnection) -> None:
        self.listener.attach(connection)  # type: ignore[arg-type]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    made = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    monkeypatch.setattr(module, "backoff", lambda tries, cap_s: min(tries + 1.0, cap_s))
    return made


def test_it_declares_binds_and_consumes_a_queue_of_its_own() -> None:
    bench, connection = Bench(), FakeConnection()
    assert (bench.listener.listening, bench.listener.trouble) == (False, None)
    bench.attach(connection)
    name = "penstock.control.shop.w-1"
    assert connection.channels[0].asked == [("declare", name), ("bind", name), ("consume", name)]
    assert (bench.listener.listening, bench.listener.trouble) == (True, None)


@pytest.mark.parametrize("step", ["declare", "bind", "consume"])
def test_what_is_refused_is_said_once_and_tried_again_at_growing_intervals(
    loop: FakeLoop, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    # Given a user who may not have a queue for commands
    bench, connection = Bench(), FakeConnection(refuse=step)
    bench.attach(connection)
    assert not bench.listener.listening
    assert "ACCESS_REFUSED" in (bench.listener.trouble or "")

    # When it is tried again and again
    waits = [loop.wait()[0] for _ in range(40)]

    # Then ever more seldom, with one line in the log
    assert waits[:3] == [1.0, 2.0, 3.0]
    assert max(waits) == 30.0
    assert [vars(record)["event"] for record in caplog.records] == ["control.deaf"]

    # And once it is permitted, it listens, and says that
    connection.refuse = None
    with caplog.at_level(logging.INFO):
        loop.wait()
    assert bench.listener.listening
    assert [vars(record)["event"] for record in caplog.records] == ["control.deaf", "control.listening"]
    assert bench.missing == 0


def test_a_missing_exchange_is_reported(loop: FakeLoop) -> None:
    bench, connection = Bench(), FakeConnection()
    bench.attach(connection)
    connection.channels[0].die(exceptions.ChannelClosedByBroker(404, "NOT_FOUND - no exchange"))
    assert bench.missing == 1
    loop.wait()
    assert bench.listener.listening


def test_a_queue_that_was_deleted_is_declared_again(loop: FakeLoop) -> None:
    bench, connection = Bench(), FakeConnection()
    bench.attach(connection)
    assert connection.channels[0].cancel is not None
    connection.channels[0].cancel(None)
    assert not bench.listener.listening
    loop.wait()
    assert bench.listener.listening


@pytest.mark.usefixtures("loop")
def test_over_the_next_connection_its_queue_has_another_name() -> None:
    # The broker may not know yet that the old connection is gone, and its queue with it.
    bench, first, second = Bench(), FakeConnection(), FakeConnection()
    bench.attach(first)
    first.lose()
    assert not bench.listener.listening
    bench.attach(second)
    assert bench.listener.listening
    assert second.channels[0].asked[0] == ("declare", "penstock.control.shop.w-1-2")


def test_what_the_old_connection_still_says_changes_nothing(loop: FakeLoop) -> None:
    bench, first, second = Bench(), FakeConnection(), FakeConnection()
    bench.attach(first)
    first.channels[0].die(DENIED)
    bench.attach(second)
    loop.wait()
    assert len(first.channels) == 1
    assert bench.listener.listening


def test_one_that_is_stopped_does_not_come_back(loop: FakeLoop) -> None:
    bench, connection = Bench(), FakeConnection()
    bench.attach(connection)
    bench.listener.stop()
    bench.listener.stop()
    connection.channels[0].die(DENIED)
    assert loop.wait() == []


def test_a_defect_in_a_command_does_not_reach_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("a defect")

    listener = Listener(QUEUE, on_command=fail, on_missing=lambda: None)
    connection: Any = FakeConnection()
    listener.attach(connection)
    connection.channels[0].deliver(None, None, None, b"")
    assert "could not be carried out" in caplog.text
