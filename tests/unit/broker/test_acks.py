"""AckBook: as few acknowledgements as possible, never one for a job that is not settled."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from penstock.broker.acks import AckBook, Acks


class RabbitChannel:
    """RabbitMQ's side of one channel, as far as acks go.

    An ack must name an outstanding tag, else the channel is closed with 406; with `multiple` it settles every
    outstanding tag up to it.
    """

    def __init__(self) -> None:
        self.delivered = 0
        self.outstanding: set[int] = set()
        self.settled: set[int] = set()

    def deliver(self) -> int:
        self.delivered += 1
        self.outstanding.add(self.delivered)
        return self.delivered

    def reject(self, tag: int) -> None:
        self.outstanding.remove(tag)

    def take(self, acks: Acks) -> None:
        """The acks of one call of `collect`, in the order in which they are sent."""
        if acks.up_to is not None:
            assert acks.up_to in self.outstanding, f"406 unknown delivery tag {acks.up_to}"
            self._ack({tag for tag in self.outstanding if tag <= acks.up_to})
        for tag in acks.single:
            assert tag in self.outstanding, f"406 unknown delivery tag {tag}"
            self._ack({tag})

    def _ack(self, tags: set[int]) -> None:
        assert tags <= self.settled, f"acked before they were settled: {tags - self.settled}"
        self.outstanding -= tags

    @property
    def unacked(self) -> set[int]:
        """Settled tags that the broker does not know to be settled."""
        return self.settled & self.outstanding

    @property
    def unsettled(self) -> list[int]:
        return sorted(self.outstanding - self.settled)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_settled_in_whatever_order_the_channel_lives_and_everything_is_acked(seed: int) -> None:
    # Given a channel with a prefetch, and a book
    dice = random.Random(seed)
    prefetch = dice.choice((1, 2, 5, 40))
    channel, book = RabbitChannel(), AckBook()
    overdue: set[int] = set()

    # When deliveries, settlements, rejections and collections come in any order
    for _ in range(600):
        step = dice.random()
        if step < 0.4 and len(channel.outstanding) < prefetch:
            book.deliver(channel.deliver())
        elif step < 0.75 and channel.unsettled:
            tag = dice.choice(channel.unsettled)
            channel.settled.add(tag)
            book.settle(tag)
        elif step < 0.82 and channel.unsettled:
            tag = dice.choice(channel.unsettled)
            channel.reject(tag)
            book.forget(tag)
        elif step >= 0.82:
            settled_before = channel.unacked
            channel.take(book.collect())

            # Then nothing settled waits for a third collection, and the book knows what it still holds
            assert not overdue & channel.outstanding
            overdue = settled_before & channel.outstanding
            assert book.holds == bool(channel.unacked)

    # And when the last jobs have ended, two collections leave nothing behind
    for tag in channel.unsettled:
        channel.settled.add(tag)
        book.settle(tag)
    channel.take(book.collect())
    channel.take(book.collect())
    assert channel.outstanding == set()
    assert not book.holds


def settled(*tags: int, delivered: int = 5) -> AckBook:
    """A book of so many deliveries, of which these are settled."""
    book = AckBook()
    for tag in range(1, delivered + 1):
        book.deliver(tag)
    for tag in tags:
        book.settle(tag)
    return book


def test_an_empty_book_has_nothing_to_send() -> None:
    book = AckBook()
    assert not book.holds
    assert book.collect() == Acks(None, [])


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_neighbours_are_acked_with_one_frame_in_whatever_order_they_ended(order: tuple[int, ...]) -> None:
    assert settled(*order).collect() == Acks(3, [])


def test_a_tag_behind_a_slow_job_is_held_once_and_then_acked_on_its_own() -> None:
    # Given a slow job 2, and others that are over
    book = settled(1, 3, 5)

    # When acks are collected
    first, second, third = book.collect(), book.collect(), book.collect()

    # Then 1 leaves at once, 3 and 5 wait for one call, and nothing is sent twice
    assert [first, second, third] == [Acks(1, []), Acks(None, [3, 5]), Acks(None, [])]


def test_a_held_tag_joins_its_neighbours_when_the_slow_job_ends_in_time() -> None:
    # Given a tag that is held
    book = settled(2)
    assert book.collect() == Acks(None, [])

    # When the slow job ends before the next call
    book.settle(1)

    # Then one frame does for both
    assert book.collect() == Acks(2, [])


def test_when_the_slow_job_ends_the_tag_named_is_one_that_is_outstanding() -> None:
    """RabbitMQ closes the channel when an ack names a tag that was acked already."""
    # Given 2 and 3, acked on their own behind job 1
    book = settled(2, 3)
    book.collect()
    assert book.collect().single == [2, 3]

    # When job 1 ends
    book.settle(1)

    # Then the ack names 1, not 3
    assert book.collect() == Acks(1, [])


def test_the_book_goes_on_behind_tags_that_were_acked_singly() -> None:
    # Given 2 acked on its own, then 1
    book = settled(2)
    book.collect()
    book.collect()
    book.settle(1)
    book.collect()

    # When later jobs end, then they are neighbours of 2
    book.settle(3)
    book.settle(4)
    assert book.collect() == Acks(4, [])


def test_a_forgotten_tag_is_not_acked_and_holds_nobody_up() -> None:
    # Given a tag that was given back to the broker
    book = settled(1, 3)
    book.forget(2)

    # When acks are collected, then it is no gap
    assert book.collect() == Acks(3, [])


def test_when_only_forgotten_tags_remain_there_is_nothing_to_send() -> None:
    book = settled(delivered=2)
    book.forget(1)
    book.forget(2)
    assert not book.holds
    assert book.collect() == Acks(None, [])


def test_a_tag_that_is_settled_after_it_was_forgotten_is_not_acked() -> None:
    """A job that was given back may still end; its tag is no longer outstanding."""
    book = settled(1, delivered=2)
    book.forget(2)
    book.settle(2)
    assert [book.collect(), book.collect()] == [Acks(1, []), Acks(None, [])]
    assert not book.holds


def test_a_slow_job_does_not_make_the_book_grow_with_every_fast_one_behind_it() -> None:
    """Every buffer has a bound: a job may run for half an hour while others end by the thousand."""
    # Given a job 1 that runs on
    book = settled(delivered=1)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    # When five thousand others come and go
    for tag in range(2, 5_002):
        book.deliver(tag)
        book.settle(tag)
        book.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    # Then the book is about as small as it was
    assert grown < 50_000
