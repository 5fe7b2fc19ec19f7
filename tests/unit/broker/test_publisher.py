"""Publisher: every message ends acked, returned or refused; what is unknown is sent again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pika import BasicProperties

from penstock.broker import publisher as module
from penstock.broker.ports import Confirm
from penstock.broker.publisher import Publisher
from penstock.broker.raw import RawConnection
from tests.unit.broker.fakes import FakeChannel, FakeConnection, FakeLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    made = FakeLoop()
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(get_running_loop=lambda: made))
    return made


class Fates:
    """Publishes numbered messages and notes what became of them."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.of: list[tuple[int, Confirm]] = []

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            self._publisher.publish("x", f"key.{number}", properties(number), b"%d" % number, self._noting(number))

    def _noting(self, number: int) -> Any:
        return lambda confirm: self.of.append((number, confirm))


def properties(number: int) -> BasicProperties:
    return BasicProperties(correlation_id=f"id-{number}")


def bodies(channel: FakeChannel) -> list[bytes]:
    return [body for _, _, body in channel.published]


def attach(publisher: Publisher, connection: FakeConnection) -> None:
    publisher.attach(cast("RawConnection", connection))


def attached(*, slow: bool = False) -> tuple[Publisher, Fates, FakeConnection]:
    publisher, connection = Publisher(), FakeConnection(slow=slow)
    attach(publisher, connection)
    return publisher, Fates(publisher), connection


def test_nothing_is_known_before_the_broker_has_spoken() -> None:
    # Given a channel
    publisher, fates, connection = attached()

    # When a message is published
    fates.publish(1)

    # Then it is out and pending
    assert bodies(connection.channels[0]) == [b"1"]
    assert fates.of == []
    assert publisher.pending == 1


@pytest.mark.parametrize(("answer", "fate"), [("confirm", Confirm.ACKED), ("refuse", Confirm.REFUSED)])
def test_an_answer_settles_the_message_that_it_names(answer: str, fate: Confirm) -> None:
    # Given three messages
    publisher, fates, connection = attached()
    fates.publish(1, 2, 3)

    # When the broker answers the second
    getattr(connection.channels[0], answer)(2)

    # Then its fate is known, once, and the others' is not
    assert fates.of == [(2, fate)]
    assert publisher.pending == 2


@pytest.mark.parametrize(("answer", "fate"), [("confirm", Confirm.ACKED), ("refuse", Confirm.REFUSED)])
def test_a_multiple_answer_settles_everything_up_to_its_tag_in_order(answer: str, fate: Confirm) -> None:
    # Given four messages, one of which is settled
    _, fates, connection = attached()
    fates.publish(1, 2, 3, 4)
    connection.channels[0].confirm(2)

    # When the broker answers all up to the third
    getattr(connection.channels[0], answer)(3, multiple=True)

    # Then 1 and 3 are settled and 4 is not
    assert fates.of == [(2, Confirm.ACKED), (1, fate), (3, fate)]


def test_an_answer_for_an_unknown_tag_settles_nothing() -> None:
    _, fates, connection = attached()
    fates.publish(1)
    connection.channels[0].confirm(7)
    assert fates.of == []


def test_a_message_that_was_returned_is_told_so_when_its_ack_comes() -> None:
    # Given two messages
    _, fates, connection = attached()
    fates.publish(1, 2)

    # When the first comes back and then both are acked
    connection.channels[0].give_back("x", "key.1", properties(1))
    assert fates.of == []
    connection.channels[0].confirm(2, multiple=True)

    # Then only the first is returned
    assert fates.of == [(1, Confirm.RETURNED), (2, Confirm.ACKED)]


def test_a_return_counts_for_one_publication_only() -> None:
    # Given a message that was returned
    _, fates, connection = attached()
    fates.publish(1)
    connection.channels[0].give_back("x", "key.1", properties(1))
    connection.channels[0].confirm(1)

    # When it is published again and finds a queue
    fates.publish(1)
    connection.channels[0].confirm(2)

    # Then the second is not taken for returned
    assert fates.of == [(1, Confirm.RETURNED), (1, Confirm.ACKED)]


def test_of_messages_about_one_job_each_that_came_back_is_told_so_though_one_ack_names_all() -> None:
    # Given what a job yields and its result, on their way to a requester that is gone
    _, fates, connection = attached()
    fates.publish(1, 1, 1)

    # When all come back and one answer names them
    for _ in range(3):
        connection.channels[0].give_back("x", "key.1", properties(1))
    connection.channels[0].confirm(3, multiple=True)

    # Then none is taken for delivered
    assert fates.of == [(1, Confirm.RETURNED)] * 3


