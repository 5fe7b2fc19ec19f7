"""Streams: where items and progress go, what lets a job go on, and that its result waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.broker.ports import Confirm
from penstock.domain.delivery import Delivery
from penstock.domain.topology import Topology
from penstock.wire.codec import decode
from penstock.wire.registry import CREDIT_AGAIN_MS, PROGRESS_INTERVAL_MS, STREAM_WINDOW, ResultMode
from penstock.worker.streams import Streams
from tests.unit.builders import JOB_ID
from tests.unit.worker.fakes import Append, Desk, Published

REPLY: dict[str, Any] = {"mode": ResultMode.REPLY, "reply_to": "shop.web-1"}
STORED: dict[str, Any] = {"mode": ResultMode.REPLY_AND_STORED, "reply_to": "shop.web-1"}


class Timer:
    """What will be called when the test says so."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Bench:
    """The streams of a queue, and everything around them."""

    def __init__(self, *, stores: bool = True) -> None:
        self.desk = Desk(Topology())
        self.granted: list[int | None] = []
        self.timers: list[tuple[float, Timer]] = []
        self.next_turn: list[Callable[[], None]] = []
        self.settled = 0
        self.streams = Streams(
            self.desk.publisher,
            self.desk.store.items if stores else None,
            Topology(),
            worker="shop.worker-1",
            metrics=self.desk.metrics,
            grant=lambda _, upto: self.granted.append(upto),
            later=self._later,
        )

    def _later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        if seconds:
            self.timers.append((seconds, timer))
        else:
            self.next_turn.append(call)
        return timer

    def turn(self) -> None:
        """The loop goes on."""
        calls, self.next_turn = self.next_turn, []
        for call in calls:
            call()

    def elapse(self) -> None:
        """The time of everything that waits is over."""
        timers, self.timers = self.timers, []
        for _, timer in timers:
            if not timer.cancelled:
                timer.call()

    def items(self, delivery: Delivery, numbers: range) -> None:
        for number in numbers:
            self.streams.item(delivery, number, bytes([number]))
            self.turn()

    def end(self, delivery: Delivery) -> None:
        def settle() -> None:
            self.settled += 1

        self.streams.ended(delivery, settle)

    @property
    def published(self) -> list[Published]:
        return self.desk.publisher.messages

    @property
    def seqs(self) -> list[int]:
        return [message.headers["x-seq"] for message in self.published if "x-seq" in message.headers]

    @property
    def kept(self) -> list[Append]:
        return self.desk.store.items.calls

    @property
    def sent(self) -> float:
        return self.desk.sample("penstock_items_sent_total", queue="stats", task="stats.norm")


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ── messages ────────────────────────────────────────────────────────────────────────────────────────


def test_an_item_is_a_message_to_the_requester(bench: Bench) -> None:
    bench.streams.item(bench.desk.delivery(**REPLY, fence=10_001), 3, b"\x01")
    bench.turn()
    (message,) = bench.published
    assert (message.exchange, message.key, message.body) == ("penstock.replies", "shop.web-1", b"\x91\x01")
    assert message.headers == {"x-fence": 10_001, "x-seq": 3, "x-worker": "shop.worker-1"}
    assert (message.properties.type, message.properties.correlation_id) == ("item.v1", JOB_ID)
    assert bench.sent == 0
    message.done(Confirm.ACKED)
    assert bench.sent == 1


def test_what_is_yielded_in_one_turn_is_one_message(bench: Bench) -> None:
    # Given items that come together, of 60,000 bytes each but for the small ones
    delivery = bench.desk.delivery(**REPLY)
    long = b"\xc5\xea\x60" + bytes(60_000)
    for number, body in enumerate([b"\x01", b"\x02", long, b"\x03", long]):
        bench.streams.item(delivery, number, body)
    bench.end(delivery)

    # When the loop goes on
    assert (bench.published, bench.settled) == ([], 0)
    bench.turn()

    # Then a message has what fits into 64 KiB, and says where it begins
    assert bench.seqs == [0, 4]
    assert [message.body for message in bench.published] == [
        b"\x94\x01\x02" + long + b"\x03",
        b"\x91" + long,
    ]
    for message in bench.published:
        message.done(Confirm.ACKED)
    assert (bench.settled, bench.sent) == (1, 5)


