"""Drain: everything that was taken is settled or given back, in time, and the last line says what happened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from penstock.domain.delivery import Delivery
from penstock.wire.registry import Exit
from penstock.worker.drain import Drain, Tally
from penstock.worker.in_hand import InHand
from penstock.worker.shutdown import Shutdown
from tests.unit.builders import job_id, make_delivery
from tests.unit.waiting import until, within_deadline
from tests.unit.worker.fakes import FakeChannel
from tests.unit.worker.parts import FakeBroker, FakeQueue, FakeStore, cast_any


class Queue(FakeQueue):
    """A queue whose drain the test plays."""

    def __init__(self, play: Callable[[Tally], None] = lambda _: None) -> None:
        super().__init__()
        self.play = play
        self.hangs = False

    async def drain(self, drain_s: float, tally: Tally) -> None:
        self.seconds = drain_s
        self.play(tally)
        if self.hangs:
            await until(lambda: self.lane.hurried)


class Draining:
    """A worker that is told to stop."""

    def __init__(self, *queues: Queue, seconds: float = 5.0) -> None:
        self.queues = list(queues) or [Queue()]
        self.broker, self.store, self.in_hand, self.shutdown = FakeBroker(), FakeStore(), InHand(), Shutdown()
        self.shutdown.request()
        self._seconds = seconds

    def take(self, number: int, channel: FakeChannel | None = None) -> Delivery:
        delivery = make_delivery(job_id=job_id(number), channel=channel or FakeChannel())
        self.in_hand.meet(delivery)
        return delivery

    async def run(self) -> Exit:
        return await Drain(
            cast_any(self.queues),
            cast_any(self.broker),
            cast_any(self.store),
            self.in_hand,
            self.shutdown,
            seconds=self._seconds,
        ).run()


@pytest.fixture
def stopped(caplog: pytest.LogCaptureFixture) -> Callable[[], dict[str, Any]]:
    """The last line of the log."""
    caplog.set_level(logging.INFO, "penstock")
    return lambda: caplog.records[-1].__dict__


def test_an_idle_worker_stops_at_once(stopped: Callable[[], dict[str, Any]]) -> None:
    draining = Draining()
    assert within_deadline(draining.run()) is Exit.OK
    assert draining.queues[0].seconds == 5.0
    assert stopped()["message"] == "stopped: 0 finished, 0 given back, 0 handed back"
    assert stopped()["event"] == "worker.stopped"


def test_what_was_finished_and_given_back_is_counted_and_every_ack_is_sent(
    stopped: Callable[[], dict[str, Any]],
) -> None:
    # Given a queue with two jobs that end and three that have not begun
    draining = Draining()

    def play(tally: Tally) -> None:
        for number in (1, 2):
            delivery = draining.take(number)
            tally.ended.append(delivery)
            draining.in_hand.release(delivery, ended=True)
        tally.given_back += 3

    draining.queues[0].play = play

    # When it drains, then all is well
    assert within_deadline(draining.run()) is Exit.OK
    assert stopped()["message"] == "stopped: 2 finished, 3 given back, 0 handed back"
    assert draining.queues[0].consumer.flushed == 1


def test_a_job_that_was_cut_off_is_no_clean_end(stopped: Callable[[], dict[str, Any]]) -> None:
    def play(tally: Tally) -> None:
        tally.handed_back += 1

    assert within_deadline(Draining(Queue(play)).run()) is Exit.TEMPFAIL
    assert stopped()["handed_back"] == 1
    assert stopped()["levelname"] == "WARNING"


@pytest.mark.parametrize("what", ["publisher", "store", "in_hand"])
def test_the_last_settlements_are_awaited(what: str, stopped: Callable[[], dict[str, Any]]) -> None:
    async def test() -> None:
        # Given something that is not settled yet
        draining = Draining()
        delivery = draining.take(1) if what == "in_hand" else None
        if what != "in_hand":
            (draining.broker.publisher if what == "publisher" else draining.store).pending = 1
        running = asyncio.create_task(draining.run())
        await until(lambda: hasattr(draining.queues[0], "seconds"))
        await asyncio.sleep(0)
        assert not running.done()

        # When it is settled, then the worker ends
        if delivery is not None:
            draining.in_hand.release(delivery, ended=True)
        draining.broker.publisher.pending = draining.store.pending = 0
        assert await running is Exit.OK

    within_deadline(test())
    assert stopped()["unsettled"] == 0


def test_what_cannot_be_settled_in_time_is_said(
    stopped: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job whose reply the broker does not take
    monkeypatch.setattr("penstock.worker.drain._SETTLE_S", 0.05)
    draining = Draining(seconds=0.0)
    draining.take(1)
    draining.broker.publisher.pending = 1

    # When the time is over, then the worker ends and says that the job will come again
    assert within_deadline(draining.run()) is Exit.TEMPFAIL
    assert stopped()["unsettled"] == 1
    assert "1 could not be settled and will be handed out again" in stopped()["message"]


def test_a_job_whose_channel_was_gone_when_it_was_settled_will_come_again(
    stopped: Callable[[], dict[str, Any]],
) -> None:
    # Given a job that was answered, and whose ack nobody heard
    channel = FakeChannel()
    draining = Draining()

    def play(tally: Tally) -> None:
        delivery = draining.take(1, channel)
        tally.ended.append(delivery)
        channel.open = False
        draining.in_hand.release(delivery, ended=True)

    draining.queues[0].play = play

    # When the worker ends, then it says so
    assert within_deadline(draining.run()) is Exit.TEMPFAIL
    assert (stopped()["finished"], stopped()["unsettled"]) == (1, 1)


@pytest.mark.parametrize("where", ["while jobs run", "while answers are awaited"])
def test_a_second_signal_cuts_the_drain_short(where: str, stopped: Callable[[], dict[str, Any]]) -> None:
    async def test() -> None:
        # Given a drain that would take very long
        draining = Draining(seconds=1000.0)
        draining.queues[0].hangs = where == "while jobs run"
        draining.broker.publisher.pending = 1
        running = asyncio.create_task(draining.run())
        await until(lambda: hasattr(draining.queues[0], "seconds"))

        # When there is a second signal
        draining.shutdown.request()

        # Then children are killed and what is not settled is left
        assert await running is Exit.TEMPFAIL
        assert draining.queues[0].lane.hurried

    within_deadline(test())
    assert stopped()["unsettled"] == 1
