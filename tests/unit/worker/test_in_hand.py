"""InHand: a job that this worker has, or has just ended, is not started a second time."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.delivery import Delivery
from penstock.domain.lane import PREFETCH_SHORT_JOBS
from penstock.worker import in_hand as module
from penstock.worker.in_hand import InHand, Meeting
from tests.unit.builders import job_id, make_delivery
from tests.unit.worker.fakes import FakeChannel


def arriving(channel: FakeChannel | None = None, **changes: Any) -> Delivery:
    return make_delivery(channel=channel or FakeChannel(), **changes)


def lost(delivery: Delivery) -> None:
    """The connection over which it came is gone."""
    delivery.channel.open = False


@pytest.fixture
def hand() -> InHand:
    return InHand()


# ── held ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_the_worker_does_not_have_is_new_and_held_from_then_on(hand: InHand) -> None:
    assert hand.meet(arriving()) is Meeting.NEW
    assert len(hand) == 1
    assert hand.meet(arriving(job_id=job_id(5))) is Meeting.NEW
    assert len(hand) == 2


def test_a_job_that_is_handed_out_again_after_its_channel_died_is_adopted(hand: InHand) -> None:
    # Given a job that runs here, whose connection is lost
    running = arriving(tag=7)
    hand.meet(running)
    lost(running)

    # When the broker hands it out again over a new channel
    channel = FakeChannel()
    met = hand.meet(arriving(channel, tag=1, again=True, returns=1))

    # Then the job that runs is settled by the new delivery
    assert met is Meeting.ADOPTED
    assert (running.channel, running.tag) == (channel, 1)
    assert len(hand) == 1


def test_a_job_is_adopted_as_often_as_its_channel_dies(hand: InHand) -> None:
    running = arriving()
    hand.meet(running)
    for tag in range(1, 4):
        lost(running)
        assert hand.meet(arriving(tag=tag, again=True)) is Meeting.ADOPTED
        assert running.tag == tag


def test_a_second_message_of_a_job_whose_first_is_still_good_is_its_twin(hand: InHand) -> None:
    # Given a job that runs here
    running = arriving(tag=7)
    hand.meet(running)

    # When another message of it comes, over the same or another channel
    for channel in (running.channel, FakeChannel()):
        assert hand.meet(arriving(channel, tag=8)) is Meeting.TWIN

    # Then the first is settled by its own delivery
    assert running.tag == 7


@pytest.mark.parametrize("other", [{"attempt": 2}, {"replays": 1}])
def test_another_attempt_or_replay_does_not_stand_in_for_the_one_that_runs(hand: InHand, other: dict[str, Any]) -> None:
    """Its delivery would be acked with the end of the older one, and its own work not be done."""
    # Given a job that runs here for a channel that is gone; meanwhile another worker failed it and sent a retry copy
    running = arriving(tag=7)
    hand.meet(running)
    lost(running)

    # When the copy comes here, then it waits
    assert hand.meet(arriving(tag=1, again=True, **other)) is Meeting.TWIN
    assert running.tag == 7


def test_messages_without_an_id_have_nothing_in_common(hand: InHand) -> None:
    # Given one that was ended
    first = arriving(job_id="")
    assert hand.meet(first) is Meeting.NEW
    hand.release(first, ended=True)

    # When others come, then each is for itself, and none is held
    assert hand.meet(arriving(job_id="", again=True)) is Meeting.NEW
    assert hand.meet(arriving(job_id="", again=True)) is Meeting.NEW
    assert len(hand) == 0


# ── released ────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_whose_copy_waits_in_the_broker_is_forgotten(hand: InHand) -> None:
    delivery = arriving()
    hand.meet(delivery)
    hand.release(delivery, ended=False)
    assert len(hand) == 0


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_job_that_comes_back_from_the_ladder_is_new(hand: InHand, attempt: int) -> None:
    """A copy may come as redelivered without having been anybody's: RabbitMQ 4.3 says so when a wait queue did."""
    # Given a job that was held up, or failed, and was replaced by a copy
    first = arriving()
    hand.meet(first)
    hand.release(first, ended=False)

    # When the copy comes
    copy = arriving(again=True, attempt=attempt)

    # Then it is run, as often as it takes
    assert hand.meet(copy) is Meeting.NEW
    hand.release(copy, ended=False)
    assert hand.meet(arriving(again=True, attempt=attempt)) is Meeting.NEW


