"""A replay's rules, its sentence and its exit status; that it works is for the integration tests."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.admin.replay import MAX_HOLD_S, Pace, obstacle
from penstock.admin.report import Report
from penstock.errors import DeniedError, UnavailableError, UsageError
from penstock.wire.failure import Failure
from tests.unit.admin.builders import FAILED_AT, dead
from tests.unit.builders import JOB_ID

VALUE = Failure(code="VALUE", message="no", retryable=False)
OTHER = Failure(code="TIMEOUT", message="late", retryable=True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rate": 0.0}, "--rate 0 is not above 0"),
        ({"rate": float("nan")}, "--rate nan"),
        ({"rate": 1001.0}, "--rate 1001"),
        ({"wait_s": -1.0}, "--wait -1"),
        ({"wait_s": 601.0}, "--wait 601"),
        ({"canaries": -1}, "--canary -1"),
        ({"wait_s": 0.0}, "a canary has to be waited for"),
    ],
)
def test_a_pace_that_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Pace(**given)


def test_no_more_is_replayed_than_the_broker_lets_anybody_hold_so_long() -> None:
    assert Pace(rate=10.0).most == 10 * MAX_HOLD_S
    assert Pace(rate=0.0001).most == 1


@pytest.mark.parametrize(
    ("job", "stores", "words"),
    [
        (dead(message_id="no-id"), True, "it has no proper id"),
        (dead(key="stats"), True, "names no task"),
        (dead({"x-deadline": FAILED_AT}), True, f"penstock dead edit stats {JOB_ID} --deadline"),
        (dead({"x-result": "stored"}), False, "--redis-url"),
        (dead({"x-result": "reply+stored"}), False, "PENSTOCK_REDIS_URL"),
    ],
)
def test_what_cannot_be_replayed_says_why_and_what_to_do(job: Any, stores: bool, words: str) -> None:
    assert words in (obstacle(job, queue="stats", now_ms=FAILED_AT, stores=stores) or "")


@pytest.mark.parametrize(
    ("job", "stores"),
    [
        (dead(), False),
        (dead({"x-result": "stored"}), True),
        (dead({"x-deadline": FAILED_AT + 1}), False),
    ],
)
def test_everything_else_can_be_replayed(job: Any, stores: bool) -> None:
    assert obstacle(job, queue="stats", now_ms=FAILED_AT, stores=stores) is None


def test_a_report_is_one_sentence() -> None:
    report = Report(replayed=["a", "b", "c", "d"], succeeded={"a"}, failed={"b": VALUE, "c": VALUE})
    assert str(report) == "replayed 4: 1 succeeded, 2 failed again (VALUE: 2), 1 not ended yet"
    assert report.running == ["d"]
    assert str(Report()) == "replayed 0"
    both = Report(replayed=["a", "b", "c"], failed={"a": OTHER, "b": VALUE, "c": VALUE})
    assert str(both) == "replayed 3: 3 failed again (VALUE: 2, TIMEOUT: 1)"


@pytest.mark.parametrize(
    ("report", "waited", "status"),
    [
        (Report(), True, 0),
        (Report(replayed=["a"], succeeded={"a"}), True, 0),
        (Report(replayed=["a"]), False, 0),
        (Report(replayed=["a"]), True, 75),
        (Report(replayed=["a"], failed={"a": VALUE}), True, 1),
        (Report(replayed=["a", "b"], failed={"a": VALUE}, stopped="x"), True, 1),
        (Report(stopped="refused"), True, 75),
        (Report(stopped="x", unroutable=True), True, 68),
        (Report(refused={"a": "why"}), True, 65),
        (Report(replayed=["a"], failed={"a": VALUE}, refused={"b": "why"}), True, 1),
        (Report(trouble=DeniedError("x"), stopped="x"), True, 77),
        (Report(trouble=UnavailableError("x"), stopped="x"), True, 69),
        (Report(trouble=UnavailableError("x"), stopped="x", unknown=["a"]), True, 75),
    ],
)
def test_the_exit_status_tells_how_a_replay_went(report: Report, waited: bool, status: int) -> None:
    assert report.exit(waited=waited) == status
