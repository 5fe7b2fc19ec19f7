"""Connection: it comes back by itself, says why it is away, and never stays half attached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pika import exceptions, frame, spec

from penstock.broker import connection as module
from penstock.broker.connection import Connection
from penstock.broker.ports import ConnectionState
from penstock.errors import DeniedError, UnavailableError
from tests.unit.waiting import until, within_deadline

URL = "amqp://shop:hunter2@rabbit/"


class FakeRaw:
    """pika's connection, played by hand."""

    def __init__(self, network: Network, on_open: Any, on_error: Any, on_close: Any) -> None:
        self.is_open = self.aborted = False
        self.server_properties = {"version": b"4.3.6"}
        self._on_open, self._on_error, self._on_close = on_open, on_error, on_close
        self._blocked: Any = None
        self._unblocked: Any = None
        network.made.append(self)

    def add_on_connection_blocked_callback(self, callback: Any) -> None:
        self._blocked = callback

    def add_on_connection_unblocked_callback(self, callback: Any) -> None:
        self._unblocked = callback

    def opens(self) -> None:
        self.is_open = True
        self._on_open(self)

    def fails(self, error: Exception) -> None:
        self._on_error(self, error)

    def ends(self, reason: Exception) -> None:
        self.is_open = False
        self._on_close(self, reason)

    def block(self, reason: str) -> None:
        self._blocked(self, frame.Method(0, spec.Connection.Blocked(reason)))

    def unblock(self) -> None:
        self._unblocked(self, frame.Method(0, spec.Connection.Unblocked()))

    def abort(self) -> None:
        self.aborted = True
        if self.is_open:
            self.ends(exceptions.ConnectionOpenAborted("aborted"))

    def close(self) -> None:
        self.ends(exceptions.ConnectionClosedByClient(200, "bye"))


class Network:
    """Where connections are made; each waits for the test to decide."""

    def __init__(self) -> None:
        self.made: list[FakeRaw] = []

    def connect(self, _: Any, **callbacks: Any) -> FakeRaw:
        return FakeRaw(
            self,
            callbacks["on_open_callback"],
            callbacks["on_open_error_callback"],
            callbacks["on_close_callback"],
        )

    async def attempt(self, number: int) -> FakeRaw:
        """The connection of this attempt, from 1."""
        await until(lambda: len(self.made) >= number)
        return self.made[number - 1]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(module, "RawConnection", made.connect)
    monkeypatch.setattr(module, "backoff", lambda *_: 0.0)
    return made


class Life:
    """A connection that was opened."""

    def __init__(self, network: Network, on_open: Callable[[Any], None] | None = None) -> None:
        self.attached: list[Any] = []
        self.network = network
        self.connection = Connection(URL, name="n", label="publish", on_open=on_open or self.attached.append)

    async def begin(self) -> FakeRaw:
        opening = asyncio.create_task(self.connection.open(1.0))
        raw = await self.network.attempt(1)
        raw.opens()
        await opening
        return raw


def test_what_is_lost_is_opened_again_and_attached(network: Network) -> None:
    async def test() -> None:
        # Given a connection
        life = Life(network)
        first = await life.begin()
        assert life.connection.state == ConnectionState("publish", up=True, blocked=False, opened=1)
        assert (life.connection.trouble, life.connection.version) == (None, "4.3.6")

        # When it is lost
        first.ends(exceptions.StreamLostError("cable cut"))
        second = await network.attempt(2)
        assert life.connection.trouble == "no connection to RabbitMQ (publish): cable cut"
        with pytest.raises(UnavailableError, match="cable cut"):
            _ = life.connection.current

        # Then there is another
        second.opens()
        await until(lambda: life.attached == [first, second])
        assert life.connection.state.opened == 2
        assert life.connection.trouble is None
        await life.connection.close()

    within_deadline(test())


def test_a_refused_password_is_said_and_tried_again(network: Network) -> None:
    async def test() -> None:
        life = Life(network)
        (await life.begin()).ends(exceptions.StreamLostError("cut"))
        for number in (2, 3):
            (await network.attempt(number)).fails(exceptions.ProbableAuthenticationError())
            await network.attempt(number + 1)
            assert life.connection.trouble is not None
            assert "refuses the user or the password" in life.connection.trouble
            assert "hunter2" not in life.connection.trouble
        network.made[-1].opens()
        await until(lambda: life.connection.up)
        await life.connection.close()

    within_deadline(test())


def test_at_the_start_a_refused_password_is_not_tried_again(network: Network) -> None:
    async def test() -> None:
        life = Life(network)
        opening = asyncio.create_task(life.connection.open(60.0))
        (await network.attempt(1)).fails(exceptions.ProbableAuthenticationError())
        with pytest.raises(DeniedError):
            await opening
        await life.connection.close()

    within_deadline(test())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (exceptions.AMQPConnectionError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (exceptions.ConnectionOpenAborted("timeout"), "the handshake took too long"),
        (
            exceptions.IncompatibleProtocolError(exceptions.StreamLostError("EOF")),
            "it ended the connection during the handshake",
        ),
        (RuntimeError("something new"), "something new"),
    ],
)
def test_a_failed_attempt_is_said_in_words(network: Network, error: Exception, said: str) -> None:
    async def test() -> None:
        life = Life(network)
        opening = asyncio.create_task(life.connection.open(0.0))
        (await network.attempt(1)).fails(error)
        with pytest.raises(UnavailableError, match=said):
            await opening
        await life.connection.close()

    within_deadline(test())


def test_a_broker_that_takes_no_messages_is_a_trouble_until_it_does_again(network: Network) -> None:
    async def test() -> None:
        # Given a connection that the broker blocks
        life = Life(network)
        raw = await life.begin()
        raw.block("low on memory")
        assert life.connection.trouble == "RabbitMQ takes no messages (low on memory)"
        assert life.connection.state.blocked

        # When it unblocks it, then all is well
        raw.unblock()
        assert life.connection.trouble is None
        assert not life.connection.state.blocked

        # And the next connection is not blocked because the last one was
        raw.block("low on disk")
        raw.ends(exceptions.StreamLostError("cut"))
        assert not life.connection.state.blocked
        (await network.attempt(2)).opens()
        await until(lambda: life.connection.up)
        assert life.connection.trouble is None
        await life.connection.close()

    within_deadline(test())


def test_a_connection_to_which_not_everything_could_be_attached_is_given_up(network: Network) -> None:
    """What was not attached would never be, and the worker would look well while it consumes nothing."""

    async def test() -> None:
        # Given a defect that shows once
        attached: list[Any] = []

        def attach(raw: Any) -> None:
            attached.append(raw)
            if len(attached) == 2:
                raise RuntimeError("a defect")

        life = Life(network, attach)
        (await life.begin()).ends(exceptions.StreamLostError("cut"))

        # When it shows
        (await network.attempt(2)).opens()
        (await network.attempt(3)).opens()

        # Then that connection is dropped, and the next one is whole
        await until(lambda: len(attached) == 3)
        assert network.made[1].aborted
        assert life.connection.up
        await life.connection.close()

    within_deadline(test())


def test_closing_in_the_middle_of_an_attempt_drops_it(network: Network) -> None:
    async def test() -> None:
        life = Life(network)
        (await life.begin()).ends(exceptions.StreamLostError("cut"))
        raw = await network.attempt(2)
        await life.connection.close()
        await life.connection.close()
        assert raw.aborted
        assert not life.connection.up

    within_deadline(test())
