"""What every broker does with what is published: it confirms, returns or refuses, and it routes."""

from __future__ import annotations

import pytest

from penstock.broker.ports import Confirm
from penstock.errors import DeniedError, TopologyError
from tests.conformance.conftest import Play
from tests.conformance.stage import QUEUE, Stage
from tests.unit.waiting import until

ACKED, RETURNED, REFUSED = Confirm.ACKED, Confirm.RETURNED, Confirm.REFUSED


def test_a_message_that_a_queue_took_is_acked(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # When a copy is published
        stage.publish("dead", "t.a", b"sealed", headers={"x-error-code": "E"}, message_id="m", priority=3)
        assert stage.broker.publisher.pending == 1
        assert await stage.confirmed(1) == [ACKED]

        # Then it is in its queue as it was sent, and nothing is pending
        taken = stage.rig.take(stage.dead)
        assert taken is not None
        assert (taken.exchange, taken.routing_key, taken.body) == (stage.topology.name("dead"), "t.a", b"sealed")
        assert taken.headers["x-error-code"] == "E"
        assert (taken.properties.message_id, taken.properties.priority) == ("m", 3)
        assert stage.broker.publisher.pending == 0

    play(test)


def test_a_message_for_nobody_is_returned(play: Play) -> None:
    async def test(stage: Stage) -> None:
        stage.publish("replies", "shop.gone", correlation_id="m")
        assert await stage.confirmed(1) == [RETURNED]

    play(test)


def test_each_of_many_messages_hears_its_own_fate(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given messages of which some have no taker, two of them alike in everything but their body
        for number in range(30):
            exchange, key = ("replies", "shop.gone") if number % 3 == 0 else ("dead", "t.a")
            stage.publish(exchange, key, b"%d" % number, correlation_id=f"m{number}")
        await stage.confirmed(30)

        # Then each has been told once, and the truth
        fates = dict(stage.told)
        assert len(fates) == 30
        assert {int(body) for body, fate in fates.items() if fate is RETURNED} == set(range(0, 30, 3))
        assert stage.rig.ready(stage.dead) == 20

    play(test)


def test_what_goes_to_one_queue_is_confirmed_and_kept_in_its_order(play: Play) -> None:
    async def test(stage: Stage) -> None:
        bodies = [b"%d" % number for number in range(50)]
        for body in bodies:
            stage.publish("dead", "t.a", body)
        await stage.confirmed(50)
        assert [body for body, _ in stage.told] == bodies
        taken = [stage.rig.take(stage.dead) for _ in bodies]
        assert [one.body for one in taken if one] == bodies

    play(test)


def test_a_full_queue_refuses_until_there_is_room(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a queue with a limit
        wait = stage.topology.name("wait.1h")
        stage.rig.limit(wait, 2)

        # When more is published (RabbitMQ may take one or two above the limit, and learns of it after a while)
        async def refused() -> None:
            for tries in range(1, 200):
                stage.publish("retry", "1h.t.a", b"%d" % tries)
                if (await stage.confirmed(tries))[-1] is REFUSED:
                    return
            raise AssertionError("never refused")

        await refused()

        # Then it is taken again when there is room
        while stage.rig.take(wait):
            pass
        before = len(stage.told)
        stage.publish("retry", "1h.t.a", b"last")
        assert (await stage.confirmed(before + 1))[-1] is ACKED

    play(test)


@pytest.mark.parametrize(
    ("exchange", "key", "queue"),
    [
        ("jobs", "t.a", "q.t"),
        ("jobs", "t.a.b", "q.t"),
        ("jobs", "t", "q.t"),
        ("jobs", "tt.a", None),
        ("jobs", "1s.t.a", None),
        ("retry", "1s.t.a", "wait.1s"),
        ("retry", "1h.t.a", "wait.1h"),
        ("retry", "3s.t.a", None),
        ("dead", "t", "dead.t"),
        ("dead", "t.a", "dead.t"),
        ("dead", "other.a", "lost"),
        ("replies", "shop.web-1", "reply.shop.web-1"),
        ("replies", "shop.web-2", None),
        ("replies", "shop", None),
        ("control", "", None),
    ],
)
def test_a_message_goes_where_the_topology_says(play: Play, exchange: str, key: str, queue: str | None) -> None:
    async def test(stage: Stage) -> None:
        stage.rig.reply_queue("shop.web-1")
        stage.publish(exchange, key, b"sealed")
        assert await stage.confirmed(1) == [RETURNED if queue is None else ACKED]
        if queue is not None:
            taken = stage.rig.take(stage.topology.name(queue))
            assert taken is not None
            assert (taken.exchange, taken.routing_key) == (stage.topology.name(exchange), key)

    play(test)


def test_nobody_publishes_to_an_internal_exchange(play: Play) -> None:
    async def test(stage: Stage) -> None:
        with pytest.raises(DeniedError, match="internal"):
            stage.rig.publish(stage.topology.name("return"), "1s.t.a")

    play(test)


def test_nobody_publishes_to_an_exchange_that_is_not_there(play: Play) -> None:
    async def test(stage: Stage) -> None:
        with pytest.raises(TopologyError, match="no exchange"):
            stage.rig.publish(stage.topology.name("nowhere"), "t.a")

    play(test)


def test_nobody_publishes_in_another_users_name(play: Play) -> None:
    async def test(stage: Stage) -> None:
        with pytest.raises(DeniedError, match="user_id"):
            stage.rig.publish(stage.topology.name("jobs"), "t.a", user_id="somebody")
        assert stage.rig.publish(stage.topology.name("jobs"), "t.a", user_id=stage.broker.user) is ACKED

    play(test)


def test_what_the_broker_holds_against_a_channel_is_never_taken_for_a_confirm(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a publication for which the broker closes the channel, behind a good one
        stage.publish("dead", "t.a", b"good")
        stage.publish("jobs", "t.a", b"forged", user_id="somebody")
        await until(lambda: b"good" in dict(stage.told) or bool(stage.rig.ready(stage.dead)))

        # Then it stays pending, and there is a reason why
        await until(lambda: bool(stage.broker.troubles()))
        assert b"forged" not in dict(stage.told)
        assert stage.broker.publisher.pending >= 1

    play(test)


def test_what_is_unknown_when_the_connection_goes_is_published_again(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given messages that arrived, but whose confirms are on their way
        stage.rig.hold_confirms()
        for number in range(3):
            stage.publish("dead", "t.a", b"%d" % number)
        await until(lambda: stage.rig.ready(stage.dead) == 3)
        assert stage.told == []

        # When the connection is lost and comes back
        stage.rig.lose()
        await until(lambda: bool(stage.broker.troubles()))
        stage.rig.restore()
        await stage.confirmed(3)

        # Then each was told once, and is there twice: nobody could know better
        assert stage.told == [(b"0", ACKED), (b"1", ACKED), (b"2", ACKED)]
        await until(lambda: stage.rig.ready(stage.dead) == 6)

    play(test)


def test_what_is_published_while_there_is_no_connection_leaves_when_there_is_one(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a broker that is away
        stage.rig.lose()
        await until(lambda: bool(stage.broker.troubles()))

        # When something is published, some of it to nobody
        stage.publish("dead", "t.a", b"1", correlation_id="m1")
        stage.publish("replies", "shop.gone", b"2", correlation_id="m2")
        assert stage.broker.publisher.pending == 2
        assert stage.told == []

        # Then it is confirmed once the broker is back
        stage.rig.restore()
        await stage.confirmed(2)
        assert dict(stage.told) == {b"1": ACKED, b"2": RETURNED}
        assert stage.rig.ready(stage.dead) == 1
        await until(lambda: not stage.broker.troubles())

    play(test)


def test_a_job_goes_down_the_ladder_and_comes_back_by_the_return_exchange(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a copy on the shortest level
        await stage.consume()
        stage.publish("retry", "1s.t.a", b"sealed", headers={"x-attempt": 2}, message_id="m", reply_to="shop.web-1")
        assert await stage.confirmed(1) == [ACKED]
        stage.rig.elapse(0.9)
        assert stage.arrivals == []

        # When its time is over
        stage.rig.elapse(0.1)
        arrival = await stage.arrived(1)

        # Then it arrives as a new message, under a key that still begins with its level
        assert arrival.method.exchange == stage.topology.name("return")
        assert arrival.method.routing_key == "1s.t.a"
        assert (arrival.method.redelivered, arrival.count) == (False, 0)
        assert arrival.properties.headers["x-attempt"] == 2
        assert arrival.properties.headers["x-death"][0]["reason"] == "expired"
        assert (arrival.properties.message_id, arrival.properties.reply_to) == ("m", "shop.web-1")
        assert arrival.body == b"sealed"

    play(test)


def test_a_job_of_a_queue_that_is_gone_comes_back_to_the_lost(play: Play) -> None:
    async def test(stage: Stage) -> None:
        lost = stage.topology.name("lost")
        stage.publish("retry", "1s.gone.a", b"sealed")
        assert await stage.confirmed(1) == [ACKED]
        stage.rig.elapse(1)
        await until(lambda: stage.rig.ready(lost) == 1)
        taken = stage.rig.take(lost)
        assert taken is not None
        assert (taken.routing_key, taken.body) == ("1s.gone.a", b"sealed")

    play(test)


def test_a_second_declaration_changes_nothing_and_finds_other_arguments(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a topology with something in it
        stage.enqueue(b"1")
        await stage.broker.see_to(stage.topology, [QUEUE], strict=False)
        await stage.broker.see_to(stage.topology, [QUEUE], strict=True)
        await until(lambda: stage.rig.ready(stage.work) == 1)

        # Then what is missing is named, and what has other arguments refused
        with pytest.raises(TopologyError, match=r"q\.more"):
            await stage.broker.see_to(stage.topology, [QUEUE, "more"], strict=True)
        stage.rig.redeclare(stage.dead, {"x-queue-type": "quorum", "x-max-length": 5})
        with pytest.raises(TopologyError, match="other arguments"):
            await stage.broker.see_to(stage.topology, [QUEUE], strict=False)

    play(test)
