"""What every broker does with the jobs of a queue: it hands them out, takes them back, and gives none up quietly."""

from __future__ import annotations

import pytest

from penstock.broker.ports import Confirm
from penstock.domain.lane import PREFETCH_SHORT_JOBS
from penstock.wire.registry import DELIVERY_LIMIT
from tests.conformance.conftest import Play
from tests.conformance.stage import Stage
from tests.unit.waiting import until


def test_a_job_arrives_as_it_was_published(play: Play) -> None:
    async def test(stage: Stage) -> None:
        await stage.consume()
        stage.enqueue(
            b"sealed", headers={"x-attempt": 1}, message_id="m", type="job.v1", priority=3, reply_to="shop.web-1"
        )
        arrival = await stage.arrived(1)
        assert (arrival.method.exchange, arrival.method.routing_key) == (stage.topology.name("jobs"), "t.a")
        assert (arrival.method.redelivered, arrival.count) == (False, 0)
        properties = arrival.properties
        assert properties.headers["x-attempt"] == 1
        assert (properties.message_id, properties.type, properties.priority) == ("m", "job.v1", 3)
        assert (properties.reply_to, properties.user_id) == ("shop.web-1", None)
        assert arrival.body == b"sealed"
        assert arrival.channel.open

    play(test)


def test_nothing_arrives_before_it_was_asked_for(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a job and a consumer that has not begun
        stage.enqueue(b"1")
        consumer = stage.broker.consumer(stage.work, prefetch=10, on_message=stage.note)
        assert not consumer.consuming
        assert consumer.trouble

        # When it begins
        stage.broker.consume()
        await until(lambda: consumer.consuming)

        # Then the job arrives, and all is well
        await stage.arrived(1)
        assert consumer.trouble is None
        assert stage.broker.troubles() == []

    play(test)


def test_an_acked_job_is_over(play: Play) -> None:
    async def test(stage: Stage) -> None:
        consumer = await stage.consume()
        stage.enqueue(b"1", b"2", b"3")
        await stage.arrived(3)

        # When they are acked out of order, one of them twice, and everything is closed
        for number in (2, 0, 1, 0):
            stage.arrivals[number].ack()
        consumer.flush()
        await stage.broker.close()

        # Then none is left
        await until(lambda: stage.rig.ready(stage.work) == 0)
        assert stage.bodies == [b"1", b"2", b"3"]

    play(test)


def test_a_consumer_has_no_more_in_hand_than_its_prefetch(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given more jobs than the prefetch
        await stage.consume(prefetch=2)
        stage.enqueue(b"1", b"2", b"3", b"4")
        await stage.arrived(2)
        await until(lambda: stage.rig.ready(stage.work) == 2)

        # When one is acked and one given back
        stage.arrivals[0].ack()
        await stage.arrived(3)
        stage.arrivals[1].give_back(counted=True)
        await stage.arrived(4)

        # Then each time one more arrived
        assert stage.bodies[:3] == [b"1", b"2", b"3"]
        await until(lambda: stage.rig.ready(stage.work) == 1)

    play(test)


def test_a_larger_prefetch_brings_more_and_what_is_in_hand_stays_there(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a consumer whose prefetch is used up, and jobs that wait
        consumer = await stage.consume(prefetch=2)
        stage.enqueue(*(b"%d" % number for number in range(20)))
        await stage.arrived(2)

        # When it may have more, then so many more arrive, none of them twice
        consumer.resize(5)
        await stage.arrived(7)
        await until(lambda: consumer.consuming)
        assert len(set(stage.bodies)) == 7

        # And the rest comes when all of them are settled on their channel, whichever consumer brought them
        for number in range(20):
            (await stage.arrived(number + 1)).ack()
        assert len(set(stage.bodies)) == len(stage.bodies) == 20
        assert not any(arrival.method.redelivered for arrival in stage.arrivals)

    play(test)


def test_a_smaller_prefetch_brings_nothing_before_what_is_in_hand_fits_it(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a consumer with four jobs in hand, and jobs that wait
        consumer = await stage.consume(prefetch=4)
        stage.enqueue(*(b"%d" % number for number in range(12)))
        await stage.arrived(4)

        # When it may have two
        consumer.resize(2)
        assert not consumer.consuming
        assert consumer.trouble == "what is at hand is settled first"

        # Then nothing more arrives until two are settled
        stage.arrivals[0].ack()
        stage.arrivals[1].ack()
        await until(lambda: consumer.consuming)
        await stage.arrived(6)

        # And from then on there are two at a time, each of the jobs once
        for arrival in stage.arrivals[2:6]:
            arrival.ack()
        consumer.flush()
        await stage.arrived(8)
        await until(lambda: stage.rig.ready(stage.work) == 4)
        assert len(set(stage.bodies)) == len(stage.bodies) == 8
        assert not any(arrival.method.redelivered for arrival in stage.arrivals)

    play(test)


def test_a_prefetch_that_changes_in_a_pause_holds_after_it(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a paused consumer with a job in hand
        consumer = await stage.consume(prefetch=1)
        stage.enqueue(*(b"%d" % number for number in range(6)))
        await stage.arrived(1)
        consumer.pause("the store is away")

        # When its prefetch changes, then it stays paused, and goes on with that
        consumer.resize(3)
        assert consumer.trouble == "paused: the store is away"
        consumer.resume()
        await stage.arrived(4)
        await until(lambda: stage.rig.ready(stage.work) == 2)

    play(test)


def test_a_boost_takes_many_more_and_its_end_takes_no_more(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a consumer that is boosted, twice
        consumer = await stage.consume(prefetch=1)
        consumer.boost(True)
        consumer.boost(True)
        stage.enqueue(*(b"%d" % number for number in range(20)))
        await stage.arrived(20)
        assert PREFETCH_SHORT_JOBS > 20

        # When that ends, and one of the jobs is given back behind that
        consumer.boost(False)
        consumer.boost(False)
        for arrival in stage.arrivals[1:]:
            arrival.ack()
        consumer.flush()
        stage.arrivals[0].give_back(counted=True)
        await stage.arrived(21)

        # Then it is one at a time again
        stage.enqueue(b"a", b"b", b"c")
        await until(lambda: stage.rig.ready(stage.work) == 3)
        assert consumer.consuming

    play(test)


def test_what_one_boost_has_brought_is_settled_before_there_is_another(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a boost that has ended, as a job shows that is given back behind that, and left more than the prefetch
        consumer = await stage.consume(prefetch=1)
        consumer.boost(True)
        stage.enqueue(*(b"%d" % number for number in range(20)))
        await stage.arrived(20)
        consumer.boost(False)
        stage.arrivals[0].give_back(counted=True)
        await stage.arrived(21)

        # When it is wanted again, then it brings nothing
        consumer.boost(True)
        stage.enqueue(b"a", b"b", b"c")
        await until(lambda: stage.rig.ready(stage.work) == 3)

        # And when that is settled, it does
        for arrival in stage.arrivals[1:21]:
            arrival.ack()
        consumer.flush()
        consumer.boost(True)
        await stage.arrived(24)

    play(test)


@pytest.mark.parametrize("counted", [True, False])
def test_a_job_that_is_given_back_arrives_again_and_says_so(play: Play, counted: bool) -> None:
    async def test(stage: Stage) -> None:
        # Given a job
        await stage.consume()
        stage.enqueue(b"1", headers={"x-attempt": 1})
        await stage.arrived(1)

        # When it is given back twice
        for number in (1, 2):
            stage.arrivals[-1].give_back(counted=counted)
            arrival = await stage.arrived(number + 1)

            # Then it is marked each time, and counted where it is to be or where the broker always counts
            assert arrival.method.redelivered
            assert arrival.count == (number if counted or not stage.features.free_nack else 0)
            assert arrival.tag != stage.arrivals[-2].tag
            assert (arrival.method.routing_key, arrival.body) == ("t.a", b"1")
            assert arrival.properties.headers["x-attempt"] == 1

    play(test)


def test_the_port_says_whether_giving_back_is_free(play: Play) -> None:
    async def test(stage: Stage) -> None:
        assert stage.broker.gives_back_free is stage.features.free_nack
        assert stage.broker.version[0].isdigit()

    play(test)


def test_what_is_given_back_comes_before_what_was_never_handed_out(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given one consumer with three of five jobs in hand
        first = await stage.consume(prefetch=3)
        stage.enqueue(b"1", b"2", b"3", b"4", b"5")
        await stage.arrived(3)
        first.stop()

        # When it gives two back, the later one first
        stage.arrivals[1].give_back(counted=True)
        stage.arrivals[0].give_back(counted=True)
        await until(lambda: stage.rig.ready(stage.work) == 4)

        # Then another consumer gets them in that order, before the others
        other = await stage.another()
        await other.consume()
        await other.arrived(4)
        assert other.bodies == [b"2", b"1", b"4", b"5"]
        assert [arrival.method.redelivered for arrival in other.arrivals] == [True, True, False, False]

    play(test)


def test_a_job_that_cannot_be_taken_in_costs_a_delivery_and_holds_nothing_up(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a worker with a defect that one job meets once
        def defective(channel: object, method: object, properties: object, body: bytes) -> None:
            stage.note(channel, method, properties, body)
            if body == b"bad" and not stage.arrivals[-1].method.redelivered:
                raise RuntimeError("a defect")

        await stage.consume(on_message=defective)

        # When it arrives, with others
        stage.enqueue(b"1", b"bad", b"2")
        await stage.arrived(4)

        # Then it comes again, counted
        assert sorted(stage.bodies) == [b"1", b"2", b"bad", b"bad"]
        assert max(arrival.count for arrival in stage.arrivals) == 1

    play(test)


@pytest.mark.parametrize("route", ["at once", "by the ladder"])
def test_a_job_that_comes_back_beyond_its_limit_is_dead_lettered_by_the_broker(play: Play, route: str) -> None:
    async def test(stage: Stage) -> None:
        # Given a job that nobody ever ends
        def hand_back(channel: object, method: object, properties: object, body: bytes) -> None:
            stage.note(channel, method, properties, body)
            stage.arrivals[-1].give_back(counted=True)

        key = "t.a" if route == "at once" else "1s.t.a"
        await stage.consume(on_message=hand_back)
        stage.publish("jobs" if route == "at once" else "retry", key, b"sealed", headers={"x-attempt": 2})
        await stage.confirmed(1)
        stage.rig.elapse(1)

        # When it has been handed out once more than its limit
        await until(lambda: stage.rig.ready(stage.dead) == 1)
        assert len(stage.arrivals) == DELIVERY_LIMIT + 1
        assert stage.arrivals[-1].count == DELIVERY_LIMIT

        # Then it is with the dead, under the queue's name, and its task is in the history
        taken = stage.rig.take(stage.dead)
        assert taken is not None
        assert (taken.exchange, taken.routing_key) == (stage.topology.name("dead"), "t")
        assert taken.headers["x-attempt"] == 2
        death = taken.headers["x-death"][0]
        assert (death["reason"], death["queue"], death["count"]) == ("delivery_limit", stage.work, 1)
        assert death["routing-keys"] == [key]
        assert taken.body == b"sealed"

    play(test)


def test_a_paused_consumer_gets_nothing_and_can_settle_what_it_has(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a consumer with a job in hand that is paused, twice
        consumer = await stage.consume(prefetch=1)
        stage.enqueue(b"1", b"2")
        await stage.arrived(1)
        consumer.pause("the store is away")
        consumer.pause("the store is away")
        assert not consumer.consuming
        assert "the store is away" in (consumer.trouble or "")

        # When the job is acked
        stage.arrivals[0].ack()
        consumer.flush()
        await until(lambda: stage.rig.ready(stage.work) == 1)
        assert stage.bodies == [b"1"]

        # Then the next one arrives only when the consumer goes on, and the first one is over
        consumer.resume()
        consumer.resume()
        await stage.arrived(2)
        await until(lambda: consumer.consuming)
        assert consumer.trouble is None
        await stage.interrupt()
        await stage.arrived(3)
        assert stage.bodies == [b"1", b"2", b"2"]

    play(test)


def test_a_pause_outlasts_the_connection(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a paused consumer with a job in hand
        consumer = await stage.consume()
        stage.enqueue(b"1")
        await stage.arrived(1)
        consumer.pause("the store is away")

        # When the connection is lost and comes back
        await stage.interrupt()
        await until(lambda: stage.rig.ready(stage.work) == 1)
        assert not consumer.consuming

        # Then the job arrives again after the pause
        consumer.resume()
        assert (await stage.arrived(2)).method.redelivered

    play(test)


def test_a_stopped_consumer_gets_nothing_more_and_can_settle_what_it_has(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a consumer with two jobs in hand
        consumer = await stage.consume(prefetch=2)
        stage.enqueue(b"1", b"2", b"3")
        await stage.arrived(2)

        # When it is stopped, twice, and settles them
        consumer.stop()
        consumer.stop()
        stage.arrivals[0].ack()
        consumer.flush()
        stage.arrivals[1].give_back(counted=False)
        await until(lambda: stage.rig.ready(stage.work) == 2)

        # Then nothing arrives any more, not even when it is asked to go on or the connection is new
        consumer.resume()
        await stage.interrupt()
        assert stage.rig.ready(stage.work) == 2
        assert stage.bodies == [b"1", b"2"]
        assert consumer.trouble == "stopped"

    play(test)


def test_a_lost_connection_hands_out_again_what_was_not_acked(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given three jobs in hand, and one that was acked for which the third arrived
        consumer = await stage.consume(prefetch=3)
        stage.enqueue(b"1", b"2", b"3", b"4")
        await stage.arrived(3)
        old = stage.arrivals[0].channel
        stage.arrivals[1].ack()
        await stage.arrived(4)

        # When the connection is lost
        stage.rig.lose()
        await until(lambda: not old.open)
        assert not consumer.consuming
        assert consumer.trouble
        assert stage.broker.troubles()

        # Then the three arrive again once it is back, counted
        stage.rig.restore()
        await stage.arrived(7)
        assert stage.bodies[4:] == [b"1", b"3", b"4"]
        for arrival in stage.arrivals[4:]:
            assert (arrival.method.redelivered, arrival.count) == (True, 1)
            assert arrival.channel is not old
            assert arrival.channel.open
        await until(lambda: consumer.consuming and not stage.broker.troubles())

    play(test)


def test_to_settle_on_a_channel_that_is_gone_does_nothing(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given jobs in hand whose connection was lost, and which came again
        await stage.consume()
        stage.enqueue(b"1", b"2", b"3")
        await stage.arrived(3)
        await stage.interrupt()
        await stage.arrived(6)

        # When they are settled where they came first
        stage.arrivals[0].ack()
        stage.arrivals[1].give_back(counted=True)
        stage.arrivals[2].give_back(counted=False)

        # Then they are still in hand: another connection loss brings all three
        await stage.interrupt()
        await stage.arrived(9)
        assert stage.bodies == [b"1", b"2", b"3"] * 3
        assert {arrival.count for arrival in stage.arrivals[6:]} == {2}

    play(test)


def test_an_ack_that_did_not_arrive_is_none(play: Play) -> None:
    """Whoever settles must be ready to see the job again."""

    async def test(stage: Stage) -> None:
        # Given a job that is acked at the moment at which the connection goes
        await stage.consume()
        stage.enqueue(b"1")
        await stage.arrived(1)
        stage.rig.lose()
        stage.arrivals[0].ack()
        await until(lambda: not stage.arrivals[0].channel.open)
        stage.rig.restore()

        # Then it arrives again
        assert (await stage.arrived(2)).method.redelivered
        assert stage.bodies == [b"1", b"1"]

    play(test)


def test_what_one_worker_loses_another_one_gets(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a job in the hand of one, and another one beside it
        await stage.consume(prefetch=1)
        stage.enqueue(b"1")
        await stage.arrived(1)
        other = await stage.another()
        consumer = await other.consume()

        # When the first closes for good, twice
        await stage.broker.close()
        await stage.broker.close()

        # Then the other gets it, and can end it
        arrival = await other.arrived(1)
        assert (arrival.method.redelivered, arrival.count, arrival.body) == (True, 1, b"1")
        assert not stage.arrivals[0].channel.open
        arrival.ack()
        consumer.flush()
        await other.broker.close()
        await until(lambda: stage.rig.ready(stage.work) == 0)

    play(test)


def test_a_queue_that_is_deleted_is_missed_and_made_again(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a consumer with a job in hand
        consumer = await stage.consume()
        stage.enqueue(b"1")
        await stage.arrived(1)

        # When its queue is deleted
        stage.rig.delete(stage.work)
        await until(lambda: not consumer.consuming)
        assert consumer.trouble
        assert not stage.arrivals[0].channel.open
        stage.arrivals[0].ack()

        # Then the queue is declared again, and its jobs arrive
        def consuming() -> bool:
            stage.rig.elapse(1)
            return consumer.consuming

        await until(consuming)
        jobs = stage.topology.name("jobs")
        await until(lambda: stage.rig.publish(jobs, "t.a", b"2") is Confirm.ACKED)
        assert (await stage.arrived(2)).body == b"2"

    play(test)


def test_jobs_are_shared_among_those_who_have_room(play: Play) -> None:
    async def test(stage: Stage) -> None:
        other = await stage.another()
        await stage.consume(prefetch=5)
        await other.consume(prefetch=5)
        stage.enqueue(*(b"%d" % number for number in range(10)))
        await stage.arrived(5)
        await other.arrived(5)
        assert sorted(stage.bodies + other.bodies) == [b"%d" % number for number in range(10)]

    play(test)


def test_copy_then_ack_leaves_one_job(play: Play) -> None:
    """The worker's way down the ladder, and back."""

    async def test(stage: Stage) -> None:
        consumer = await stage.consume(prefetch=1)
        stage.enqueue(b"sealed")

        # Given a job that is copied to the ladder, and acked when that is certain
        first = await stage.arrived(1)
        stage.publish("retry", "1s.t.a", first.body, headers={"x-attempt": 2})
        assert await stage.confirmed(1) == [Confirm.ACKED]
        first.ack()

        # When it comes back, for which there is room now
        stage.rig.elapse(1)
        second = await stage.arrived(2)
        assert second.method.exchange == stage.topology.name("return")
        second.ack()
        consumer.flush()
        await stage.broker.close()

        # Then there is no third
        assert stage.rig.ready(stage.work) == 0
        assert stage.bodies == [b"sealed", b"sealed"]

    play(test)
