"""Filters: which dead jobs are meant."""

from __future__ import annotations

import pytest

from penstock.admin.filters import Filter, span_s
from penstock.admin.fingerprint import fingerprint
from tests.unit.admin.builders import FAILED_AT, dead
from tests.unit.builders import JOB_ID, job_id

HOUR_MS = 3_600_000
JOB = dead({"x-error-type": "ValueError"})


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(task="stats.norm"),
        Filter(task="stats.*"),
        Filter(code="TASK_ERROR"),
        Filter(exc_type="ValueError"),
        Filter(job=JOB_ID),
        Filter(fingerprint=fingerprint(JOB)),
        Filter(fingerprint=fingerprint(JOB)[:6]),
        Filter(older_than_s=3600),
        Filter(newer_than_s=3600),
        Filter(task="stats.n?rm", code="TASK_ERROR", exc_type="ValueError", older_than_s=10, newer_than_s=7200),
    ],
)
def test_a_job_that_is_all_of_it_is_meant(wanted: Filter) -> None:
    assert wanted.matches(JOB, FAILED_AT + HOUR_MS)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(task="stats.mean"),
        Filter(task="stats"),
        Filter(code="TIMEOUT"),
        Filter(exc_type="KeyError"),
        Filter(job=job_id(1)),
        Filter(fingerprint="0123"),
        Filter(older_than_s=3601),
        Filter(newer_than_s=3599),
        Filter(task="stats.norm", code="TIMEOUT"),
    ],
)
def test_a_job_that_is_not_all_of_it_is_not_meant(wanted: Filter) -> None:
    assert not wanted.matches(JOB, FAILED_AT + HOUR_MS)


def test_a_job_of_which_the_time_is_not_known_is_neither_older_nor_newer() -> None:
    job = dead({"x-failed-at": None})
    assert not Filter(older_than_s=0).matches(job, FAILED_AT)
    assert not Filter(newer_than_s=10**9).matches(job, FAILED_AT)
    assert not Filter(task="*").matches(dead(key="stats"), FAILED_AT)


def test_only_a_filter_that_says_nothing_means_everything() -> None:
    assert Filter().everything
    assert not Filter(newer_than_s=0.0).everything


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604800), ("0", 0)]
)
def test_a_time_span_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert span_s(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1w", "1h30m", "١", "nan"])
def test_anything_else_is_no_time_span(text: str) -> None:
    with pytest.raises(ValueError, match="is no time span, for instance 90s"):
        span_s(text)
