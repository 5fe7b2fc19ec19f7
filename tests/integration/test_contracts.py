"""A worker under contracts: real types, clear refusals, codes of the task's own, two versions at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.errors import CatalogError
from penstock.testing import Harness, JobFailedError
from penstock.wire.failure import Failure
from tests.helpers.producer import Producer
from tests.helpers.worker import ROOT, WorkerProcess

CONTRACTS = ROOT / "tests/helpers/contracts"
TARGET = "tests.helpers.contracted:bound"


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    with Harness(TARGET, contracts=str(CONTRACTS)) as made:
        yield made


def failure(harness: Harness, task: str, args: dict[str, Any]) -> Failure:
    with pytest.raises(JobFailedError) as caught:
        harness.call(task, args)
    return caught.value.failure


def test_a_task_gets_real_types_and_the_contracts_defaults(harness: Harness) -> None:
    assert harness.call("bound.length", {"point": {"x": 3, "y": 4.0}}) == 10.0
    assert harness.call("bound.length", {"point": {"y": 4, "x": 3}, "scale": 1}) == 5.0


@pytest.mark.parametrize(
    ("args", "details", "says"),
    [
        ({}, {"path": "point", "rule": "missing", "kind": "absent"}, "bound.length: point: is missing"),
        (
            {"point": {"x": 1.0, "y": "2"}},
            {"path": "point.y", "rule": "type", "kind": "str"},
            "bound.length: point.y: must be a float (it is a str)",
        ),
        (
            {"point": {"x": 1.0, "y": 2.0}, "scale": 0.0},
            {"path": "scale", "rule": "exclusiveMinimum", "kind": "float"},
            "bound.length: scale: must be above 0 (it is a float)",
        ),
        (
            {"point": {"x": 1.0, "y": 2.0}, "size": 1},
            {"path": "size", "rule": "unknown", "kind": "int"},
            "bound.length: size: is not known (it is an int)",
        ),
    ],
)
def test_arguments_that_break_the_contract_are_answered_with_place_rule_and_kind(
    harness: Harness, args: dict[str, Any], details: dict[str, str], says: str
) -> None:
    found = failure(harness, "bound.length", args)
    assert (found.code, found.message, dict(found.details), found.retryable) == ("INVALID_ARGS", says, details, False)


@pytest.mark.parametrize(
    ("what", "details"),
    [
        ("nothing", {"path": "result", "rule": "type", "kind": "nil"}),
        ("half", {"path": "result.y", "rule": "missing", "kind": "absent"}),
        ("nan", {"path": "result.x", "rule": "finite", "kind": "float"}),
        ("good", {"path": "result", "rule": "type", "kind": "array"}),
    ],
)
def test_a_result_that_breaks_the_contract_is_no_result(harness: Harness, what: str, details: dict[str, str]) -> None:
    found = failure(harness, "bound.liar", {"what": what})
    assert (found.code, dict(found.details)) == ("RESULT_INVALID", details)
    assert found.message.startswith(details["path"])


def test_an_exception_with_a_code_of_its_own_is_answered_with_it(harness: Harness) -> None:
    """A subclass counts as the class that has a code."""
    found = failure(harness, "bound.length", {"point": {"x": 0, "y": 0}})
    assert (found.code, found.exc_type, found.message) == ("EMPTY", "EmptierError", "EmptierError: zero")


def test_a_code_of_its_own_is_tried_again_as_the_policy_says(harness: Harness) -> None:
    job = harness.enqueue("bound.again", {"n": 1})
    result = harness.result(job)
    assert result.error is not None
    assert (result.error.code, result.attempt) == ("EMPTY", 2)


def test_an_array_goes_there_and_back(harness: Harness) -> None:
    x = np.arange(4.0).reshape(2, 2)
    sent = {"dtype": "float64", "shape": [2, 2], "data": x.tobytes()}
    back = harness.call("bound.double", {"x": sent})
    assert (back["dtype"], back["shape"]) == ("float64", [2, 2])
    assert np.array_equal(np.frombuffer(back["data"]).reshape(2, 2), 2 * x)


def drifted(folder: Path) -> None:
    path = folder / "bound.length/v1.json"
    path.write_text(path.read_text().replace('"point"', '"position"'))


def gone(folder: Path) -> None:
    shutil.rmtree(folder / "bound.length")


def broken(folder: Path) -> None:
    (folder / "bound.length/v1.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            drifted,
            "has drifted from its contract .*\n.*the contract calls it position, the code point.*\n  What to do: put",
        ),
        (gone, "bound.length: its contract is not at .*bound.length/v1.json; write it with penstock contract export"),
        (broken, "is not JSON"),
    ],
)
def test_a_worker_does_not_start_when_code_and_contract_disagree(
    tmp_path: Path, change: Callable[[Path], None], says: str
) -> None:
    folder = tmp_path / "tasks"
    shutil.copytree(CONTRACTS, folder)
    change(folder)
    with pytest.raises(CatalogError, match=says) as caught, Harness(TARGET, contracts=str(folder)):
        pass
    assert ("cannot import" in str(caught.value)) is (change is gone)


def test_two_versions_of_one_task_are_served_by_one_worker(
    producer: Producer, start_worker: Callable[..., WorkerProcess]
) -> None:
    # Given a worker that has both
    worker = start_worker("--contracts", str(CONTRACTS), target=TARGET)

    # When callers of each ask, one by the body alone
    old = producer.call("bound.both", {"a": 1}, tv=1)
    new = producer.call("bound.both", {"b": "x"}, tv=2, headers={"x-task-version": 2})
    neither = producer.call("bound.both", {"b": "x"}, tv=3, headers={"x-task-version": 3})

    # Then each gets its own, and the log of the start says which contracts are served
    assert (old.value, new.value) == ("old 1", "new x")
    assert neither.error is not None
    assert neither.error.code == "UNSUPPORTED_TASK_VERSION"
    assert "version 3 was asked for, this worker serves version 1, 2" in neither.error.message
    tasks = worker.records("worker.ready")[0]["tasks"]
    assert any(title.startswith("bound.both v2 ") and len(title.split()[2]) == 16 for title in tasks)
