"""Consumer and its channels: acks are collected, generations are kept apart."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.broker import consumer as module
from penstock.broker.consumer import Consumer, ConsumerChannel
from penstock.broker.raw import RawConnection
from penstock.domain.lane import PREFETCH_SHORT_JOBS
from tests.unit.broker.fakes import FakeChannel, FakeConnection, FakeLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    made = FakeLoop()
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(get_running_loop=lambda: made))
    return made


def attach(consumer: Consumer, connection: FakeConnection) -> None:
    consumer.attach(cast("RawConnection", connection))


Message = tuple[ConsumerChannel, Any, Any, bytes]


class Consuming:
    """A consumer of queue `q` over a fake connection, and what it was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.consumer = Consumer("q", prefetch=4, on_message=self._take)
        self.connection = FakeConnection()

    def _take(self, *message: Any) -> None:
        self.messages.append(message)

    def attach(self) -> FakeChannel:
        self.connection = FakeConnection()
        attach(self.consumer, self.connection)
        channel = self.connection.channels[-1]
        channel.consume_ok("q-1")
        return channel

    def deliver(self, *tags: int) -> list[ConsumerChannel]:
        for tag in tags:
            self.connection.channels[-1].deliver("q-1", tag)
        return [message[0] for message in self.messages[-len(tags) :]]


# ── settling ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


def holding(channel: FakeChannel, loop: FakeLoop, *, jobs: int) -> ConsumerChannel:
    """A channel over which so many jobs have come."""
    made = ConsumerChannel(channel, cast("asyncio.AbstractEventLoop", loop))
    for tag in range(1, jobs + 1):
        made.delivered(tag)
    return made


def test_the_acks_of_one_turn_leave_in_one_frame(channel: FakeChannel, loop: FakeLoop) -> None:
    # Given a channel with three jobs
    settling = holding(channel, loop, jobs=3)

    # When all end in one turn of the loop
    for tag in (2, 1, 3):
        settling.ack(tag)
    assert channel.sent == []
    loop.turn()

    # Then one ack does for all
    assert channel.sent == [("ack", 3, True)]
    assert (loop.soon, loop.later) == ([], [])


def test_a_straggler_is_acked_on_its_own_after_a_pause(channel: FakeChannel, loop: FakeLoop) -> None:
    # Given a job that ends behind a slow one
    settling = holding(channel, loop, jobs=2)
    settling.ack(2)
    loop.turn()
    assert channel.sent == []

    # When the pause is over
    (pause_s,) = loop.wait()

    # Then it does not wait for the slow one any longer
    assert channel.sent == [("ack", 2, False)]
    assert (loop.soon, loop.later) == ([], [])

    # And the pause is short: with a small prefetch the slot beside a slow job would get nothing to do meanwhile
    assert pause_s <= 0.005


def test_flush_sends_everything_now(channel: FakeChannel, loop: FakeLoop) -> None:
    settling = holding(channel, loop, jobs=3)
    for tag in (1, 3):
        settling.ack(tag)
    settling.flush()
    assert channel.sent == [("ack", 1, True), ("ack", 3, False)]


@pytest.mark.parametrize(("counted", "method"), [(True, "reject"), (False, "nack")])
def test_a_job_is_given_back_counted_or_not(channel: FakeChannel, loop: FakeLoop, counted: bool, method: str) -> None:
    """On RabbitMQ 4.3 a reject counts against the delivery limit and a nack does not."""
    # Given two jobs
    settling = holding(channel, loop, jobs=2)

    # When the first is given back and the second is over
    settling.give_back(1, counted=counted)
    settling.ack(2)
    loop.turn()

    # Then the first is on its queue again and the ack names the second
    assert channel.sent == [(method, 1, True), ("ack", 2, True)]


def test_on_a_channel_that_is_gone_nothing_is_settled(channel: FakeChannel, loop: FakeLoop) -> None:
    # Given a job whose ack is due, and another
    settling = holding(channel, loop, jobs=2)
    settling.ack(1)

    # When the channel closes
    channel.is_open = False
    settling.give_back(2, counted=True)
    loop.turn()
    settling.flush()

    # Then nothing is sent: the broker hands both out again
    assert not settling.open
    assert channel.sent == []


# ── consuming ───────────────────────────────────────────────────────────────────────────────────────


