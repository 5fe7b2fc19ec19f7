"""Python's side of expired_details/expected.json: a worker says where the time of a job went that a deadline ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.decision import Complete, DeadLetter, decide
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.retry import Retry
from penstock.domain.spent import Spent
from penstock.wire.failure import Failure
from penstock.wire.result import Result, encode_result

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())
JOB = EXPECTED["job"]


@pytest.mark.parametrize("case", EXPECTED["cases"], ids=lambda case: case["name"])
def test_the_worker_says_where_the_time_went(case: dict[str, Any]) -> None:
    # Given an attempt that ended, of a job with a past
    given, error = case["given"], case["error"]
    ended = given["outcome"]
    failure = Failure(
        code=ended["code"],
        message=ended["message"],
        retryable=ended["retryable"],
        exc_type=ended["exc_type"] or None,
    )
    outcome = Outcome(OutcomeKind(ended["kind"]), failure=failure, delay_s=ended["delay_s"], run_s=ended["run_s"])

    # When it is decided what happens now
    decision = decide(
        outcome,
        spent=Spent(**given["spent"]),
        policy=Retry(attempts=5),
        job_id=JOB["id"],
        deadline_ms=given["deadline"],
        now_ms=given["now"],
        awaited=True,
    )

    # Then the job ends with this error, in these bytes
    assert isinstance(decision, Complete | DeadLetter)
    final = decision.failure
    assert final is not None
    assert (final.code, final.message, dict(final.details)) == (error["code"], error["message"], error["details"])
    assert decision.spent.attempts == error["attempt"]
    result = Result(
        job_id=JOB["id"],
        task=JOB["task"],
        tv=1,
        attempt=decision.spent.attempts,
        finished_at=given["now"],
        worker=JOB["worker"],
        error=final,
    )
    assert encode_result(result).hex() == case["hex"]
