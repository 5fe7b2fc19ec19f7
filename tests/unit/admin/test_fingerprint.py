"""What died of the same thing has the same fingerprint, and nothing else has."""

from __future__ import annotations

import pytest

from penstock.admin.fingerprint import fingerprint, groups, innermost, pattern
from tests.unit.admin.builders import FAILED_AT, dead
from tests.unit.builders import job_id

TRACE = (
    'Traceback (most recent call last):\n  File "/app/a.py", line {}, in run\n    x\n  File "/app/b.py", line 7, in f\n'
)
STACK = (
    'Current thread 0x1 (most recent call first):\n  File "/lib/c.py", line 3 in g\n  File "/app/a.py", line 1 in run\n'
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 5 of 10", "row 7 of 1000"),
        ("no file 'a b.csv'", "no file '/tmp/x'"),
        ('key "a"', 'key "b"'),
        ("user 0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6", "user 0192f3c4-5b6a-7c8d-9e0f-000000000000"),
        ("at 0x7f00deadbeef", "at 0x1"),
        ("commit 0a1b2c3d4e5f", "commit ffffffff00"),
        ("took 1.5 s, 3,000 rows at 12:30:01", "took 22 s, 5 rows at 1:00"),
    ],
)
def test_what_differs_from_job_to_job_does_not_matter(one: str, other: str) -> None:
    assert pattern(one) == pattern(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cannot open", "cannot close"),
        ("can't open it: it won't", "can't read it: it won't"),
        ("deadbeef", "feedbabe"),
        ("row of 5", "column of 5"),
    ],
)
def test_words_matter(one: str, other: str) -> None:
    assert pattern(one) != pattern(other)


def test_a_fingerprint_is_stable() -> None:
    """It may be written down, and used with --fingerprint after an upgrade."""
    assert fingerprint(dead({"x-trace": TRACE.format(1)})) == "76f12b7f09ad"


def test_the_line_and_the_folder_of_the_innermost_frame_do_not_matter() -> None:
    assert innermost(TRACE.format(1)) == "b.py:f"
    assert innermost(STACK) == "c.py:g"
    assert innermost("no frames") == ""
    assert innermost("") == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"x-error-code": "TIMEOUT"},
        {"x-error-type": "KeyError"},
        {"x-error-message": "other"},
        {"x-trace": STACK},
    ],
)
def test_another_code_class_message_or_place_is_another_fingerprint(headers: dict[str, str]) -> None:
    assert fingerprint(dead(headers)) != fingerprint(dead())


def test_another_task_is_another_fingerprint() -> None:
    assert fingerprint(dead(key="stats.mean")) != fingerprint(dead())


def test_groups_come_largest_first_with_their_times_and_their_last_job() -> None:
    jobs = [
        dead({"x-failed-at": FAILED_AT + 2}, message_id=job_id(1)),
        dead({"x-error-code": "TIMEOUT", "x-failed-at": None}, message_id=job_id(2)),
        dead({"x-failed-at": FAILED_AT + 9}, message_id=job_id(3)),
        dead({"x-failed-at": FAILED_AT + 1}, message_id=job_id(4)),
    ]
    large, small = groups(jobs)
    assert (large.count, large.first_ms, large.last_ms) == (3, FAILED_AT + 1, FAILED_AT + 9)
    assert large.example.job_id == job_id(3)
    assert (small.count, small.first_ms, small.last_ms) == (1, None, None)
    assert groups([]) == []