def test_what_is_published_without_a_channel_waits_for_one_in_order() -> None:
    # Given a channel that the broker has not confirmed
    publisher, fates, connection = attached(slow=True)
    fates.publish(1, 2)
    assert not publisher.ready
    assert publisher.pending == 2

    # When it opens
    channel = connection.let_open()

    # Then what waited leaves first
    fates.publish(3)
    assert bodies(channel) == [b"1", b"2", b"3"]
    assert publisher.ready


def test_what_was_unconfirmed_is_sent_again_over_the_next_connection() -> None:
    # Given three messages, the second confirmed, and a lost connection
    publisher, fates, connection = attached()
    fates.publish(1, 2, 3)
    connection.channels[0].confirm(2)
    connection.lose()
    fates.publish(4)

    # When there is a new connection
    another = FakeConnection()
    attach(publisher, another)

    # Then what is unknown goes first, in order, then what waited
    channel = another.channels[0]
    assert bodies(channel) == [b"1", b"3", b"4"]
    assert fates.of == [(2, Confirm.ACKED)]

    # And each fate is told once
    channel.confirm(3, multiple=True)
    assert [number for number, _ in fates.of] == [2, 1, 3, 4]
    assert publisher.pending == 0


def test_a_return_without_its_ack_is_forgotten_with_the_connection() -> None:
    # Given a message that was returned, and then the connection was lost
    publisher, fates, connection = attached()
    fates.publish(1)
    connection.channels[0].give_back("x", "key.1", properties(1))
    connection.lose()

    # When it is sent again and now finds a queue
    another = FakeConnection()
    attach(publisher, another)
    another.channels[0].confirm(1)

    # Then that is what counts
    assert fates.of == [(1, Confirm.ACKED)]


def test_a_channel_that_the_broker_closes_is_opened_anew_after_a_pause(loop: FakeLoop) -> None:
    # Given a channel over which nothing is under way
    publisher, fates, connection = attached()

    # When the broker closes it, but not the connection
    connection.channels[0].end(406, "precondition failed")
    assert len(connection.channels) == 1
    assert publisher.trouble is not None
    assert "precondition failed" in publisher.trouble
    fates.publish(1)
    (pause_s,) = loop.wait()

    # Then a new one takes over
    assert 0 <= pause_s <= 0.5
    assert bodies(connection.channels[1]) == [b"1"]
    connection.channels[1].confirm(1)
    assert fates.of == [(1, Confirm.ACKED)]
    assert publisher.trouble is None


def test_a_channel_that_is_closed_again_and_again_is_opened_ever_more_seldom(
    loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker that closes every channel
    monkeypatch.setattr(module, "backoff", lambda tries, cap_s: min(cap_s, 2.0**tries))
    _, fates, connection = attached()
    pauses = []
    for _ in range(5):
        connection.channels[-1].end(406, "precondition failed")
        pauses += loop.wait()

    # When, then: the pauses grow, up to a limit
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]

    # And they are short again when something has been confirmed
    fates.publish(1)
    connection.channels[-1].confirm(1)
    connection.channels[-1].end(406, "precondition failed")
    assert loop.wait() == [1.0]


def test_a_message_for_which_the_broker_closes_the_channel_is_refused(loop: FakeLoop) -> None:
    # Given one message under way
    publisher, fates, connection = attached()
    fates.publish(1)

    # When the broker closes the channel
    connection.channels[0].end(403, "access refused")

    # Then that is its answer, and the message is not sent again
    assert fates.of == [(1, Confirm.REFUSED)]
    loop.wait()
    assert bodies(connection.channels[1]) == []
    assert publisher.pending == 0


def test_among_several_messages_the_one_that_the_broker_will_not_have_is_found_out(loop: FakeLoop) -> None:
    """The broker does not say for which one it closed the channel, and the others must not suffer for ever."""
    # Given four messages, the third of which the broker will not have
    publisher, fates, connection = attached()
    fates.publish(1, 2, 3, 4)
    connection.channels[0].end(403, "access refused")
    loop.wait()

    # When they are sent again, and a fifth comes
    first = connection.channels[1]
    fates.publish(5)
    assert bodies(first) == [b"1"]
    first.confirm(1)
    assert bodies(first) == [b"1", b"2"]
    first.confirm(2)
    assert bodies(first) == [b"1", b"2", b"3"]
    first.end(403, "access refused")
    assert fates.of == [(1, Confirm.ACKED), (2, Confirm.ACKED), (3, Confirm.REFUSED)]
    loop.wait()

    # Then each is sent alone until the culprit is known, and the others get through
    last = connection.channels[2]
    assert bodies(last) == [b"4"]
    last.confirm(1)
    assert bodies(last) == [b"4", b"5"]
    fates.publish(6)
    assert bodies(last) == [b"4", b"5", b"6"]
    last.confirm(3, multiple=True)
    assert [number for number, _ in fates.of] == [1, 2, 3, 4, 5, 6]
    assert publisher.pending == 0