def test_a_consumer_says_why_it_does_not_consume() -> None:
    consumer = Consumer("q", prefetch=4, on_message=lambda *_: None)
    assert not consumer.consuming
    assert consumer.trouble == "not connected"


def test_a_consumer_consumes_when_the_broker_has_confirmed_it(loop: FakeLoop) -> None:
    # Given a connection
    consuming = Consuming()
    connection = FakeConnection()

    # When the consumer is attached
    attach(consuming.consumer, connection)
    assert not consuming.consumer.consuming
    connection.channels[0].consume_ok("q-1")

    # Then it consumes with its prefetch
    assert consuming.consumer.consuming
    assert consuming.consumer.trouble is None
    assert connection.channels[0].consumers["q-1"][0] == 4


def test_short_jobs_are_fetched_by_a_second_consumer_with_a_large_prefetch(loop: FakeLoop) -> None:
    # Given a consumer
    consuming = Consuming()
    channel = consuming.attach()

    # When jobs become short, for some time, and then long again
    consuming.consumer.boost(True)
    consuming.consumer.boost(True)
    assert [prefetch for prefetch, _, _ in channel.consumers.values()] == [4, PREFETCH_SHORT_JOBS]
    consuming.consumer.boost(False)
    consuming.consumer.boost(False)

    # Then the second consumer is gone, and the first one stays
    assert channel.sent == [("cancel", "q-2")]
    assert consuming.consumer.consuming


def test_before_it_consumes_a_consumer_cannot_be_boosted(loop: FakeLoop) -> None:
    consumer = Consumer("q", prefetch=4, on_message=lambda *_: None)
    consumer.boost(True)
    connection = FakeConnection()
    attach(consumer, connection)
    assert list(connection.channels[0].consumers) == ["q-1"]


def test_stopping_cancels_every_consumer_and_lets_its_jobs_be_settled(loop: FakeLoop) -> None:
    # Given two consumers on one channel, and a job
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.boost(True)
    (settling,) = consuming.deliver(1)

    # When it is stopped, twice
    consuming.consumer.stop()
    consuming.consumer.stop()

    # Then both are cancelled, and the job can be settled
    assert channel.sent == [("cancel", "q-1"), ("cancel", "q-2")]
    assert consuming.consumer.trouble == "stopped"
    settling.ack(1)
    consuming.consumer.flush()
    assert channel.sent[2:] == [("ack", 1, True)]


def test_a_consumer_that_was_stopped_while_its_channel_opened_does_not_consume(loop: FakeLoop) -> None:
    # Given a channel that the broker has not confirmed
    consumer = Consumer("q", prefetch=4, on_message=lambda *_: None)
    connection = FakeConnection(slow=True)
    attach(consumer, connection)

    # When the consumer is stopped before
    consumer.stop()
    channel = connection.let_open()

    # Then no job is asked for
    assert channel.consumers == {}


def test_a_job_of_an_earlier_channel_is_never_settled_on_the_next(loop: FakeLoop) -> None:
    """Tags begin at 1 on every channel."""
    # Given a job of a connection that was lost
    consuming = Consuming()
    earlier = consuming.attach()
    (settling,) = consuming.deliver(1)
    consuming.connection.lose()

    # When it ends after the reconnection
    later = consuming.attach()
    settling.ack(1)
    settling.give_back(1, counted=True)
    loop.turn()

    # Then neither channel hears of it
    assert not settling.open
    assert (earlier.sent, later.sent) == ([], [])


def test_when_the_broker_cancels_the_consumer_the_channel_is_given_up_and_opened_anew(loop: FakeLoop) -> None:
    """A late ack would revive a dead consumer; closing the channel gives every job back."""
    # Given a consumer with a job
    consuming = Consuming()
    channel = consuming.attach()
    (settling,) = consuming.deliver(1)

    # When the broker cancels it
    channel.cancel()

    # Then the job can no longer be settled, and why nothing is consumed is known
    assert not settling.open
    assert channel.sent == [("close",)]
    assert not consuming.consumer.consuming
    assert consuming.consumer.trouble == (
        "the channel is closed: (200, 'the broker cancelled the consumer: its queue is gone, or a job was held too "
        "long')"
    )

    # And a new channel follows after a pause
    (pause_s,) = loop.wait()
    assert 0 <= pause_s <= 0.5
    consuming.connection.channels[1].consume_ok("q-1")
    assert consuming.consumer.consuming