def test_what_waits_to_be_sent_when_the_last_reader_leaves_holds_no_result_back(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.streams.item(delivery, 0, b"\x01")
    bench.end(delivery)
    assert bench.settled == 0
    bench.streams.credit(JOB_ID, delivery.fence, -1)
    bench.turn()
    assert (bench.published, bench.settled) == ([], 1)


def test_what_was_refused_holds_no_result_back_when_the_last_reader_leaves(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(1))
    bench.published[0].done(Confirm.REFUSED)
    bench.end(delivery)
    bench.streams.credit(JOB_ID, delivery.fence, -1)
    assert bench.settled == 1


def test_items_do_not_wait_for_one_another_and_the_result_waits_for_all(bench: Bench) -> None:
    # Given a job whose items are on their way when it ends
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(3))
    bench.end(delivery)
    assert bench.seqs == [0, 1, 2]

    # When the broker has confirmed all
    for message in bench.published:
        assert bench.settled == 0
        message.done(Confirm.ACKED)

    # Then the result is settled, and nothing is remembered
    assert bench.settled == 1
    assert not bench.streams.starts


def test_a_job_of_which_nothing_is_on_its_way_is_settled_at_once(bench: Bench) -> None:
    bench.end(bench.desk.delivery(**REPLY))
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(1))
    bench.published[0].done(Confirm.ACKED)
    bench.end(delivery)
    assert bench.settled == 2


def test_credit_lets_the_job_go_on_and_never_takes_back(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(2))
    for upto in (65, 64, 65, 100, 0, -2, 99):
        bench.streams.credit(JOB_ID, delivery.fence, upto)
    assert bench.granted == [65, 100]


def test_credit_for_another_start_or_another_job_means_nothing(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.streams.credit(JOB_ID, delivery.fence, 100)
    bench.items(delivery, range(2))
    bench.streams.credit(JOB_ID, delivery.fence - 1, 100)
    bench.streams.credit(f"{JOB_ID[:-1]}0", delivery.fence, 100)
    assert bench.granted == []


def test_without_a_reader_the_job_goes_on_and_nothing_more_is_sent(bench: Bench) -> None:
    # Given a job with an item on its way
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(1))

    # When its reader says that it reads no more
    bench.streams.credit(JOB_ID, delivery.fence, -1)
    bench.items(delivery, range(1, 200))
    bench.end(delivery)

    # Then the job is not held back, and what was on its way ends before its result is settled
    assert bench.granted == [None]
    assert (bench.seqs, bench.settled) == ([0], 0)
    bench.published[0].done(Confirm.REFUSED)
    assert (bench.settled, bench.timers) == (1, [])


def test_a_job_that_has_ended_waits_for_no_refused_item_that_nobody_reads(bench: Bench) -> None:
    # Given a job that has ended, and an item that the broker has refused
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(1))
    bench.end(delivery)
    bench.published[0].done(Confirm.REFUSED)
    assert bench.settled == 0

    # When its reader wants no more before it is published again
    bench.streams.credit(JOB_ID, delivery.fence, -1)

    # Then it is settled, once
    assert bench.settled == 1
    bench.elapse()
    assert (bench.seqs, bench.settled) == ([0], 1)


def test_who_reads_no_items_hears_of_the_progress_all_the_same(bench: Bench) -> None:
    # Given a requester who has said that nobody reads the items, more than once
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(1))
    for _ in range(2):
        bench.streams.credit(JOB_ID, delivery.fence, -1)

    # When the job goes on
    bench.items(delivery, range(1, 3))
    bench.streams.progress(delivery, 0.5, "half")
    bench.streams.credit(JOB_ID, delivery.fence, 100)

    # Then how far it is goes to the requester, and nothing else
    assert (bench.seqs, bench.granted) == ([0], [None])
    assert decode(bench.published[1].body) == {"fraction": 0.5, "text": "half"}
    bench.end(delivery)
    for message in bench.published:
        assert bench.settled == 0
        message.done(Confirm.ACKED)
    assert bench.settled == 1


def test_a_returned_item_says_that_the_requester_is_gone(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(2))
    bench.published[0].done(Confirm.RETURNED)
    bench.items(delivery, range(2, 4))
    bench.end(delivery)
    assert (bench.seqs, bench.granted, bench.settled) == ([0, 1], [None], 0)
    bench.published[1].done(Confirm.RETURNED)
    assert (bench.settled, bench.sent) == (1, 0)


def test_what_the_broker_refuses_is_published_again_in_order_with_what_came_after_it(bench: Bench) -> None:
    # Given items of which the broker takes none
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(3))
    bench.published[1].done(Confirm.REFUSED)
    bench.items(delivery, range(3, 5))
    bench.published[0].done(Confirm.REFUSED)
    assert bench.timers == []
    bench.published[2].done(Confirm.REFUSED)
    bench.end(delivery)
    assert bench.seqs == [0, 1, 2]

    # When a while has passed
    assert [seconds for seconds, _ in bench.timers] == [0.1]
    bench.elapse()

    # Then all are published, in order, and the result waits for them
    assert bench.seqs == [0, 1, 2, 0, 1, 2, 3]
    assert bench.settled == 0
    for message in bench.published[3:]:
        message.done(Confirm.ACKED)
    assert (bench.settled, bench.sent) == (1, 5)


