"""Recycle: when a child is replaced though nothing is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Processes, Recycle, Serial
from penstock.domain.lane import LaneSpec
from penstock.errors import DeclarationError


@pytest.mark.parametrize(
    ("limits", "due"),
    [
        ({"jobs": 10}, True),
        ({"jobs": 11}, False),
        ({"age": 60.0}, True),
        ({"age": 60.1}, False),
        ({"memory": 999}, True),
        ({"memory": 1000}, False),
        ({"jobs": 11, "age": 61, "memory": 999}, True),
    ],
)
def test_a_child_is_due_at_any_of_its_limits(limits: dict[str, Any], due: bool) -> None:
    assert Recycle(**limits).due(jobs=10, age_s=60.0, memory=1000) is due


def test_children_that_start_together_end_apart() -> None:
    recycle = Recycle(jobs=100, age=10.0, memory=7)
    assert recycle.for_child(0) == recycle
    assert recycle.for_child(1) == Recycle(jobs=120, age=12.0, memory=7)
    assert recycle.for_child(0.5) == Recycle(jobs=110, age=11.0, memory=7)
    assert Recycle(memory=7).for_child(1) == Recycle(memory=7)


@pytest.mark.parametrize("limits", [{}, {"jobs": 0}, {"age": -1.0}, {"age": float("inf")}, {"memory": 0}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="Recycle: "):
        Recycle(**limits)


@pytest.mark.parametrize(
    "lane", [Processes(2, memory=10**9, recycle=Recycle(jobs=5, age=1.5)), Serial(recycle=Recycle(memory=3))]
)
def test_the_limits_of_a_lane_survive_the_way_to_the_parent(lane: LaneSpec) -> None:
    assert LaneSpec.from_wire(lane.to_wire()) == lane


def test_a_lane_without_memory_is_refused() -> None:
    with pytest.raises(DeclarationError, match="Processes: memory must be at least 1, not 0"):
        Processes(1, memory=0)
