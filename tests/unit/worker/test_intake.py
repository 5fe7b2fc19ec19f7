"""Intake: AMQP's properties and headers become a delivery, and some are refused at the door."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pika import BasicProperties, spec
from pika.compat import long

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.spent import NOTHING, Spent
from penstock.domain.topology import Topology
from penstock.wire.blob import Blob
from penstock.wire.registry import MAX_BLOB_BYTES, MAX_BODY_BYTES, MAX_DELIVERIES, REFRESH_AFTER, ResultMode
from penstock.worker.intake import Intake
from tests.unit.builders import JOB_ID, make_queue, make_task

NOW_MS = 1_730_000_000_000
CHANNEL = object()


def make_intake(*, strict: bool = False, has_store: bool = True) -> Intake:
    queue = make_queue(make_task(), make_task("stats.sqrt", version=2))
    return Intake(
        queue,
        Topology(),
        strict=strict,
        has_store=has_store,
        max_body_bytes=MAX_BODY_BYTES,
    )


def read(
    *,
    key: Any = "stats.norm",
    exchange: str = "penstock.jobs",
    body: bytes = b"sealed",
    redelivered: bool = False,
    headers: dict[Any, Any] | None = None,
    intake: Intake | None = None,
    **properties: Any,
) -> Delivery:
    """A message as pika hands it out, read."""
    method = spec.Basic.Deliver(
        consumer_tag="c", delivery_tag=7, redelivered=redelivered, exchange=exchange, routing_key=key
    )
    given = BasicProperties(headers=headers, **{"message_id": JOB_ID, "type": "job.v1", **properties})
    return (intake or make_intake()).read(CHANNEL, method, given, body)


def returned(headers: dict[Any, Any] | None = None, **more: Any) -> Delivery:
    """A copy that a worker wrote, back from the ladder."""
    return read(exchange="penstock.return", key="1s.stats.norm", headers=headers, **more)


def refuse(delivery: Delivery, *, now_ms: int = NOW_MS, intake: Intake | None = None) -> Outcome | None:
    return (intake or make_intake()).refuse(delivery, now_ms)


def refused(outcome: Outcome | None, code: str, *words: str) -> None:
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.code == code
    assert [word for word in words if word not in outcome.failure.message] == []
    assert outcome.kind is (OutcomeKind.EXPIRED if code == "EXPIRED" else OutcomeKind.UNDECODABLE)
    assert (outcome.body, outcome.delay_s, outcome.failure.retryable) == (None, None, code == "DELIVERY_LIMIT")


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_without_headers_is_a_first_attempt_that_nobody_awaits() -> None:
    # Given a message with an id and a type
    delivery = read()

    # When it is read, then everything else has the value that PROFILE.md names
    assert (delivery.task, delivery.queue, delivery.job_id) == ("stats.norm", "stats", JOB_ID)
    assert (delivery.attempt, delivery.returns, delivery.fence, delivery.again) == (1, 0, 10_000, False)
    assert (delivery.spent, delivery.repeat, delivery.replays) == (NOTHING, 0, 0)
    assert (delivery.version, delivery.deadline_ms, delivery.not_before_ms) == (None, None, None)
    assert (delivery.mode, delivery.reply_to, delivery.user) == (ResultMode.NONE, None, None)
    assert (delivery.priority, delivery.kept) == (None, {})
    assert (delivery.body, delivery.tag, delivery.channel) == (b"sealed", 7, CHANNEL)


def test_a_message_with_everything_is_read_whole() -> None:
    # Given a message with every property and header
    trace = {"traceparent": "00-a-b-01", "tracestate": "x=y", "x-contract": "abcd"}
    delivery = read(
        reply_to="shop.web-1",
        user_id="shop",
        priority=3,
        headers={
            **trace,
            "x-delivery-count": 1,
            "x-repeat": 3,
            "x-replays": 4,
            "x-task-version": 1,
            "x-deadline": NOW_MS + 5,
            "x-not-before": NOW_MS + 1,
            "x-result": "reply+stored",
            "x-death": [{"queue": "penstock.wait.1s"}],
            "something-else": "x",
        },
    )

    # When it is read, then the parent routes on it, and unknown headers are left behind
    assert (delivery.attempt, delivery.returns, delivery.version) == (1, 1, 1)
    assert (delivery.repeat, delivery.replays, delivery.spent) == (3, 4, Spent(deliveries=1))
    assert (delivery.deadline_ms, delivery.not_before_ms) == (NOW_MS + 5, NOW_MS + 1)
    assert (delivery.mode, delivery.reply_to) == (ResultMode.REPLY_AND_STORED, "shop.web-1")
    assert (delivery.user, delivery.priority) == ("shop", 3)
    assert delivery.kept == trace


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("x-attempt", "attempt"),
        ("x-task-version", "version"),
        ("x-deadline", "deadline_ms"),
        ("x-not-before", "not_before_ms"),
    ],
)
def test_integers_of_64_bits_are_plain_integers_afterwards(header: str, field: str) -> None:
    """pika decodes them as a class of its own, which msgpack refuses."""
    value = getattr(returned({header: long(2**31 - 1)}), field)
    assert value == 2**31 - 1
    assert type(value) is int


@pytest.mark.parametrize("value", ["5", b"5", 5.0, True, None, [5], {"x": 5}])
@pytest.mark.parametrize(
    ("header", "field", "absent"),
    [
        ("x-attempt", "attempt", 1),
        ("x-delivery-count", "returns", 0),
        ("x-repeat", "repeat", 0),
        ("x-replays", "replays", 0),
        ("x-task-version", "version", None),
        ("x-deadline", "deadline_ms", None),
        ("x-not-before", "not_before_ms", None),
    ],
)
def test_an_integer_header_of_another_type_is_as_good_as_absent(
    header: str, field: str, absent: int | None, value: object
) -> None:
    assert getattr(returned({header: value}), field) == absent


@pytest.mark.parametrize("value", [0, -1, -(2**63)])
def test_an_attempt_is_at_least_the_first(value: int) -> None:
    assert returned({"x-attempt": value}).attempt == 1


@pytest.mark.parametrize("value", [2**31, 2**63 - 1])
def test_an_attempt_that_no_result_can_carry_does_not_reach_a_child(value: int) -> None:
    """result.v1 takes attempts up to 2^31-1; a caller could not read the answer."""
    delivery = returned({"x-attempt": value})
    assert delivery.attempt < 2**31 or refuse(delivery) is not None


@pytest.mark.parametrize(
    ("header", "reply_to", "mode"),
    [
        (None, None, ResultMode.NONE),
        (None, "shop.web-1", ResultMode.REPLY),
        ("none", "shop.web-1", ResultMode.NONE),
        ("reply", "shop.web-1", ResultMode.REPLY),
        ("reply", None, ResultMode.REPLY),
        ("stored", None, ResultMode.STORED),
        ("stored", "shop.web-1", ResultMode.STORED),
        ("reply+stored", "shop.web-1", ResultMode.REPLY_AND_STORED),
    ],
)
def test_the_header_says_where_the_result_goes_and_reply_to_when_it_is_silent(
    header: str | None, reply_to: str | None, mode: ResultMode
) -> None:
    headers = {} if header is None else {"x-result": header}
    assert read(headers=headers, reply_to=reply_to).mode is mode


def test_the_task_of_a_returned_job_is_found_behind_its_level() -> None:
    delivery = read(exchange="penstock.return", key="15s.stats.norm")
    assert delivery.task == "stats.norm"


def test_only_the_return_exchange_puts_a_level_before_the_task() -> None:
    assert read(exchange="penstock.jobs", key="15s.stats.norm").task == "15s.stats.norm"


@pytest.mark.parametrize(
    ("exchange", "user_id", "user"),
    [
        ("penstock.jobs", None, None),  # anybody could have written the header
        ("penstock.jobs", "shop", "shop"),
        ("penstock.return", None, "header"),
        ("penstock.return", "shop", "shop"),
    ],
)
def test_the_header_that_names_the_user_is_believed_only_where_workers_write(
    exchange: str, user_id: str | None, user: str | None
) -> None:
    delivery = read(exchange=exchange, key="1s.stats.norm", user_id=user_id, headers={"x-user": "header"})
    assert delivery.user == user


# ── what a job has spent ────────────────────────────────────────────────────────────────────────────

ACCOUNT = {
    "x-attempt": 7,
    "x-crashes": 2,
    "x-hangs": 1,
    "x-deliveries": 4,
    "x-first-at": NOW_MS - 5,
    "x-run-ms": 1500,
    "x-backoff-ms": 2500,
}


def test_a_copy_that_a_worker_wrote_says_what_the_job_has_spent() -> None:
    # Given a copy with an account, which has been handed out twice without an end
    delivery = returned({**ACCOUNT, "x-delivery-count": 2})

    # When it is read, then the attempts that are neither crashes nor hangs were failures
    assert delivery.attempt == 7
    assert delivery.spent == Spent(
        failures=3, crashes=2, hangs=1, deliveries=6, first_at_ms=NOW_MS - 5, run_ms=1500, backoff_ms=2500
    )


def test_what_a_producer_writes_of_an_account_is_not_believed() -> None:
    """It could have its job run alone, or never again."""
    delivery = read(headers=ACCOUNT)
    assert (delivery.attempt, delivery.spent) == (1, NOTHING)


def test_what_the_broker_counts_is_believed_of_every_message() -> None:
    delivery = read(headers={**ACCOUNT, "x-delivery-count": 3}, redelivered=True)
    assert (delivery.attempt, delivery.spent) == (1, Spent(deliveries=3))


@pytest.mark.parametrize(
    ("headers", "spent"),
    [
        ({}, NOTHING),
        ({"x-attempt": 3}, Spent(failures=2)),
        ({"x-attempt": 3, "x-crashes": 9}, Spent(crashes=2)),
        ({"x-attempt": 3, "x-crashes": 1, "x-hangs": 9}, Spent(crashes=1, hangs=1)),
        ({"x-crashes": 1}, NOTHING),
        ({"x-attempt": 2, "x-crashes": -1, "x-hangs": "x"}, Spent(failures=1)),
        ({"x-deliveries": -5, "x-run-ms": -5, "x-backoff-ms": None}, NOTHING),
        ({"x-deliveries": 2**63 - 1, "x-delivery-count": 2**63 - 1}, Spent(deliveries=2**31 - 1)),
        ({"x-run-ms": 2**63 - 1, "x-backoff-ms": 2**63 - 1}, Spent(run_ms=10**13, backoff_ms=10**13)),
    ],
)
def test_an_account_that_does_not_add_up_is_taken_for_what_it_can_be(headers: dict[str, Any], spent: Spent) -> None:
    assert returned(headers).spent == spent


@pytest.mark.parametrize(
    ("delivery", "again"),
    [
        (read(), False),
        (read(headers={"x-result": "stored"}), False),
        (read(redelivered=True), True),
        (read(headers={"x-repeat": 1}), True),
        (returned(), True),
        (returned({"x-attempt": 2}), True),
    ],
)
def test_a_job_may_have_ended_before_if_it_was_redelivered_returned_or_repeated(
    delivery: Delivery, again: bool
) -> None:
    assert delivery.again is again


# ── the fence ───────────────────────────────────────────────────────────────────────────────────────


def test_the_fence_grows_with_every_later_start_of_a_job() -> None:
    # Given the deliveries of one job in the order of their starts
    starts = [
        read(),
        read(headers={"x-task-version": 1, "x-delivery-count": 1}, redelivered=True),
        read(headers={"x-delivery-count": 4}, redelivered=True),
        returned({"x-attempt": 1, "x-deliveries": 5}),  # a fresh copy of a worn message
        returned({"x-attempt": 1, "x-deliveries": 5, "x-delivery-count": 2}, redelivered=True),
        returned({"x-attempt": 2, "x-deliveries": 7}),
        returned({"x-attempt": 2, "x-deliveries": 7, "x-delivery-count": 1}, redelivered=True),
        returned({"x-attempt": 3}),
        returned({"x-attempt": 2**31 - 1, "x-deliveries": 10**6}),
        read(headers={"x-replays": 1}),
        returned({"x-replays": 1, "x-attempt": 2}),
        read(headers={"x-replays": 2}),
    ]

    # When their fences are compared, then each is larger than the one before
    fences = [delivery.fence for delivery in starts]
    assert fences == sorted(set(fences))


def test_the_fence_grows_when_a_job_is_given_back_without_being_counted() -> None:
    """RabbitMQ 4.3 counts no delivery then, but that it was taken."""
    counts = [{}, {"x-acquired-count": 1}, {"x-acquired-count": 2}, {"x-acquired-count": 3, "x-delivery-count": 1}]
    fences = [read(headers=count or None, redelivered=bool(count)).fence for count in counts]
    assert fences == [10_000, 10_001, 10_002, 10_003]


def test_the_fence_of_a_copy_is_above_that_of_the_delivery_for_which_it_stands() -> None:
    """What was given back for nothing is not counted on the copy; only workers are believed."""
    assert returned({"x-attempt": 1, "x-deliveries": 5, "x-fence": 10_007}).fence == 10_008
    assert read(headers={"x-fence": 10_007}).fence == 10_000


def test_two_messages_of_one_job_have_different_fences_however_often_each_was_handed_out() -> None:
    """Its producer did not know what became of the first one, and two workers may run them at once."""
    counts: list[dict[str, Any]] = [{}, {"x-delivery-count": 1}, {"x-delivery-count": 2, "x-acquired-count": 7}]
    fences = [
        read(headers={**count, **repeat}, redelivered=bool(count)).fence
        for repeat in ({}, {"x-repeat": 1}, {"x-repeat": 2})
        for count in counts
    ]
    assert fences == sorted(set(fences))


def test_the_fence_is_an_integer_that_any_store_can_compare() -> None:
    huge = {"x-replays": 2**62, "x-attempt": 2**62, "x-deliveries": 2**62, "x-repeat": 2**62}
    most = returned({**huge, "x-fence": 2**63 - 1})
    assert 0 < most.fence < 2**63


# ── refusing ────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_known_whether_the_task_of_a_job_that_is_taken_yields() -> None:
    streams = Intake(
        make_queue(replace(make_task(), streams=True), make_task("stats.sqrt")),
        Topology(),
        strict=False,
        has_store=True,
        max_body_bytes=MAX_BODY_BYTES,
    )
    jobs = [read(key=key) for key in ("stats.norm", "stats.sqrt", "stats.none")]
    for job in jobs:
        refuse(job, intake=streams)
    assert [job.yields for job in jobs] == [True, False, False]


def test_a_proper_job_is_not_refused() -> None:
    assert refuse(read(reply_to="shop.web-1", headers={"x-task-version": 1, "x-deadline": NOW_MS + 1})) is None


@pytest.mark.parametrize("kind", [None, "", "job.v2", "result.v1", "JOB.V1", b"\xff"])
def test_a_message_of_another_type_is_refused(kind: Any) -> None:
    refused(refuse(read(type=kind)), "UNSUPPORTED_ENVELOPE", "message type", "job.v1")


@pytest.mark.parametrize("message_id", [None, "", "7", JOB_ID.upper(), JOB_ID + "\n", JOB_ID.replace("-", "")])
def test_a_message_without_a_job_id_is_refused(message_id: str | None) -> None:
    refused(refuse(read(message_id=message_id)), "BAD_ENVELOPE", "message_id", "UUIDv7")


def test_a_body_at_the_limit_is_taken() -> None:
    assert refuse(read(body=bytes(MAX_BODY_BYTES))) is None


def test_a_body_above_the_limit_is_refused() -> None:
    outcome = refuse(read(body=bytes(MAX_BODY_BYTES + 1)))
    refused(outcome, "TOO_LARGE", str(MAX_BODY_BYTES + 1), str(MAX_BODY_BYTES))


@pytest.mark.parametrize("reply_to", ["amq.rabbitmq.reply-to.g1", "shop", "shop.", ".web", "a.b.c", "a b.c"])
def test_a_reply_to_that_is_no_key_is_refused(reply_to: str) -> None:
    refused(refuse(read(reply_to=reply_to)), "BAD_ENVELOPE", reply_to, "<user>.<instance>")


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [
        ("stats", "BAD_ENVELOPE", ("'stats'", "<queue>.<function>")),
        ("stats.", "BAD_ENVELOPE", ("<queue>.<function>",)),
        ("stats.a b", "BAD_ENVELOPE", ()),
        ("stats." + "x" * 200, "BAD_ENVELOPE", ()),
        ("", "BAD_ENVELOPE", ()),
        ("images.thumb", "ENVELOPE_MISMATCH", ("images.thumb", "queue stats")),
        ("stats.median", "UNSUPPORTED_TASK", ("stats.median: no such task", "stats.norm, stats.sqrt")),
        ("stats.norm.x", "UNSUPPORTED_TASK", ()),
    ],
)
def test_a_task_that_is_not_served_is_refused(key: str, code: str, words: tuple[str, ...]) -> None:
    refused(refuse(read(key=key)), code, *words)


@pytest.mark.parametrize(
    ("key", "version", "ok"),
    [
        ("stats.norm", None, True),
        ("stats.norm", 1, True),
        ("stats.norm", 2, False),
        ("stats.norm", 0, False),
        ("stats.norm", -1, False),
        ("stats.sqrt", 2, True),
        ("stats.sqrt", 1, False),
    ],
)
def test_only_the_version_that_is_served_is_run(key: str, version: int | None, ok: bool) -> None:
    outcome = refuse(read(key=key, headers={} if version is None else {"x-task-version": version}))
    if ok:
        assert outcome is None
    else:
        refused(outcome, "UNSUPPORTED_TASK_VERSION", f"version {version} was asked for")


@pytest.mark.parametrize(
    ("mode", "stores", "ok"),
    [("stored", False, False), ("reply+stored", False, False), ("reply", False, True), ("stored", True, True)],
)
def test_a_stored_result_is_refused_by_a_worker_that_keeps_none(mode: str, stores: bool, ok: bool) -> None:
    intake = make_intake(has_store=stores)
    outcome = refuse(read(headers={"x-result": mode}, reply_to="shop.web-1"), intake=intake)
    if ok:
        assert outcome is None
    else:
        refused(outcome, "INTERNAL", "no Redis (--redis-url)")


@pytest.mark.parametrize(("now_ms", "late"), [(NOW_MS - 1, False), (NOW_MS, True), (NOW_MS + 1, True)])
def test_a_job_whose_deadline_has_come_is_not_started(now_ms: int, late: bool) -> None:
    outcome = refuse(read(headers={"x-deadline": NOW_MS}), now_ms=now_ms)
    if late:
        refused(outcome, "EXPIRED", "stats.norm", "deadline passed")
    else:
        assert outcome is None


def test_what_is_malformed_is_told_before_what_is_late() -> None:
    """An expired message for another worker would be answered as if it had been for us."""
    refused(refuse(read(key="images.thumb", headers={"x-deadline": 1})), "ENVELOPE_MISMATCH")


@pytest.mark.parametrize(("earlier", "dead"), [(MAX_DELIVERIES - 3, False), (MAX_DELIVERIES - 2, True)])
def test_a_job_that_came_to_no_end_in_fifty_hand_outs_is_refused(earlier: int, dead: bool) -> None:
    # Given a copy, two hand-outs of which came to no end
    outcome = refuse(returned({"x-deliveries": earlier, "x-delivery-count": 2}, redelivered=True))

    # When, then
    if dead:
        refused(outcome, "DELIVERY_LIMIT", f"handed out {MAX_DELIVERIES} times without an end")
    else:
        assert outcome is None


@pytest.mark.parametrize(("count", "worn"), [(None, False), (REFRESH_AFTER - 1, False), (REFRESH_AFTER, True)])
def test_a_message_is_worn_long_before_the_broker_gives_it_up(count: int | None, worn: bool) -> None:
    headers = {} if count is None else {"x-delivery-count": count}
    assert make_intake().worn(read(headers=headers)) is worn


def test_a_fresh_copy_is_not_worn_whatever_its_predecessors_were() -> None:
    assert not make_intake().worn(returned({"x-deliveries": MAX_DELIVERIES - 1}))


def test_a_job_whose_sender_is_in_doubt_is_not_answered() -> None:
    """The reply would go where somebody else listens."""
    # Given jobs that claim another's address
    intake = make_intake(strict=True)
    for reply_to, user_id in (("a b.c", "shop"), ("other.web-1", "shop"), ("shop.web-1", None)):
        delivery = read(intake=intake, reply_to=reply_to, user_id=user_id)

        # When they are refused, then nobody awaits the result
        assert refuse(delivery, intake=intake) is not None
        assert delivery.mode is ResultMode.NONE


# ── what travels with copies ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", ["x" * 1025, b"\xff", 5, {"a": 1}, ["x"], None, ""])
@pytest.mark.parametrize("header", ["traceparent", "tracestate", "x-contract"])
def test_a_header_that_no_copy_could_carry_is_left_behind(header: str, value: Any) -> None:
    """A copy that is larger than a frame closes the publishing connection, for all jobs."""
    assert read(headers={header: value}).kept == {}


def test_a_header_of_the_longest_kind_is_kept() -> None:
    assert read(headers={"tracestate": "x" * 1024}).kept == {"tracestate": "x" * 1024}


@pytest.mark.parametrize("name", ["key", "message_id", "type", "reply_to"])
def test_text_that_is_no_utf_8_still_fits_into_a_property_of_a_copy(name: str) -> None:
    """Each of its bytes is replaced by three, and a property has 255."""
    given: dict[str, Any] = {name: b"stats." + b"\xff" * 249}
    delivery = read(**given)
    for text in (delivery.task, delivery.job_id, delivery.type, delivery.reply_to or ""):
        assert len(text.encode()) <= 255


# ── text that is no UTF-8 ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "message",
    [
        {"key": b"stats.\xff"},
        {"key": b"1s.stats.\xff", "exchange": "penstock.return"},
        {"message_id": b"\xff" * 36},
        {"reply_to": b"shop.\xff"},
        {"type": b"\xff"},
        {"headers": {b"\xff": 1, "x-result": b"\xff", "x-user": b"\xff", "x-attempt": b"\xff"}},
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_text_that_pika_could_not_decode_is_refused_and_raises_nothing(message: dict[str, Any], strict: bool) -> None:
    """pika gives such text as bytes. An exception here would end the connection, with every job on it.

    The broker then hands the message out again: one message would stop every worker of its queue.
    """
    # Given a message in which some text is no UTF-8
    intake = make_intake(strict=strict)

    # When it arrives
    delivery = read(intake=intake, **message)
    outcome = refuse(delivery, intake=intake)

    # Then what counts is refused, and what is read further on is text
    harmless = set(message) == {"headers"} and not strict
    assert (outcome is None) == harmless
    for text in (delivery.task, delivery.type, delivery.job_id, delivery.reply_to or "", delivery.user or ""):
        assert isinstance(text, str)


# ── strict ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("user_id", "reply_to", "code"),
    [
        ("shop", "shop.web-1", None),
        ("shop", None, None),
        (None, None, "BAD_ENVELOPE"),
        (None, "shop.web-1", "BAD_ENVELOPE"),
        ("shop", "other.web-1", "ENVELOPE_MISMATCH"),
        ("shop", "shop2.web-1", "ENVELOPE_MISMATCH"),
        ("sho", "shop.web-1", "ENVELOPE_MISMATCH"),
    ],
)
def test_in_production_a_job_names_its_user_and_is_answered_to_that_user_only(
    user_id: str | None, reply_to: str | None, code: str | None
) -> None:
    # Given a strict worker and one in development
    strict = make_intake(strict=True)
    delivery = read(user_id=user_id, reply_to=reply_to)

    # When the same job comes to both, then only the first insists
    assert refuse(delivery) is None
    outcome = refuse(delivery, intake=strict)
    if code is None:
        assert outcome is None
    else:
        refused(outcome, code)


def test_in_production_a_returned_job_is_known_by_the_header_that_a_worker_wrote() -> None:
    # Given a copy that waited, which has no user_id
    intake = make_intake(strict=True)
    copy: dict[str, Any] = {"key": "1s.stats.norm", "reply_to": "shop.web-1", "headers": {"x-user": "shop"}}

    # When it comes back, then its user is known; straight from a producer it would not be
    assert refuse(read(exchange="penstock.return", **copy), intake=intake) is None
    refused(refuse(read(**{**copy, "key": "stats.norm"}), intake=intake), "BAD_ENVELOPE", "--strict")


# ── waiting ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("not_before_ms", "waits"),
    [
        (None, False),
        (NOW_MS - 1, False),
        (NOW_MS, False),
        (NOW_MS + 500, False),  # a hop costs more than it gains
        (NOW_MS + 501, True),
        (NOW_MS + 10**9, True),
        (2**63 - 1, True),
    ],
)
def test_a_job_that_is_not_due_waits(not_before_ms: int | None, waits: bool) -> None:
    headers = {} if not_before_ms is None else {"x-not-before": not_before_ms}
    assert make_intake().waits(read(headers=headers), NOW_MS) is waits


# ── bodies in the store ─────────────────────────────────────────────────────────────────────────────

CLAIM: dict[Any, Any] = {"x-blob": "ab" * 32, "x-blob-size": 2 * MAX_BODY_BYTES}


def test_a_body_in_the_store_is_named_by_two_headers() -> None:
    delivery = read(body=b"", headers=CLAIM)
    assert (delivery.blob, delivery.body, delivery.file) == (Blob("ab" * 32, 2 * MAX_BODY_BYTES), b"", None)
    assert refuse(delivery) is None
    assert read().blob is None


def test_a_message_with_a_body_in_two_places_is_refused() -> None:
    refused(refuse(read(headers=CLAIM)), "BAD_ENVELOPE", "x-blob")


@pytest.mark.parametrize("wrong", [{"x-blob": "AB" * 32}, {"x-blob-size": -1}, {"x-blob-size": "1"}])
def test_a_body_that_is_not_properly_named_is_refused(wrong: dict[Any, Any]) -> None:
    refused(refuse(read(body=b"", headers={**CLAIM, **wrong})), "BAD_ENVELOPE", "x-blob", "x-blob-size")


def test_a_worker_without_redis_cannot_fetch_a_body() -> None:
    intake = make_intake(has_store=False)
    refused(refuse(read(body=b"", headers=CLAIM, intake=intake), intake=intake), "INTERNAL", "no Redis", "--redis-url")


def test_a_body_that_is_longer_than_the_worker_takes_is_refused_before_it_is_fetched() -> None:
    size = MAX_BLOB_BYTES + 1
    refused(refuse(read(body=b"", headers={**CLAIM, "x-blob-size": size})), "TOO_LARGE", str(size), str(MAX_BLOB_BYTES))


@pytest.mark.parametrize(("said", "taken"), [(None, 0), (4096, 4096), (-1, 0), ("1", 0), (2**62, 536_870_912)])
def test_what_a_requester_takes_is_bounded(said: Any, taken: int) -> None:
    assert read(headers={} if said is None else {"x-max-result": said}).max_result == taken