def test_what_is_refused_again_and_again_is_published_less_and_less_often(bench: Bench) -> None:
    # Given an item that the broker refuses, again and again
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(1))
    pauses = []
    for _ in range(5):
        bench.published[-1].done(Confirm.REFUSED)
        pauses += [seconds for seconds, _ in bench.timers]
        bench.elapse()

    # When it takes it, and refuses the next one
    bench.published[-1].done(Confirm.ACKED)
    bench.items(delivery, range(1, 2))
    bench.published[-1].done(Confirm.REFUSED)

    # Then the pauses have grown, and begin anew
    assert pauses == [0.1, 1.0, 5.0, 15.0, 15.0]
    assert [seconds for seconds, _ in bench.timers] == [0.1]


def test_what_was_refused_is_given_up_when_the_job_has_ended_and_will_be_handed_out_again(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(1))
    bench.published[0].done(Confirm.REFUSED)
    bench.desk.channel.open = False
    bench.elapse()
    assert bench.seqs == [0, 0]
    bench.published[1].done(Confirm.REFUSED)
    bench.end(delivery)
    bench.elapse()
    assert (bench.seqs, bench.granted, bench.settled) == ([0, 0], [None], 1)


def test_a_job_that_waits_for_credit_learns_by_its_last_item_that_the_requester_is_gone(bench: Bench) -> None:
    # Given a job that has sent what it may, all of which is confirmed
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(STREAM_WINDOW))
    for message in bench.published:
        message.done(Confirm.ACKED)

    # When it waits for long
    assert [seconds for seconds, _ in bench.timers] == [CREDIT_AGAIN_MS / 1000]
    bench.elapse()
    bench.elapse()

    # Then its last item is repeated, one at a time, which counts as none
    assert bench.seqs[STREAM_WINDOW:] == [STREAM_WINDOW - 1]
    bench.published[-1].done(Confirm.ACKED)
    bench.elapse()
    assert bench.seqs[STREAM_WINDOW:] == [STREAM_WINDOW - 1] * 2
    bench.published[-1].done(Confirm.RETURNED)
    assert (bench.granted, bench.sent) == ([None], STREAM_WINDOW)
    bench.elapse()
    assert bench.timers == []


