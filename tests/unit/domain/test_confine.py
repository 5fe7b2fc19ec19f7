"""Confine: what is refused when a lane is declared, and its way to the child."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import Async, Commands, Confine, DeclarationError, Processes, Serial, Threads
from penstock.domain.confine import Start
from penstock.domain.lane import LaneSpec

EVERYTHING = Confine(
    cores=(0, 1),
    spread=True,
    nice=5,
    open_files=100,
    file_size=0,
    processes=50,
    core_dumps=True,
    network=False,
    tempdir=True,
)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cores": ()}, r"cores must be a tuple of whole numbers from 0, at least one, not \(\)"),
        ({"cores": (0, -1)}, r"cores must be a tuple .*, not \(0, -1\)"),
        ({"cores": (0.5,)}, r"cores must be a tuple .*, not \(0.5,\)"),
        ({"cores": range(2)}, r"cores must be a tuple .*, not range\(0, 2\)"),
        ({"cores": 0}, "cores must be a tuple .*, not 0"),
        ({"nice": -1}, "nice must be a whole number from 0 to 19, not -1"),
        ({"nice": 20}, "nice must be a whole number from 0 to 19, not 20"),
        ({"nice": "5"}, "nice must be a whole number from 0 to 19, not '5'"),
        ({"open_files": 31}, "open_files must be a whole number from 32, not 31"),
        ({"open_files": "100"}, "open_files must be a whole number from 32, not '100'"),
        ({"file_size": -1}, "file_size must be a whole number from 0, not -1"),
        ({"file_size": 1.5}, "file_size must be a whole number from 0, not 1.5"),
        ({"processes": 0}, "processes must be a whole number from 1, not 0"),
    ],
)
def test_what_is_no_number_or_out_of_its_range_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DeclarationError, match=f"^Confine: {sentence}$"):
        Confine(**options)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DeclarationError, match=r"nice .*; open_files "):
        Confine(nice=20, open_files=1)


@pytest.mark.parametrize("kind", [Processes, Threads, Async, Commands])
def test_every_lane_takes_it_and_it_survives_the_way_to_the_parent(kind: type[LaneSpec]) -> None:
    lane = kind(2, confine=EVERYTHING)
    assert LaneSpec.from_wire(json.loads(json.dumps(lane.to_wire()))) == lane


def test_a_serial_lane_takes_it_too() -> None:
    lane = Serial(confine=Confine(network=False))
    assert LaneSpec.from_wire(lane.to_wire()) == lane


def test_a_lane_is_not_confined_by_something_else() -> None:
    with pytest.raises(DeclarationError, match="Processes: confine must be a Confine, not "):
        Processes(2, confine={"nice": 5})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "start", [Start(), Start(confine=EVERYTHING), Start(confine=Confine(), core=3, tempdir="/somewhere")]
)
def test_what_a_child_is_started_with_survives_the_way_to_it(start: Start) -> None:
    assert Start.from_wire(json.loads(json.dumps(start.to_wire()))) == start


def test_a_child_with_a_core_for_itself_has_no_other() -> None:
    assert Start(confine=EVERYTHING, core=1).cores == (1,)
    assert Start(confine=EVERYTHING).cores == (0, 1)
    assert Start().cores is None
