"""Jobs and results: what the vectors cannot say, because it is about Python objects."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from types import MappingProxyType
from typing import Any

import pytest

from penstock.wire.codec import decode
from penstock.wire.failure import Failure, WireError
from penstock.wire.job import Job, decode_job, encode_job
from penstock.wire.registry import MAX_BODY_BYTES, MAX_NODES, ErrorCode
from penstock.wire.result import Result, decode_result, encode_result

JOB = Job(id="0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6", task="stats.norm", tv=1, args={"x": [3.0]}, created_at=1)
RESULT = Result(job_id=JOB.id, task=JOB.task, tv=1, attempt=1, started_at=5, finished_at=6, worker="w")
FAILURE = Failure(code="TASK_ERROR", message="boom", retryable=False)


def test_a_job_comes_back_as_it_was() -> None:
    for job in (
        JOB,
        replace(JOB, deadline=9),
        replace(JOB, meta={"b": "1", "a": "2"}),
        replace(JOB, args={}),
    ):
        assert decode_job(encode_job(job)) == job


def test_a_result_comes_back_as_it_was() -> None:
    whole = replace(FAILURE, exc_type="KeyError", details={"n": 1, "f": 0.5, "s": "x", "b": True}, retryable=True)
    for result in (
        RESULT,
        replace(RESULT, value={"a": [1, None]}),
        replace(RESULT, started_at=None, attempt=0, error=FAILURE),
        replace(RESULT, error=whole),
    ):
        assert decode_result(encode_result(result)) == result


def test_jobs_and_results_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        JOB.tv = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        RESULT.tv = 2  # type: ignore[misc]


def test_fields_are_written_in_the_order_of_the_specification() -> None:
    # given
    job = replace(JOB, deadline=9, meta=MappingProxyType({"k": "v"}))
    failed = replace(RESULT, error=replace(FAILURE, exc_type="E", details={"d": 1}))
    # then
    assert names(encode_job(job)) == "v kind id task tv args created_at deadline meta"
    rest = "attempt started_at finished_at worker"
    assert names(encode_result(RESULT)) == f"v kind job_id task tv status result {rest}"
    assert names(encode_result(failed)) == f"v kind job_id task tv status error {rest}"
    assert " ".join(decode(encode_result(failed))["error"]) == "code message retryable exc_type details"


def names(body: bytes) -> str:
    return " ".join(decode(body))


def test_what_is_absent_is_left_out() -> None:
    assert "deadline" not in decode(encode_job(JOB))
    assert "meta" not in decode(encode_job(JOB))
    body = decode(encode_result(replace(RESULT, started_at=None, error=FAILURE)))
    assert not {"started_at", "result"} & body.keys()
    assert body["error"] == {"code": "TASK_ERROR", "message": "boom", "retryable": False}


def test_a_result_of_none_is_written_as_nil() -> None:
    assert decode(encode_result(RESULT))["result"] is None


def test_an_error_hides_the_value() -> None:
    assert decode_result(encode_result(replace(RESULT, value=5, error=FAILURE))).value is None


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (replace(JOB, id="x"), "id must be a UUIDv7 in lower case"),
        (replace(JOB, task="norm"), "task must be <queue>.<function> of at most 200 bytes"),
        (replace(JOB, tv=True), "tv must be an int of 1 to 2^31-1"),
        (replace(JOB, created_at=-1), "created_at must be an int of Unix milliseconds"),
        (replace(JOB, deadline=1.5), "deadline must be an int of Unix milliseconds"),  # type: ignore[arg-type]
        (replace(JOB, meta={"k": 1}), "meta must be a map of str"),  # type: ignore[dict-item]
        (replace(JOB, args={"x": [{1}]}), "args.x[0]: a set cannot travel; make it a list"),
        (replace(JOB, args={"x": "\ud800"}), "args.x: the str holds a lone surrogate"),
        (replace(JOB, args={1: 2}), "args: one of its keys is an int; keys must be str"),  # type: ignore[dict-item]
    ],
)
def test_a_job_that_breaks_a_rule_is_not_written(job: Job, sentence: str) -> None:
    with pytest.raises(WireError) as refusal:
        encode_job(job)
    assert refusal.value.code is ErrorCode.BAD_ENVELOPE
    assert str(refusal.value).startswith(sentence)


def test_a_value_that_cannot_travel_is_named_from_the_result_on() -> None:
    with pytest.raises(WireError) as refusal:
        encode_result(replace(RESULT, value={"rows": [1, 2, 3, {"when": {1}}]}))
    assert refusal.value.code is ErrorCode.BAD_ENVELOPE
    assert str(refusal.value) == "result.rows[3].when: a set cannot travel; make it a list"


@pytest.mark.parametrize("details", [{"k": None}, {"k": [1]}, {"k": b"x"}, {"k": {1}}, {"k": 2**63}])
def test_details_that_are_no_facts_are_refused(details: Any) -> None:
    with pytest.raises(WireError, match=r"^error\.details"):
        encode_result(replace(RESULT, error=replace(FAILURE, details=details)))


def test_a_message_from_elsewhere_that_is_too_long_is_cut_not_refused() -> None:
    # given
    body = encode_result(replace(RESULT, error=FAILURE))
    longer = body.replace(b"\xa4boom", b"\xda\x08\x00" + b"b" * 2048)
    # when
    error = decode_result(longer).error
    # then
    assert error is not None
    assert error.message == "b" * 1024


def test_the_whole_body_counts_against_the_limits() -> None:
    # given
    spare = MAX_BODY_BYTES - len(encode_result(replace(RESULT, value=bytes(70_000)))) + 70_000
    # then
    assert len(encode_result(replace(RESULT, value=bytes(spare)))) == MAX_BODY_BYTES
    with pytest.raises(WireError) as refusal:
        encode_result(replace(RESULT, value=bytes(spare + 1)))
    assert refusal.value.code is ErrorCode.TOO_LARGE
    with pytest.raises(WireError, match=f"beyond {MAX_NODES} values"):
        encode_result(replace(RESULT, value=[0] * (MAX_NODES - 22)))
    decode_result(encode_result(replace(RESULT, value=[0] * (MAX_NODES - 23))))
    with pytest.raises(WireError, match="nests deeper"):
        encode_result(replace(RESULT, value=nested(32)))
    decode_result(encode_result(replace(RESULT, value=nested(31))))


def test_a_job_counts_its_notes_against_the_limits() -> None:
    # given: envelope 1 + 2 * 8 values, notes 2, the arguments' pair 2
    job = replace(JOB, meta={"k": "v"})
    most = MAX_NODES - 1 - 2 * 8 - 2 - 2
    # then
    decode_job(encode_job(replace(job, args={"x": [0] * most})))
    with pytest.raises(WireError, match=f"beyond {MAX_NODES} values"):
        encode_job(replace(job, args={"x": [0] * (most + 1)}))


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value