def test_a_job_that_waits_no_more_repeats_nothing(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.items(delivery, range(STREAM_WINDOW))
    bench.streams.credit(JOB_ID, delivery.fence, 2 * STREAM_WINDOW)
    bench.elapse()
    assert bench.timers == []
    bench.items(delivery, range(STREAM_WINDOW, 2 * STREAM_WINDOW))
    for message in bench.published:
        message.done(Confirm.ACKED)
    bench.end(delivery)
    bench.elapse()
    assert bench.seqs == list(range(2 * STREAM_WINDOW))


# ── the store ───────────────────────────────────────────────────────────────────────────────────────


def test_items_are_kept_one_call_at_a_time_that_takes_all_there_are(bench: Bench) -> None:
    # Given a job whose result is stored
    delivery = bench.desk.delivery(**STORED, fence=10_001)
    bench.items(delivery, range(3))

    # When the first is kept
    (first,) = bench.kept
    assert (first.job_id, first.fence, first.reply_to) == (JOB_ID, 10_001, "shop.web-1")
    assert (first.at, first.content) == (0, b"\0\0\0\1\0")
    first.done(True)

    # Then the others follow behind it, and nothing is published
    (_, second) = bench.kept
    assert (second.at, second.content) == (5, b"\0\0\0\1\1\0\0\0\1\2")
    bench.end(delivery)
    assert bench.settled == 0
    second.done(True)
    assert (bench.settled, bench.sent, bench.published) == (1, 3, [])


def test_one_call_of_the_store_is_no_longer_than_a_mebibyte_or_one_item(bench: Bench) -> None:
    delivery = bench.desk.delivery(**STORED)
    for number in range(4):
        bench.streams.item(delivery, number, b"x" * 600_000)
    bench.kept[0].done(True)
    assert len(bench.kept[1].content) == 600_004


def test_the_job_goes_on_as_its_items_are_kept(bench: Bench) -> None:
    # Given as many items as a job may send
    delivery = bench.desk.delivery(**STORED)
    bench.items(delivery, range(STREAM_WINDOW))
    bench.streams.credit(JOB_ID, delivery.fence, 1000)
    assert bench.granted == []

    # When they are kept
    bench.kept[0].done(True)
    assert bench.granted == []
    bench.kept[1].done(True)

    # Then it may send as many again
    assert bench.granted == [2 * STREAM_WINDOW]


def test_a_start_that_was_given_up_for_lost_writes_no_more_and_is_not_held_back(bench: Bench) -> None:
    delivery = bench.desk.delivery(**STORED)
    bench.items(delivery, range(3))
    bench.kept[0].done(False)
    bench.items(delivery, range(3, 5))
    bench.end(delivery)
    assert (len(bench.kept), bench.granted, bench.settled, bench.sent) == (1, [None], 1, 0)


def test_a_replayed_job_is_not_held_back_by_the_command_that_awaits_its_end(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY, replays=1)
    bench.items(delivery, range(2 * STREAM_WINDOW))
    bench.streams.progress(delivery, 0.5, "")
    bench.end(delivery)
    assert (bench.published, bench.granted, bench.settled) == ([], [None], 1)


def test_the_items_of_a_replayed_job_are_stored_if_its_result_is(bench: Bench) -> None:
    bench.items(bench.desk.delivery(**STORED, replays=1), range(1))
    assert len(bench.kept) == 1


def test_what_nobody_awaits_goes_nowhere_and_holds_nobody_back() -> None:
    for stores, mode in ((True, {"mode": ResultMode.NONE}), (True, {"mode": ResultMode.REPLY, "reply_to": None})):
        bench = Bench(stores=stores)
        delivery = bench.desk.delivery(**mode)
        bench.items(delivery, range(5))
        bench.streams.progress(delivery, 0.5, "")
        bench.end(delivery)
        assert (bench.published, bench.kept, bench.granted, bench.settled) == ([], [], [None], 1)


# ── progress ────────────────────────────────────────────────────────────────────────────────────────


def test_progress_is_passed_on_at_most_once_in_an_interval_and_the_newest_in_the_end(bench: Bench) -> None:
    # Given a job that says often how far it is
    delivery = bench.desk.delivery(**REPLY, fence=10_001)
    for step in range(1, 5):
        bench.streams.progress(delivery, step / 10, f"step {step}")
    (first,) = bench.published
    assert decode(first.body) == {"fraction": 0.1, "text": "step 1"}
    assert first.properties.type == "progress.v1"
    assert first.headers == {"x-fence": 10_001, "x-worker": "shop.worker-1"}
    first.done(Confirm.ACKED)

    # When the interval is over
    assert [seconds for seconds, _ in bench.timers] == [PROGRESS_INTERVAL_MS / 1000]
    bench.elapse()

    # Then the newest one follows, and none after it that is not new
    assert decode(bench.published[1].body)["text"] == "step 4"
    bench.published[1].done(Confirm.ACKED)
    bench.elapse()
    assert (len(bench.published), bench.timers) == (2, [])


def test_progress_does_not_pile_up_while_the_broker_says_nothing(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    for step in range(5):
        bench.streams.progress(delivery, step / 10, "")
        bench.elapse()
    assert len(bench.published) == 1
    bench.published[0].done(Confirm.ACKED)
    assert decode(bench.published[1].body)["fraction"] == 0.4


def test_the_newest_progress_is_passed_on_before_the_result(bench: Bench) -> None:
    delivery = bench.desk.delivery(**REPLY)
    bench.streams.progress(delivery, 0.1, "")
    bench.streams.progress(delivery, 1.0, "")
    bench.published[0].done(Confirm.ACKED)
    bench.end(delivery)
    assert decode(bench.published[1].body)["fraction"] == 1.0
    assert bench.settled == 0
    bench.published[1].done(Confirm.ACKED)
    assert bench.settled == 1
    bench.elapse()
    assert len(bench.published) == 2


def test_the_progress_of_a_stored_result_is_stored_and_one_call_is_on_its_way_at_a_time(bench: Bench) -> None:
    delivery = bench.desk.delivery(**STORED)
    for step in range(3):
        bench.streams.progress(delivery, step / 10, "")
        bench.elapse()
    (first,) = bench.kept
    assert (first.at, decode(first.content)["fraction"]) == (None, 0.0)
    bench.end(delivery)
    first.done(True)
    assert (decode(bench.kept[1].content)["fraction"], bench.settled) == (0.2, 0)
    bench.kept[1].done(True)
    assert bench.settled == 1


# ── other starts ────────────────────────────────────────────────────────────────────────────────────


def test_a_later_start_in_the_same_worker_has_a_way_of_its_own(bench: Bench) -> None:
    # Given a job that was cut off with an item on its way
    first = bench.desk.delivery(**REPLY, fence=10_000)
    bench.items(first, range(1))
    bench.streams.forget(first)

    # When it starts again here
    second = bench.desk.delivery(**REPLY, fence=10_001)
    bench.items(second, range(1))
    bench.end(second)

    # Then the end of the first one says nothing of it
    bench.published[0].done(Confirm.ACKED)
    assert bench.settled == 0
    bench.published[1].done(Confirm.ACKED)
    assert (bench.settled, dict(bench.streams.starts)) == (1, {})
