"""Control: a command is heeded if it is one, carried out where the job is, and acknowledged to whoever may hear it."""

from __future__ import annotations

from typing import Any

import pytest
from pika import BasicProperties

from penstock.domain.cancellation import Told
from penstock.domain.topology import Topology
from penstock.wire.registry import CancelStep
from penstock.worker.cancels import Cancels
from penstock.worker.control import Control
from penstock.worker.in_hand import InHand
from tests.unit.builders import JOB_ID, make_delivery
from tests.unit.worker.fakes import FakePublisher

OTHER = f"{JOB_ID[:-1]}0"


class FakeQueue:
    """A queue that has some jobs."""

    def __init__(self, *job_ids: str) -> None:
        self._job_ids = job_ids
        self.cancelled: list[tuple[str, Told]] = []
        self.credits: list[tuple[str, int, int]] = []

    def cancel(self, job_id: str, told: Told) -> bool:
        if job_id not in self._job_ids:
            return False
        self.cancelled.append((job_id, told))
        return True

    def credit(self, job_id: str, fence: int, upto: int) -> None:
        self.credits.append((job_id, fence, upto))


class Bench:
    """A worker of two queues, of which the second has the job."""

    def __init__(self, *, strict: bool = False) -> None:
        self.cancels = Cancels()
        self.in_hand = InHand()
        self.orders: list[Any] = []
        self.publisher = FakePublisher()
        self.queues = [FakeQueue(), FakeQueue(JOB_ID)]
        self.control = Control(
            self.queues,
            self.cancels,
            self.in_hand,
            lambda *order: self.orders.append(order),
            self.publisher,
            Topology(),
            worker="shop.worker-1",
            strict=strict,
        )

    def hear(self, job_id: str = JOB_ID, **changes: Any) -> None:
        given = {"type": "cancel.v1", "reply_to": "shop.cli-1", "user_id": "shop", "headers": {"x-job": job_id}}
        self.control.heard(BasicProperties(**{**given, **changes}))

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Where acknowledgements went, and what they say."""
        for message in self.publisher.messages:
            assert message.exchange == "penstock.replies"
            assert message.body == b""
            assert message.properties.type == "cancelled.v1"
            assert message.properties.correlation_id == message.headers["x-job"]
            assert message.headers["x-worker"] == "shop.worker-1"
        return [(message.key, message.headers["x-step"]) for message in self.publisher.messages]


def test_a_job_is_cancelled_where_it_is_and_acknowledged_once_it_is_known_how() -> None:
    bench = Bench()
    bench.hear()
    assert not bench.queues[0].cancelled
    ((job_id, told),) = bench.queues[1].cancelled
    assert job_id == JOB_ID
    assert bench.steps == []
    told(CancelStep.KILLED)
    assert bench.steps == [("shop.cli-1", "killed")]


def test_a_job_that_is_nowhere_is_remembered_and_acknowledged_at_once() -> None:
    bench = Bench()
    bench.hear(OTHER)
    assert OTHER in bench.cancels
    assert bench.steps == [("shop.cli-1", "unknown_here")]


def test_a_job_that_is_being_settled_has_ended_but_is_not_to_come_again() -> None:
    bench = Bench()
    bench.in_hand.meet(make_delivery(job_id=OTHER))
    bench.hear(OTHER)
    assert OTHER in bench.cancels
    assert bench.steps == [("shop.cli-1", "ended")]


@pytest.mark.parametrize("reply_to", [None, "", "no-dot", "a.b.c", "a b.c"])
def test_without_a_proper_address_there_is_no_acknowledgement(reply_to: str | None) -> None:
    bench = Bench()
    bench.hear(OTHER, reply_to=reply_to)
    assert OTHER in bench.cancels
    assert bench.steps == []


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "cancel.v2"},
        {"type": None},
        {"headers": None},
        {"headers": {"x-job": 7}},
        {"headers": {"x-job": "42"}},
        {"headers": {"x-job": JOB_ID.upper()}},
    ],
)
def test_what_is_no_command_of_this_version_is_not_heeded(changes: dict[str, Any]) -> None:
    bench = Bench()
    bench.hear(**changes)
    assert len(bench.cancels) == 0
    assert not any(queue.cancelled for queue in bench.queues)
    assert bench.steps == []


def test_outside_strict_mode_anybody_may_command() -> None:
    bench = Bench()
    bench.hear(OTHER, user_id=None)
    assert bench.steps == [("shop.cli-1", "unknown_here")]


def test_in_strict_mode_a_command_without_a_user_is_not_heeded() -> None:
    bench = Bench(strict=True)
    bench.hear(user_id=None)
    assert len(bench.cancels) == 0
    assert not bench.queues[1].cancelled


def test_in_strict_mode_nobody_else_is_answered_than_who_commands() -> None:
    bench = Bench(strict=True)
    bench.hear(OTHER, reply_to="somebody.else")
    assert OTHER in bench.cancels
    assert bench.steps == []
    bench.hear(OTHER)
    assert bench.steps == [("shop.cli-1", "unknown_here")]


# ── orders ──────────────────────────────────────────────────────────────────────────────────────────


def order(bench: Bench, what: str = "pause", **changes: Any) -> None:
    headers = {"x-order": what, **changes.pop("headers", {})}
    given = {"type": "order.v1", "reply_to": "shop.cli-1", "user_id": "shop", "headers": headers}
    bench.control.heard(BasicProperties(**{**given, **changes}))


def test_an_order_is_carried_out_and_answered() -> None:
    bench = Bench()
    order(bench, headers={"x-queue": "stats"})
    ((what, queue, done),) = bench.orders
    assert (what, queue) == ("pause", "stats")
    done(b"status")
    (message,) = bench.publisher.messages
    assert (message.exchange, message.key, message.body) == ("penstock.replies", "shop.cli-1", b"status")
    assert (message.properties.type, message.headers["x-worker"]) == ("status.v1", "shop.worker-1")


def test_an_order_to_one_worker_is_for_no_other() -> None:
    bench = Bench()
    order(bench, headers={"x-worker": "shop.worker-2"})
    assert bench.orders == []
    order(bench, headers={"x-worker": "shop.worker-1"})
    assert len(bench.orders) == 1


@pytest.mark.parametrize("what", ["", "stop", "PAUSE"])
def test_an_order_that_is_not_known_is_not_heeded(what: str) -> None:
    bench = Bench()
    order(bench, what)
    assert bench.orders == []


def test_under_strict_an_order_names_its_sender_and_only_he_is_answered() -> None:
    bench = Bench(strict=True)
    order(bench, user_id=None)
    assert bench.orders == []
    order(bench, reply_to="other.cli-1")
    ((_, _, done),) = bench.orders
    done(b"status")
    assert bench.publisher.messages == []


# ── credit ──────────────────────────────────────────────────────────────────────────────────────────

CREDIT = {"x-job": JOB_ID, "x-worker": "shop.worker-1", "x-fence": 10_000, "x-credit": 128}


@pytest.mark.parametrize("upto", [128, -1])
def test_a_credit_is_handed_to_the_queues_with_its_fence(upto: int) -> None:
    bench = Bench()
    bench.hear(type="credit.v1", headers={**CREDIT, "x-credit": upto})
    assert [queue.credits for queue in bench.queues] == [[(JOB_ID, 10_000, upto)]] * 2
    assert bench.steps == []


@pytest.mark.parametrize(
    "changes",
    [
        {"x-job": "42"},
        {"x-job": None},
        {"x-worker": "shop.worker-2"},
        {"x-worker": None},
        {"x-fence": None},
        {"x-fence": "10000"},
        {"x-credit": None},
        {"x-credit": True},
    ],
)
def test_a_credit_that_is_malformed_or_for_another_worker_is_ignored(changes: dict[str, Any]) -> None:
    bench = Bench()
    headers = {name: value for name, value in {**CREDIT, **changes}.items() if value is not None}
    bench.hear(type="credit.v1", headers=headers)
    assert [queue.credits for queue in bench.queues] == [[], []]


def test_in_strict_mode_a_credit_says_who_gives_it() -> None:
    bench = Bench(strict=True)
    bench.hear(type="credit.v1", headers=CREDIT, user_id=None)
    assert bench.queues[0].credits == []
    bench.hear(type="credit.v1", headers=CREDIT)
    assert bench.queues[0].credits == [(JOB_ID, 10_000, 128)]
