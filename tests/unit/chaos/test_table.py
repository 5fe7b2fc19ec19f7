"""The table says what the result files say."""

from __future__ import annotations

from typing import Any

from tests.chaos.table import render


def line(fault: str, seed: int, **given: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("lost", "without_job", "visible_twice", "executed_again"), 0)
    run = {
        "fault": fault,
        "seed": seed,
        "series": "4.3",
        "broker": "4.3.6",
        "commit": "abc",
        "jobs": 5000,
        "harmless": [],
    }
    return {**run, **counts, "accepted": 4990, "recovery_s": 1.0, **given}


def row(lines: list[dict[str, Any]], name: str) -> list[str]:
    found = [text for text in render(lines, ["data.jsonl"]) if text.startswith(f"| {name} ")]
    return [cell.strip() for cell in found[0].strip("|").split("|")] if found else []


def test_a_pair_counts_for_both_faults_and_once_in_all() -> None:
    lines = [line("kill-child", 1), line("kill-child", 2, recovery_s=3.0), line("kill-child+kill-redis", 3, lost=1)]
    assert row(lines, "kill-child") == ["kill-child", "2", "1", "14,970", "1", "0", "0", "0", "2.0", "3.0"]
    assert row(lines, "kill-redis") == ["kill-redis", "0", "1", "4,990", "1", "0", "0", "0", "", ""]
    assert row(lines, "**all runs**")[:5] == ["**all runs**", "2", "1", "14,970", "1"]


def test_a_fault_that_met_nobody_does_not_count() -> None:
    lines = [line("kill-child+kill-redis", 1, harmless=["kill-redis"]), line("kill-redis", 2, harmless=["kill-redis"])]
    assert row(lines, "kill-redis") == []
    assert row(lines, "kill-child")[1:3] == ["1", "0"]
    assert render(lines, ["data.jsonl"])[0].startswith("1 runs with faults, 5,000 jobs")


def test_seeds_are_given_as_ranges() -> None:
    lines = [line("kill-child", seed) for seed in (7, 1, 2, 3)]
    assert any("Seeds: 1 to 3, 7 on 4.3." in text for text in render(lines, ["data.jsonl"]))