def test_two_consumers_that_are_cancelled_close_their_channel_once(loop: FakeLoop) -> None:
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.boost(True)
    channel.cancel()
    channel.cancel()
    assert channel.sent == [("close",)]
    assert len(loop.later) == 1


@pytest.mark.parametrize(("code", "calls"), [(404, 1), (403, 0)])
def test_a_queue_that_is_gone_is_reported_and_tried_again(loop: FakeLoop, code: int, calls: int) -> None:
    # Given a consumer whose queue is deleted
    missed: list[None] = []
    consumer = Consumer("q", prefetch=4, on_message=lambda *_: None, on_missing=lambda: missed.append(None))
    connection = FakeConnection()
    attach(consumer, connection)

    # When the broker says so
    connection.channels[0].end(code, "no queue")

    # Then whoever can declare it knows, so does the operator, and it is tried again
    assert len(missed) == calls
    assert consumer.trouble == ("the queue does not exist" if calls else "the channel is closed: (403, 'no queue')")
    loop.wait()
    connection.channels[1].consume_ok("q-1")
    assert consumer.trouble is None


def test_a_channel_that_is_closed_again_and_again_is_opened_ever_more_seldom(
    loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a queue that does not exist
    monkeypatch.setattr(module, "backoff", lambda tries, cap_s: min(cap_s, 2.0**tries))
    consumer = Consumer("q", prefetch=4, on_message=lambda *_: None)
    connection = FakeConnection()
    attach(consumer, connection)
    pauses = []
    for _ in range(5):
        connection.channels[-1].end(404, "no queue")
        pauses += loop.wait()

    # When, then: the pauses grow, up to a limit
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]

    # And they are short again once it has consumed
    connection.channels[-1].consume_ok("q-1")
    connection.channels[-1].end(404, "no queue")
    assert loop.wait() == [1.0]


def test_a_paused_consumer_asks_for_nothing_and_settles_what_it_has(loop: FakeLoop) -> None:
    # Given two consumers on one channel, and a job
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.boost(True)
    (settling,) = consuming.deliver(1)

    # When intake is paused, twice
    consuming.consumer.pause("Redis is away")
    consuming.consumer.pause("Redis is still away")

    # Then both are cancelled, the reason is known, nothing is boosted, and the job can be settled
    assert channel.sent == [("cancel", "q-1"), ("cancel", "q-2")]
    assert not consuming.consumer.consuming
    assert consuming.consumer.trouble == "paused: Redis is still away"
    consuming.consumer.boost(True)
    assert len(channel.consumers) == 2
    settling.ack(1)
    consuming.consumer.flush()
    assert channel.sent[2:] == [("ack", 1, True)]

    # And what was on its way still arrives
    assert consuming.deliver(2)[0] is settling

    # And when it goes on, the same channel has a new consumer
    consuming.consumer.resume()
    consuming.consumer.resume()
    assert list(channel.consumers) == ["q-1", "q-2", "q-3"]
    assert not consuming.consumer.consuming
    channel.consume_ok("q-3")
    assert consuming.consumer.consuming


def test_one_pause_after_the_other_does_not_pile_up_jobs(loop: FakeLoop) -> None:
    # Given a consumer that was boosted, paused, and has more at hand than its prefetch
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.boost(True)
    channels = consuming.deliver(*range(1, 21))
    consuming.consumer.pause("why")

    # When it goes on, then what it has comes first
    consuming.consumer.resume()
    assert len(channel.consumers) == 2
    assert consuming.consumer.trouble == "what is at hand is settled first"
    loop.wait()
    assert len(channel.consumers) == 2

    # And when no more than a prefetch is left, it asks for more, once
    for tag in range(1, 17):
        channels[0].ack(tag)
    loop.turn()
    loop.wait()
    loop.wait()
    assert len(channel.consumers) == 3
    channel.consume_ok("q-3")
    assert consuming.consumer.consuming
    assert loop.later == []