def test_a_connection_that_is_lost_accuses_nobody(loop: FakeLoop) -> None:
    # Given messages that are sent one by one
    publisher, fates, connection = attached()
    fates.publish(1, 2, 3)
    connection.channels[0].end(403, "access refused")
    loop.wait()

    # When the connection is lost while the first is under way
    connection.lose()
    another = FakeConnection()
    attach(publisher, another)

    # Then all are sent again, and none is refused
    assert bodies(another.channels[0]) == [b"1", b"2", b"3"]
    another.channels[0].confirm(3, multiple=True)
    assert [fate for _, fate in fates.of] == [Confirm.ACKED] * 3


@pytest.mark.parametrize(("code", "calls"), [(404, 1), (403, 0)])
def test_an_exchange_that_is_gone_is_reported(loop: FakeLoop, code: int, calls: int) -> None:
    missed: list[None] = []
    publisher, connection = Publisher(on_missing=lambda: missed.append(None)), FakeConnection()
    attach(publisher, connection)
    connection.channels[0].end(code, "why")
    assert len(missed) == calls


def test_a_broker_that_confirms_nothing_is_said_to_be_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a message under way
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    publisher, fates, connection = attached()
    assert publisher.trouble is None
    fates.publish(1, 2)

    # When the broker does not answer for some seconds
    now[0] += 4
    assert publisher.trouble is None
    now[0] += 3

    # Then that is said, until it answers
    assert publisher.trouble == "RabbitMQ has confirmed no message for 7 s"
    connection.channels[0].confirm(1)
    assert publisher.trouble is None
    now[0] += 60
    connection.channels[0].confirm(2)
    assert publisher.trouble is None


def test_a_defect_in_one_settlement_does_not_stop_those_that_the_same_answer_names() -> None:
    # Given three messages, the settlement of the first of which is broken
    publisher, fates, connection = attached()

    def broken(_: Confirm) -> None:
        raise RuntimeError("a defect")

    publisher.publish("x", "key.0", properties(0), b"0", broken)
    fates.publish(1, 2)

    # When one answer names all of them
    connection.channels[0].confirm(3, multiple=True)

    # Then the others are settled
    assert fates.of == [(1, Confirm.ACKED), (2, Confirm.ACKED)]


def test_a_confirm_of_an_earlier_channel_says_nothing_about_the_messages_of_the_next() -> None:
    """Tags begin at 1 on every channel: a stale one would ack a job whose copy nobody has."""
    # Given a message on one channel, sent again on the next as its second
    publisher, fates, connection = attached()
    fates.publish(1)
    earlier = connection.channels[0]
    another = FakeConnection()
    attach(publisher, another)
    fates.publish(2)

    # When the earlier channel speaks up late
    earlier.confirm(2, multiple=True)

    # Then nothing is settled by that
    assert fates.of == []


def test_a_pause_that_began_before_a_reconnect_does_not_open_a_second_channel(loop: FakeLoop) -> None:
    # Given a channel that the broker closed, and the connection lost while its successor waited
    publisher, fates, connection = attached()
    fates.publish(1)
    fates.publish(2)
    connection.channels[0].end(406, "precondition failed")
    connection.lose()
    another = FakeConnection()
    attach(publisher, another)

    # When the pause is over
    loop.wait()

    # Then the new connection has one channel, and each message is on it once
    assert len(another.channels) == 1
    another.channels[0].confirm(1)
    assert bodies(another.channels[0]) == [b"1", b"2"]


def test_a_stopped_publisher_opens_no_channel_any_more(loop: FakeLoop) -> None:
    # Given a stopped publisher
    publisher, _, connection = attached()
    publisher.stop()

    # When its channel is closed and a connection comes
    connection.channels[0].end(406, "gone")
    another = FakeConnection()
    attach(publisher, another)

    # Then it stays closed
    assert loop.later == []
    assert another.channels == []
