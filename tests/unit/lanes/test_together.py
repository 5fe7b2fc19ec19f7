"""Several jobs in one call: what each of them is answered, and how often the function is called."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from penstock import Batch, Processes, Queue, Reject, Retry, SoftTimeoutError, current_job
from penstock.lanes.frames import Frame, Kind
from penstock.lanes.runner import together
from penstock.lanes.runner.answers import Answer
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.stop import Interrupt
from penstock.memory_file import MemoryFile
from penstock.schema.library import Library
from penstock.wire.blob import Blob
from penstock.wire.compression import compressed, is_compressed
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.result import decode_result
from tests.unit.builders import job_body, job_id

SHORT = 16 * 1024

Jobs = list[dict[str, Any]]


def of(x: Any, scale: float = 1.0) -> Any:
    """The prototype."""


def executor(function: Callable[..., Any], *, prototype: Any = of, **task: Any) -> Executor:
    """That of a queue whose task `stats.norm` is a batch."""
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm", batch=Batch(size=64, of=prototype), **task)(function)
    return Executor(
        queue, Library("contracts/tasks"), worker="shop.worker-1", max_body_bytes=SHORT, max_blob_bytes=MAX_BODY_BYTES
    )


def frame(number: int, x: Any = None, *, args: Any = None, deadline: int | None = None, **job: Any) -> Frame:
    given = {"x": number if x is None else x} if args is None else args
    body = job_body(id=job_id(number), args=given, deadline=deadline, **job)
    return Frame(Kind.JOB, number, ["stats.norm", job_id(number), 2, None, deadline, 20_000, 1, 0, None], body)


def each(ran: Iterable[list[tuple[int, Answer]]]) -> dict[int, Answer]:
    """The answers by number."""
    return {number: answer for part in ran for number, answer in part}


def answers(ran: Iterable[list[tuple[int, Answer]]]) -> dict[int, Any]:
    """By number, the value of a success, and the code of anything else."""
    return {number: decode_result(body).value if body else meta[2] for number, (meta, body, _) in each(ran).items()}


def run(function: Callable[..., Any], *frames: Frame, **task: Any) -> dict[int, Any]:
    return answers(together.run(executor(function, **task), frames))


class Counted:
    """A batch that doubles numbers, refuses the call when `bad` is among them, and notes its calls."""

    def __init__(self, *bad: int, error: BaseException | None = None) -> None:
        self.calls: list[list[int]] = []
        self._bad = set(bad)
        self._error = error or ValueError("no good")

    def __call__(self, jobs: Jobs) -> list[int]:
        numbers = [job["x"] for job in jobs]
        self.calls.append(numbers)
        if self._bad.intersection(numbers):
            raise self._error
        return [2 * number for number in numbers]


def test_one_call_has_all_jobs_in_their_order_with_the_defaults_of_the_prototype() -> None:
    # Given a batch that notes what it gets
    seen: list[Jobs] = []

    def many(jobs: Jobs) -> list[int]:
        seen.append(jobs)
        return [10, 20]

    # When two jobs run, of which one leaves an argument out
    ran = run(many, frame(1, args={"x": [1.5], "scale": 2.0}), frame(2))

    # Then each is a dict of all arguments
    assert seen == [[{"x": [1.5], "scale": 2.0}, {"x": 2, "scale": 1.0}]]
    assert ran == {1: 10, 2: 20}


def test_without_a_prototype_arguments_of_any_name_are_taken() -> None:
    assert run(lambda jobs: [sorted(job) for job in jobs], frame(1, args={"b": 1, "a": 2}), prototype=None) == {
        1: ["a", "b"]
    }


def test_the_results_may_be_an_array() -> None:
    ran = run(lambda jobs: np.array([job["x"] for job in jobs]) / 2, frame(1), frame(2))
    assert ran == {1: 0.5, 2: 1.0}


@pytest.mark.parametrize("bad", range(1, 9))
def test_a_call_that_fails_is_bisected_until_the_job_that_fails_stands_alone(bad: int) -> None:
    # Given eight jobs, one of which lets every call fail
    many = Counted(bad)

    # When they run
    ran = run(many, *map(frame, range(1, 9)))

    # Then it alone has failed, and of the others no call was made twice
    assert ran == {number: "TASK_ERROR" if number == bad else 2 * number for number in range(1, 9)}
    assert many.calls[0] == list(range(1, 9))
    assert sorted(len(call) for call in many.calls) == [1, 1, 2, 2, 4, 4, 8]


def test_several_jobs_may_fail_and_an_odd_number_is_bisected_too() -> None:
    many = Counted(1, 4, 7)
    ran = run(many, *map(frame, range(1, 8)))
    assert [number for number, value in ran.items() if value == "TASK_ERROR"] == [1, 4, 7]
    assert len(ran) == 7


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError()], ids=lambda e: type(e).__name__)
def test_whatever_a_call_raises_is_an_outcome(error: BaseException) -> None:
    assert run(Counted(2, error=error), frame(1), frame(2)) == {1: 2, 2: "TASK_ERROR"}


def test_a_call_may_change_its_jobs_because_the_next_one_has_its_own() -> None:
    def many(jobs: Jobs) -> list[int]:
        found = [job.pop("x") for job in jobs]
        if len(found) > 1:
            raise ValueError("one at a time")
        return found

    assert run(many, frame(1), frame(2)) == {1: 1, 2: 2}


@pytest.mark.parametrize(
    "returned",
    [None, 7, "ab", b"ab", {1, 2}, {1: 2, 2: 3}, iter([1, 2]), [1], [1, 2, 3], []],
    ids=lambda value: f"{type(value).__name__}-{value}"[:12],
)
def test_anything_but_a_result_for_each_job_is_an_error(returned: Any) -> None:
    # Given a batch that returns something else for two jobs, and what is right for one
    def many(jobs: Jobs) -> Any:
        return returned if len(jobs) > 1 else [job["x"] for job in jobs]

    # When two jobs run, then they are called alone, and succeed
    assert run(many, frame(1), frame(2)) == {1: 1, 2: 2}


def test_a_job_alone_for_which_there_is_no_result_has_failed_for_good() -> None:
    (meta, body, _) = each(together.run(executor(lambda _: [], retry=Retry(attempts=3)), [frame(1)]))[1]
    assert (meta[0], meta[2], meta[4], body) == ("raised", "RESULT_INVALID", False, b"")
    assert meta[3] == "stats.norm: the batch returned 0 results for 1 jobs"


def test_an_exception_among_the_results_is_that_jobs_own_and_the_policy_judges_it() -> None:
    # Given a batch that succeeds, refuses, and rejects in one call
    def many(_: Jobs) -> list[Any]:
        return [1, OSError("not yet"), Reject("never"), KeyError("x")]

    made = executor(many, retry=Retry(attempts=3, on=OSError), raises={"UNKNOWN": KeyError})

    # When it is called
    metas = {number: meta for number, (meta, _, _) in each(together.run(made, map(frame, range(1, 5)))).items()}

    # Then each is judged as if it had been raised
    assert metas[1][0] == "succeeded"
    told = {number: (meta[2], meta[3], meta[4], meta[5]) for number, meta in metas.items() if number > 1}
    assert told == {
        2: ("TASK_ERROR", "OSError: not yet", True, "OSError"),
        3: ("REJECTED", "Reject: never", False, "Reject"),
        4: ("UNKNOWN", "KeyError: 'x'", False, "KeyError"),
    }
    assert metas[2][6] is not None


def test_however_often_a_job_is_called_that_is_one_attempt() -> None:
    ran = each(together.run(executor(Counted(3)), map(frame, range(1, 5))))
    assert ran[3][0][8] == 1
    assert decode_result(ran[4][1]).attempt == 2


def test_the_traceback_begins_in_the_task() -> None:
    (meta, _, _) = each(together.run(executor(Counted(1)), [frame(1)]))[1]
    assert together.__file__ not in meta[7]
    assert "raise self._error" in meta[7]


def test_a_job_that_cannot_be_called_is_answered_before_the_call() -> None:
    # Given an expired job and one with a wrong argument among others
    many = Counted()
    past = int(time.time() * 1000)
    frames = [frame(1), frame(2, deadline=past), frame(3, args={"y": 1}), frame(4)]

    # When they run
    ran = together.run(executor(many), frames)

    # Then these are answered first, and are not in the call
    assert answers([next(ran), next(ran)]) == {2: "EXPIRED", 3: "INVALID_ARGS"}
    assert many.calls == []
    assert answers(ran) == {1: 2, 4: 8}
    assert many.calls == [[1, 4]]


def test_jobs_of_different_versions_are_called_apart() -> None:
    """The parent goes by a header that may be missing; the body decides."""
    # Given a task of two versions, the older of which has no batch
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm")(lambda x: ["old", x])
    many = Counted()
    queue.task(name="norm", version=2, batch=Batch(size=8, of=of))(many)
    made = Executor(queue, Library("contracts/tasks"), worker="w", max_body_bytes=SHORT)

    # When jobs of both come as one batch
    ran = answers(together.run(made, [frame(1, tv=2), frame(2, tv=1), frame(3, tv=2)]))

    # Then each has run as its body says
    assert ran == {1: 2, 2: ["old", 2], 3: 6}
    assert many.calls == [[1, 3]]


def test_there_is_no_current_job_in_a_batch() -> None:
    def many(_: Jobs) -> Any:
        with pytest.raises(RuntimeError, match="a batch is many jobs"):
            current_job()
        return [1]

    assert run(many, frame(1)) == {1: 1}


def test_a_result_that_cannot_travel_is_the_error_of_its_job_alone() -> None:
    assert run(lambda _: [object(), bytes(2 * SHORT), 3], *map(frame, (1, 2, 3))) == {
        1: "RESULT_INVALID",
        2: "RESULT_TOO_LARGE",
        3: 3,
    }


def test_each_job_has_its_own_way_for_long_and_compressed_bodies() -> None:
    # Given a short job, a compressed one, and one that came as a file and whose caller takes a long result
    data = bytes(3 * SHORT)
    body = job_body(id=job_id(3), args={"x": data})
    meta = ["stats.norm", job_id(3), 1, None, None, 10_000, 0, 5 * SHORT, Blob.of(body).sha256]
    came = MemoryFile.holding(body)
    packed = frame(2, bytes(10_000))
    frames = [
        frame(1),
        packed._replace(body=compressed(packed.body)),
        Frame(Kind.JOB, 3, meta, b"", os.dup(came.fileno())),
    ]

    # When they run in one call that gives back what it gets
    ran = each(together.run(executor(lambda jobs: [job["x"] for job in jobs]), frames))

    # Then each is answered in its own way
    assert decode_result(ran[1][1]).value == 1
    assert is_compressed(ran[2][1])
    assert decode_result(ran[2][1]).value == bytes(10_000)
    file = ran[3][2]
    assert (ran[3][1], file is not None) == (b"", True)
    assert file is not None
    assert decode_result(file.read(5 * SHORT, 0)).value == data


def test_a_job_that_is_to_end_ends_if_its_call_is_its_own() -> None:
    """The parent asks for no other; a number that comes too late must not end a neighbour's call."""
    # Given a child that was told to end job 1
    interrupt, many = Interrupt(None), Counted()
    interrupt.announced = 1

    # When it runs with others, then it goes on; alone, it is not begun
    assert answers(together.run(executor(many), [frame(1), frame(2)], interrupt.job)) == {1: 2, 2: 4}
    (meta, _, _) = each(together.run(executor(many), [frame(1)], interrupt.job))[1]
    assert (meta[0], meta[5], many.calls) == ("raised", "Cancelled", [[1, 2]])


def test_a_call_whose_soft_limit_is_over_is_made_anew_in_halves_until_who_takes_too_long_stands_alone() -> None:
    calls: list[int] = []

    def function(jobs: Jobs) -> list[int]:
        calls.append(len(jobs))
        while any(each["x"] == 2 for each in jobs):
            time.sleep(0.001)
        return [each["x"] for each in jobs]

    ran = together.run(executor(function, soft_timeout=0.05), [frame(number) for number in range(4)])
    assert answers(ran) == {0: 0, 1: 1, 2: "TIMEOUT", 3: 3}
    assert calls == [4, 2, 2, 1, 1]


def test_a_call_whose_soft_limit_is_over_may_return_what_there_is() -> None:
    def function(jobs: Jobs) -> list[Any]:
        try:
            while True:
                time.sleep(0.001)
        except SoftTimeoutError as late:
            return ["a part"] + [late] * (len(jobs) - 1)

    ran = together.run(executor(function, soft_timeout=0.05), [frame(number) for number in range(2)])
    assert answers(ran) == {0: "a part", 1: "TIMEOUT"}
