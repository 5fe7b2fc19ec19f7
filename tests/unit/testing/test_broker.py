"""MemoryBroker and MemoryStore: their faults, beside those that tests/conformance asks of the real ones too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.broker.ports import Broker, Confirm
from penstock.domain.topology import Topology
from penstock.errors import UnavailableError
from penstock.results.ports import ResultStore
from penstock.testing import FakeClock, MemoryBroker, MemoryServer, MemoryStore, Properties
from tests.unit.waiting import until, within_deadline

NAMES = Topology("acme")


async def opened(clock: FakeClock | None = None) -> MemoryBroker:
    broker = MemoryBroker(MemoryServer(clock=clock))
    port: Broker = broker
    await port.open(1)
    await port.see_to(NAMES, ["t"], strict=False)
    return broker


def test_an_alarm_holds_publications_and_lets_consumers_settle() -> None:
    async def test() -> None:
        # Given an alarm, and a job in hand
        broker, told, tags = await opened(), list[Confirm](), list[tuple[Any, Any]]()
        server = broker.server
        consumer = broker.consumer(
            NAMES.work_queue("t"), prefetch=1, on_message=lambda channel, method, *_: tags.append((channel, method))
        )
        broker.consume()
        server.publish(NAMES.name("jobs"), "t.a")
        await until(lambda: len(tags) == 1)
        server.block()

        # When something is published and the job acked
        broker.publisher.publish(NAMES.name("dead"), "t.a", Properties(), b"", told.append)
        channel, method = tags[0]
        channel.ack(method.delivery_tag)
        await until(lambda: server.queues[NAMES.work_queue("t")].unacked == 0)
        assert (told, broker.publisher.pending) == ([], 1)
        assert "blocked" in broker.troubles()[0]

        # Then the publication is confirmed after the alarm
        server.unblock()
        await until(lambda: told == [Confirm.ACKED])
        assert broker.troubles() == []
        assert consumer.consuming

    within_deadline(test())


def test_a_broker_that_is_away_cannot_be_opened() -> None:
    async def test() -> None:
        broker = MemoryBroker()
        broker.lose()
        with pytest.raises(UnavailableError):
            await broker.open(1)
        with pytest.raises(UnavailableError):
            await broker.see_to(NAMES, ["t"], strict=False)

    within_deadline(test())


def test_a_broker_that_was_closed_does_not_come_back() -> None:
    async def test() -> None:
        broker = await opened()
        await broker.close()
        broker.lose()
        broker.restore()
        assert broker.troubles()

    within_deadline(test())


def test_a_listener_that_raises_silences_nobody() -> None:
    async def test() -> None:
        # Given listeners of confirms and of the store's answers, of which the first have a defect
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))

        def broken(_: Any) -> None:
            raise RuntimeError("a defect elsewhere")

        broker, told = await opened(), list[Any]()
        for done in (broken, told.append):
            broker.publisher.publish(NAMES.name("dead"), "t.a", Properties(), b"", done)
        store: ResultStore = MemoryStore()
        for done in (broken, told.append):
            store.find("job", done)

        # Then the others are told, and the loop has heard of the defects
        await until(lambda: sorted(map(str, told)) == ["Confirm.ACKED", "None"])
        assert reported == ["a defect elsewhere"] * 2
        assert (broker.publisher.pending, store.pending) == (0, 0)

    within_deadline(test())


def test_confirms_can_be_held_back_and_let_go() -> None:
    async def test() -> None:
        broker, told = await opened(), list[Confirm]()
        broker.hold_confirms()
        broker.publisher.publish(NAMES.name("dead"), "t.a", Properties(), b"", told.append)
        await until(lambda: len(broker.server.queues[NAMES.dead_queue("t")].ready) == 1)
        await asyncio.sleep(0)
        assert (told, broker.publisher.pending) == ([], 1)
        broker.hold_confirms(False)
        await until(lambda: told == [Confirm.ACKED])

    within_deadline(test())


def test_an_exchange_that_is_gone_is_declared_again_and_its_messages_leave() -> None:
    async def test() -> None:
        # Given a publication to an exchange that somebody deleted
        clock = FakeClock()
        broker, told = await opened(clock), list[Confirm]()
        del broker.server._exchanges[NAMES.name("dead")]
        broker.publisher.publish(NAMES.name("dead"), "t.a", Properties(), b"", told.append)
        await until(lambda: bool(broker.troubles()))
        assert told == []

        # Then it is confirmed a moment later
        clock.advance(1)
        await until(lambda: told == [Confirm.ACKED])

    within_deadline(test())
