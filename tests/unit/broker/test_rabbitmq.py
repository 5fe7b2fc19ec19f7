"""RabbitMQ, as far as it can be had without one: what it knows of versions, and what it does about what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from penstock.broker.ports import Broker, ConnectionState
from penstock.broker.rabbitmq import RabbitMQ
from penstock.domain.topology import Topology
from penstock.errors import UnavailableError, UsageError

URL = "amqp://shop:hunter2@127.0.0.1:1/"


def made() -> RabbitMQ:
    return RabbitMQ(URL, name="penstock worker w-1")


def test_it_is_a_broker_of_the_url_s_user() -> None:
    broker: Broker = made()
    assert broker.user == "shop"


def test_a_malformed_url_is_refused() -> None:
    with pytest.raises(UsageError, match="does not begin with amqp://"):
        RabbitMQ("amqp//rabbit", name="n")


@pytest.mark.parametrize(
    ("version", "free"),
    [
        ("3.10.8", False),
        ("4.0.5", False),
        ("4.2.1", False),
        ("4.3.0", True),
        ("4.3.6", True),
        ("4.10.0", True),
        ("5.0.0-rc.1", True),
        ("?", False),
    ],
)
def test_from_4_3_on_a_job_can_be_given_back_for_free(version: str, free: bool) -> None:
    broker = made()
    assert not broker.gives_back_free
    broker._consume.version = version
    assert broker.gives_back_free is free


def test_before_it_is_open_it_says_what_is_in_the_way() -> None:
    broker = made()
    assert broker.version == "?"
    assert broker.troubles() == [
        "no connection to RabbitMQ (consume): not connected yet",
        "no connection to RabbitMQ (publish): not connected yet",
    ]
    assert broker.connections() == [
        ConnectionState("consume", up=False, blocked=False, opened=0),
        ConnectionState("publish", up=False, blocked=False, opened=0),
    ]


def test_nobody_who_answers_is_said_within_the_time_without_the_password() -> None:
    async def run() -> None:
        broker = made()
        with pytest.raises(UnavailableError, match=r"cannot be reached: .*refused") as refusal:
            await broker.open(0.0)
        assert "hunter2" not in str(refusal.value)
        await broker.close()
        await broker.close()

    asyncio.run(run())


# ── what is gone ────────────────────────────────────────────────────────────────────────────────────


class Declared:
    """Plays the two ways of seeing to a topology."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.applied: list[list[str]] = []
        self.verified: list[list[str]] = []
        self.error: Exception | None = None
        monkeypatch.setattr("penstock.broker.declare.apply", self._noting(self.applied))
        monkeypatch.setattr("penstock.broker.declare.verify", self._noting(self.verified))
        monkeypatch.setattr("penstock.broker.connection.Connection.current", object())

    def _noting(self, calls: list[list[str]]) -> Callable[..., Any]:
        async def see_to(_: Any, __: Topology, queues: Iterable[str]) -> None:
            calls.append(list(queues))
            if self.error is not None:
                raise self.error

        return see_to


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Declared:
    return Declared(monkeypatch)


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_gone_is_declared_again_unless_that_is_for_others_to_do(declared: Declared, strict: bool) -> None:
    async def run() -> None:
        # Given a topology that was there
        broker = made()
        await broker.see_to(Topology(), ["stats"], strict=strict)

        # When several consumers miss their queue at once
        broker._mend()
        broker._mend()
        await asyncio.sleep(0)
        await broker.close()

    asyncio.run(run())

    # Then it is declared once more, or not at all
    assert declared.verified == ([["stats"]] if strict else [])
    assert declared.applied == ([] if strict else [["stats"], ["stats"]])


def test_a_broker_that_does_not_let_itself_be_mended_is_tried_again_at_the_next_occasion(declared: Declared) -> None:
    async def run() -> None:
        broker = made()
        await broker.see_to(Topology(), ["stats"], strict=False)
        declared.error = UnavailableError("no answer")
        for _ in range(2):
            broker._mend()
            assert broker._mending is not None
            await broker._mending
        await broker.close()

    asyncio.run(run())
    assert len(declared.applied) == 3