def test_the_release_of_a_twin_does_not_release_the_job(hand: InHand) -> None:
    # Given a job and its twin
    running, twin = arriving(), arriving()
    hand.meet(running)
    hand.meet(twin)

    # When the twin is settled, whatever became of it
    hand.release(twin, ended=False)
    hand.release(twin, ended=True)

    # Then the job is still in hand, and not ended
    assert len(hand) == 1
    hand.release(running, ended=False)
    assert hand.meet(arriving(again=True)) is Meeting.NEW


def test_releasing_twice_does_nothing_more(hand: InHand) -> None:
    # Given a job that was released and has come again
    first = arriving()
    hand.meet(first)
    hand.release(first, ended=False)
    second = arriving(again=True)
    hand.meet(second)

    # When the first is released once more
    hand.release(first, ended=True)

    # Then the second is held as before
    assert len(hand) == 1
    assert hand.meet(arriving(again=True)) is Meeting.TWIN


# ── ended ───────────────────────────────────────────────────────────────────────────────────────────


def ended(hand: InHand, **changes: Any) -> Delivery:
    """A job that this worker has ended."""
    delivery = arriving(**changes)
    assert hand.meet(delivery) is Meeting.NEW
    hand.release(delivery, ended=True)
    return delivery


def test_an_ended_job_whose_ack_was_lost_is_not_run_again(hand: InHand) -> None:
    ended(hand)
    assert hand.meet(arriving(again=True)) is Meeting.ENDED
    assert len(hand) == 0


def test_another_attempt_of_an_ended_job_is_not_run_either(hand: InHand) -> None:
    """Another worker failed it while it ran to its end here: one result is enough."""
    ended(hand)
    assert hand.meet(arriving(again=True, attempt=2)) is Meeting.ENDED


@pytest.mark.parametrize(
    "fresh",
    [
        {"again": False},
        {"again": True, "replays": 1},
        {"again": True, "reply_to": "shop.web-2"},
        {"again": True, "job_id": job_id(5)},
    ],
)
def test_what_asks_for_another_answer_is_run(hand: InHand, fresh: dict[str, Any]) -> None:
    """A new message, a replay from the dead queue, another requester, another job."""
    ended(hand, reply_to="shop.web-1")
    assert hand.meet(arriving(**{"reply_to": "shop.web-1", **fresh})) is Meeting.NEW


def test_a_publication_that_came_after_the_end_is_run(hand: InHand) -> None:
    """Its producer may have lost the answer with its reply queue; nobody else would answer."""
    # Given an ended job
    ended(hand, reply_to="shop.web-1")

    # When its producer publishes it again, not knowing what became of it
    repeated = arriving(again=True, repeat=1, reply_to="shop.web-1")

    # Then it is run; and what its end speaks for is not run a third time
    assert hand.meet(repeated) is Meeting.NEW
    hand.release(repeated, ended=True)
    for repeat in (0, 1):
        assert hand.meet(arriving(again=True, repeat=repeat, reply_to="shop.web-1")) is Meeting.ENDED
    assert hand.meet(arriving(again=True, repeat=2, reply_to="shop.web-1")) is Meeting.NEW


def test_a_publication_that_came_before_the_end_has_its_answer(hand: InHand) -> None:
    # Given a job that runs while its producer publishes it again
    running = arriving()
    hand.meet(running)
    assert hand.meet(arriving(again=True, repeat=1)) is Meeting.TWIN

    # When it has ended and the second message, which was held up, comes back
    hand.release(running, ended=True)

    # Then the answer was for both
    assert hand.meet(arriving(again=True, repeat=1)) is Meeting.ENDED


def test_so_many_ended_jobs_are_remembered_and_no_more(hand: InHand, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a memory of three
    monkeypatch.setattr(module, "_REMEMBERED", 3)

    # When four jobs end
    for number in range(4):
        ended(hand, job_id=job_id(number))

    # Then the oldest is forgotten
    met = [hand.meet(arriving(again=True, job_id=job_id(number))) for number in range(4)]
    assert met == [Meeting.NEW, Meeting.ENDED, Meeting.ENDED, Meeting.ENDED]


def test_the_memory_covers_every_ack_that_can_be_lost() -> None:
    assert module._REMEMBERED > PREFETCH_SHORT_JOBS
