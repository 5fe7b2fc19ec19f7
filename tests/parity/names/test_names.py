"""Python's side of names/expected.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.wire.headers import is_job_id, is_queue, is_task

CASES = json.loads(Path(__file__).with_name("expected.json").read_text())["cases"]
CHECKS = {"task": is_task, "job_id": is_job_id, "word": is_queue}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']} {case['text'][:40]!r}")
def test_both_languages_agree_on_names(case: dict[str, Any]) -> None:
    assert CHECKS[case["kind"]](case["text"]) is case["valid"]