def test_another_prefetch_is_that_of_a_new_consumer_on_the_same_channel(loop: FakeLoop) -> None:
    # Given a consumer with a boost and a job in hand
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.boost(True)
    (settling,) = consuming.deliver(1)

    # When its prefetch becomes another one, twice the same
    consuming.consumer.resize(7)
    consuming.consumer.resize(7)

    # Then both consumers were cancelled, in line, and one has followed, with that prefetch
    assert channel.sent == [("cancel", "q-1"), ("cancel", "q-2")]
    assert list(channel.consumers) == ["q-1", "q-2", "q-3"]
    assert channel.consumers["q-3"][0] == 7
    assert not consuming.consumer.consuming
    channel.consume_ok("q-3")
    assert consuming.consumer.consuming

    # And the job in hand is settled as ever, and one that was on its way still arrives
    settling.ack(1)
    consuming.consumer.flush()
    assert channel.sent[2:] == [("ack", 1, True)]
    assert consuming.deliver(2)[0] is settling


def test_a_smaller_prefetch_waits_until_no_more_than_that_is_in_hand(loop: FakeLoop) -> None:
    consuming = Consuming()
    channel = consuming.attach()
    channels = consuming.deliver(1, 2, 3, 4)
    consuming.consumer.resize(2)
    assert list(channel.consumers) == ["q-1"]
    assert consuming.consumer.trouble == "what is at hand is settled first"
    for tag in (1, 2):
        channels[0].ack(tag)
    loop.turn()
    loop.wait()
    assert list(channel.consumers) == ["q-1", "q-2"]
    assert channel.consumers["q-2"][0] == 2


def test_a_prefetch_that_changes_in_a_pause_holds_after_it(loop: FakeLoop) -> None:
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.pause("why")
    consuming.consumer.resize(9)
    assert list(channel.consumers) == ["q-1"]
    consuming.consumer.resume()
    assert channel.consumers["q-2"][0] == 9


def test_a_large_prefetch_does_not_come_on_top_of_another_that_is_not_used_up(loop: FakeLoop) -> None:
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.boost(True)
    consuming.deliver(*range(1, 21))
    consuming.consumer.boost(False)
    consuming.consumer.boost(True)
    assert len(channel.consumers) == 2


def test_the_confirmation_of_a_cancelled_consumer_confirms_nothing(loop: FakeLoop) -> None:
    # Given a consumer that is paused before the broker has confirmed it
    consumer = Consumer("q", prefetch=4, on_message=lambda *_: None)
    connection = FakeConnection()
    attach(consumer, connection)
    consumer.pause("why")

    # When the confirmation comes, then it is not taken for one of the next consumer
    connection.channels[0].consume_ok("q-1")
    assert not consumer.consuming
    consumer.resume()
    connection.channels[0].consume_ok("q-1")
    assert not consumer.consuming
    connection.channels[0].consume_ok("q-2")
    assert consumer.consuming


def test_a_paused_consumer_stays_paused_over_a_reconnect(loop: FakeLoop) -> None:
    # Given a paused consumer whose connection is lost
    consuming = Consuming()
    consuming.attach()
    consuming.consumer.pause("why")
    consuming.connection.lose()

    # When there is another, then nothing is asked for until it goes on
    consuming.connection = FakeConnection()
    attach(consuming.consumer, consuming.connection)
    channel = consuming.connection.channels[0]
    assert channel.consumers == {}
    consuming.consumer.resume()
    channel.consume_ok("q-1")
    assert consuming.consumer.consuming


def test_a_stopped_consumer_does_not_go_on(loop: FakeLoop) -> None:
    consuming = Consuming()
    channel = consuming.attach()
    consuming.consumer.pause("why")
    consuming.consumer.stop()
    consuming.consumer.resume()
    assert list(channel.consumers) == ["q-1"]
    assert consuming.consumer.trouble == "stopped"


def test_after_a_lost_connection_nothing_happens_before_there_is_another(loop: FakeLoop) -> None:
    consuming = Consuming()
    consuming.attach()
    consuming.connection.lose()
    assert loop.later == []
    assert not consuming.consumer.consuming
    consuming.attach()
    assert consuming.consumer.consuming


def test_a_pause_that_began_before_a_reconnect_does_not_open_a_second_channel(loop: FakeLoop) -> None:
    """Two channels would fetch twice the prefetch, and one of them would never be stopped."""
    # Given a channel that the broker closed, and the connection lost while its successor waited
    consuming = Consuming()
    consuming.attach().end(406, "precondition failed")
    consuming.connection.lose()
    consuming.attach()

    # When the pause is over
    loop.wait()

    # Then the new connection has one channel
    assert len(consuming.connection.channels) == 1
