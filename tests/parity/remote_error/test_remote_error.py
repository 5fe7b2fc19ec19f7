"""Python's side of remote_error/expected.json: a worker writes these bytes for these errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.wire.failure import Failure
from penstock.wire.result import Result, decode_result, encode_result

CASES = json.loads(Path(__file__).with_name("expected.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_worker_writes_the_error_that_go_reads(case: dict[str, Any]) -> None:
    error = case["error"]
    failure = Failure(
        code=error["code"],
        message=error["message"],
        retryable=error["retryable"],
        exc_type=error["exc_type"] or None,
        details=error["details"],
    )
    result = Result(
        job_id=error["job_id"],
        task=error["task"],
        tv=1,
        attempt=error["attempt"],
        finished_at=1730000000005,
        worker=error["worker"],
        error=failure,
    )
    assert encode_result(result).hex() == case["hex"]
    assert decode_result(bytes.fromhex(case["hex"])) == result
