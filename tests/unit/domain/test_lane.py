"""Processes, and the numbers by which a lane is filled."""

from __future__ import annotations

import os

import pytest

from penstock.domain.lane import (
    MEAN_WEIGHT,
    SHORT_JOB_S,
    Async,
    Commands,
    LaneSpec,
    Processes,
    Serial,
    Threads,
    is_short,
    moving_mean,
)
from penstock.errors import DeclarationError

SHORT_S, LONG_S = SHORT_JOB_S


def test_a_process_lane_has_a_child_for_every_core_that_may_be_used() -> None:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert Processes().slots == usable


@pytest.mark.parametrize("slots", [0, -1])
def test_a_lane_without_slots_is_refused(slots: int) -> None:
    with pytest.raises(DeclarationError, match=f"slots must be at least 1, not {slots}"):
        Processes(slots)


@pytest.mark.parametrize("lane", [Processes(1), Processes(8, python="/opt/venv/bin/python"), Serial(preload=True)])
def test_a_lane_survives_the_way_to_the_parent(lane: LaneSpec) -> None:
    assert LaneSpec.from_wire(lane.to_wire()) == lane


@pytest.mark.parametrize("kind", [Threads, Async, Commands])
def test_a_lane_whose_children_cannot_be_forked_refuses_preload(kind: type[LaneSpec]) -> None:
    with pytest.raises(DeclarationError, match=f"{kind.__name__}: only Processes and Serial have preload=True"):
        kind(2, preload=True)


@pytest.mark.parametrize(
    ("mean_s", "already", "short"),
    [
        (None, False, False),
        (None, True, False),
        (0.0, False, True),
        (SHORT_S - 1e-6, False, True),
        (SHORT_S, False, False),
        (SHORT_S, True, True),
        (LONG_S - 1e-6, False, False),
        (LONG_S - 1e-6, True, True),
        (LONG_S, True, False),
        (60.0, True, False),
    ],
)
def test_jobs_become_short_below_one_bound_and_stop_being_short_above_another(
    mean_s: float | None, already: bool, short: bool
) -> None:
    assert is_short(mean_s, already=already) is short


def test_a_mean_that_wanders_between_the_bounds_changes_nothing() -> None:
    between = (SHORT_S + LONG_S) / 2
    assert [is_short(between, already=state) for state in (True, False)] == [True, False]


def test_the_first_observation_is_the_mean() -> None:
    assert moving_mean(None, 3.5) == 3.5


def test_a_later_observation_moves_the_mean_by_its_weight() -> None:
    assert moving_mean(1.0, 2.0) == pytest.approx(1.0 + MEAN_WEIGHT)
    assert moving_mean(2.0, 1.0) == pytest.approx(2.0 - MEAN_WEIGHT)


def test_the_mean_comes_to_what_is_observed_for_long() -> None:
    # Given a mean of long jobs
    mean: float | None = 10.0

    # When a hundred short ones follow
    for _ in range(100):
        mean = moving_mean(mean, 0.001)

    # Then it has forgotten the long ones, and not overshot
    assert mean == pytest.approx(0.001, abs=0.001)
    assert mean is not None
    assert mean >= 0.001
