"""Editing a dead job: what is checked, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.admin.edit import changed, check, draft
from penstock.errors import DataError
from penstock.wire.compression import compressed
from penstock.wire.job import decode_job
from penstock.wire.registry import MAX_BODY_BYTES
from tests.unit.admin.builders import dead
from tests.unit.builders import JOB_ID, job_body, job_id, make_queue, make_task

SPEC = make_queue(replace(make_task(), takes=("order", "values"), requires=("values",)))


def test_only_what_was_changed_is_changed() -> None:
    # Given a job with notes and a deadline
    body = job_body(args={"a": 1}, deadline=5, meta={"k": "v"})
    of = draft(dead(), body)

    # When its arguments are changed
    job, made = changed(of, args={"b": b"\x00"}, deadline_ms=of.job.deadline)

    # Then all else is as it was
    assert decode_job(made) == replace(decode_job(body), args={"b": b"\x00"})
    assert job.id == JOB_ID


def test_a_deadline_can_be_taken_away_and_the_arguments_stay() -> None:
    _, made = changed(draft(dead(), job_body(args={"a": 1}, deadline=5)), deadline_ms=None)
    assert (decode_job(made).deadline, decode_job(made).args) == (None, {"a": 1})


def test_an_edit_that_changes_nothing_gives_the_same_bytes() -> None:
    body = job_body(args={"a": 1}, deadline=5)
    of = draft(dead(), body)
    assert changed(of, args={"a": 1}, deadline_ms=5)[1] == body


def test_fields_of_a_later_version_are_named_because_they_will_be_gone() -> None:
    body = job_body()
    body = bytes([body[0] + 1]) + body[1:] + b"\xa6future\x01"
    assert draft(dead(), body).dropped == ("future",)
    assert draft(dead(), job_body(deadline=1, meta={"a": "b"})).dropped == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xc1", "BAD_ENVELOPE"),
        (b"", "BAD_ENVELOPE"),
        (job_body(id=job_id(9)), "its body of"),
        (job_body(task="stats.mean"), "its body of"),
    ],
)
def test_a_body_that_is_broken_or_of_another_job_cannot_be_edited(body: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        draft(dead(), body)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"a": 2**64}, "BAD_ENVELOPE: args.a"),
        ({"a": "x" * MAX_BODY_BYTES}, "TOO_LARGE"),
        ({"a": "\ud800"}, "BAD_ENVELOPE"),
    ],
)
def test_arguments_that_cannot_travel_are_refused(args: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        changed(draft(dead(), job_body()), args=args, deadline_ms=None)


def test_a_job_that_was_larger_than_the_limit_may_stay_so() -> None:
    args = {"a": "x" * MAX_BODY_BYTES}
    from penstock.wire.job import Job, encode_job

    body = encode_job(Job(id=JOB_ID, task="stats.norm", tv=1, args=args, created_at=1), max_bytes=2 * MAX_BODY_BYTES)
    _, made = changed(draft(dead(), body), args={"a": "y" * MAX_BODY_BYTES}, deadline_ms=None)
    assert len(made) == len(body)


@pytest.mark.parametrize("args", [{"values": []}, {"values": [], "order": 2}])
def test_arguments_that_the_task_takes_pass(args: dict[str, Any]) -> None:
    check(decode_job(job_body(args=args)), SPEC)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (job_body(args={}), r"missing values \(it takes order, values\)"),
        (job_body(args={"values": 1, "x": 2}), "unknown x"),
        (job_body(tv=2), "is for version 2, app:stats serves version 1"),
        (job_body(task="stats.mean"), "has no task stats.mean"),
    ],
)
def test_what_the_task_would_refuse_is_refused_before(body: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check(decode_job(body), SPEC)


def test_a_task_that_takes_arguments_of_any_name_takes_these() -> None:
    anything = replace(make_task(), takes=None)
    check(decode_job(job_body(args={"x": 1})), make_queue(anything))


def test_a_body_that_lies_in_redis_cannot_be_edited() -> None:
    job = dead({"x-blob": "ab" * 32, "x-blob-size": 5000}, body=b"")
    with pytest.raises(DataError, match="its body of 5000 bytes lies in Redis"):
        draft(job, b"")


def test_a_compressed_body_is_edited_like_any_other() -> None:
    body = job_body(args={"a": "y" * 20_000}, deadline=5)
    of = draft(dead(), compressed(body))
    assert changed(of, args=None, deadline_ms=5)[1] == of.body == body
