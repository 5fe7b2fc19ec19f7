"""Contracts of tasks that run several jobs in one call: they are those of one job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock import Batch, ContractError, Processes, Queue
from penstock.contract.export import Written, export
from penstock.lanes.frames import Frame, Kind
from penstock.lanes.runner import together
from penstock.lanes.runner.execute import Executor
from penstock.schema.binding import bound
from penstock.schema.library import Library
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.result import decode_result
from tests.unit.builders import job_body, job_id


@dataclass
class Point:
    x: float
    y: float


def shift(point: Point, by: float = 1.0) -> Point:
    """Shift a point."""
    return Point(point.x + by, point.y + by)


def shifts(jobs: list[dict[str, Any]]) -> list[Point]:
    return [shift(**job) for job in jobs]


def queue(prototype: Any = shift, **task: Any) -> Queue:
    made = Queue("stats", lane=Processes(1))
    made.task(name="shift", batch=Batch(size=8, of=prototype), **task)(shifts)
    return made


def frame(number: int, args: dict[str, Any]) -> Frame:
    body = job_body(id=job_id(number), task="stats.shift", args=args)
    return Frame(Kind.JOB, number, ["stats.shift", job_id(number), 1, None, None, 10_000, 0, 0, None], body)


def test_the_contract_of_a_batch_is_that_of_its_prototype(tmp_path: Path) -> None:
    # Given the contract of a batch, and that of its prototype as a task of its own
    library, plain = Library(tmp_path / "batch"), Library(tmp_path / "plain")
    single = Queue("stats")
    single.task(shift)
    exported = [*export(queue(), library), *export(single, plain)]

    # Then callers cannot tell them apart, and the code fits
    assert [each.became for each in exported] == [Written.WRITTEN] * 2
    assert library.path("stats.shift", 1).read_bytes() == plain.path("stats.shift", 1).read_bytes()
    assert bound(queue().tasks["stats.shift"][1], library) is not None


def test_each_job_has_arguments_and_a_result_of_real_types(tmp_path: Path) -> None:
    # Given a batch with a contract
    library = Library(tmp_path)
    list(export(queue(), library))
    executor = Executor(queue(), library, worker="w", max_body_bytes=MAX_BODY_BYTES)

    # When three jobs run in one call, of which one breaks it
    frames = [
        frame(1, {"point": {"x": 1.0, "y": 2.0}}),
        frame(2, {"point": {"x": "one", "y": 2.0}}),
        frame(3, {"point": {"x": 1.0, "y": 2.0}, "by": 3.0}),
    ]
    answers = {number: answer for part in together.run(executor, frames) for number, answer in part}

    # Then the others do not notice
    assert answers[2][0][2] == "INVALID_ARGS"
    assert decode_result(answers[1][1]).value == {"x": 2.0, "y": 3.0}
    assert decode_result(answers[3][1]).value == {"x": 4.0, "y": 5.0}


def test_code_that_drifts_from_its_contract_is_refused(tmp_path: Path) -> None:
    def other(point: Point, by: int = 1) -> Point:
        return point

    library = Library(tmp_path)
    list(export(queue(), library))
    with pytest.raises(ContractError, match="drifted"):
        bound(queue(other).tasks["stats.shift"][1], library)


def test_without_a_prototype_there_is_nothing_to_export(tmp_path: Path) -> None:
    (exported,) = export(queue(None), Library(tmp_path))
    assert exported.became is Written.REFUSED
    assert "Batch(of=...)" in exported.why


def test_without_a_prototype_a_contract_that_is_there_holds(tmp_path: Path) -> None:
    # Given a contract that somebody wrote, and a batch that says nothing of its jobs
    library = Library(tmp_path)
    list(export(queue(), library))
    task = queue(None).tasks["stats.shift"][1]

    # Then it is left as it is, and arguments are held against it
    (exported,) = export(queue(None), library)
    assert exported.became is Written.BY_HAND
    binding = bound(task, library)
    assert binding is not None
    assert binding.bind({"point": {"x": 1.0, "y": 2.0}})[1] == {"point": {"x": 1.0, "y": 2.0}, "by": 1.0}


def test_error_codes_are_held_against_the_contract_without_a_prototype_too(tmp_path: Path) -> None:
    library = Library(tmp_path)
    list(export(queue(), library))
    with pytest.raises(ContractError, match="NO_POINT is only in the code"):
        bound(queue(None, raises={"NO_POINT": KeyError}).tasks["stats.shift"][1], library)
