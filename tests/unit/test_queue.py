"""Queue: declarations, exposed library callables, and what is refused."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Async, Batch, Commands, DeclarationError, Processes, Queue, Retry, Serial, Threads
from penstock.domain.lane import LaneSpec
from penstock.domain.retry import NO_RETRY
from penstock.domain.task import QueueSpec
from penstock.queue import resolve
from penstock.wire.registry import MAX_TASK_BYTES, MAX_TIMEOUT_MS


def norm(x: list[float]) -> float:
    return math.sqrt(sum(value * value for value in x))


# ── names ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a", "stats", "Image-thumbs_2", "x" * 64])
def test_a_queue_may_have_this_name(name: str) -> None:
    assert Queue(name).name == name


@pytest.mark.parametrize("name", ["", "a.b", "a b", "ä", "a/b", "a#", "a*", "stats\n", "x" * 65])
def test_a_queue_may_not_have_this_name(name: str) -> None:
    with pytest.raises(DeclarationError, match="does not match"):
        Queue(name)


def test_a_queue_has_a_process_lane_if_nothing_is_said() -> None:
    assert Queue("stats").lane == Processes()


def test_something_that_is_no_lane_is_refused() -> None:
    """The slip that everybody makes once: lane=4."""
    wrong: Any = 4
    with pytest.raises(DeclarationError, match="lane"):
        Queue("stats", lane=wrong)


# ── tasks ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_is_named_after_its_queue_and_function() -> None:
    # Given a queue
    stats = Queue("stats")

    # When a function is registered, with and without parentheses
    stats.task(norm)
    stats.task(name="norm2")(norm)

    # Then the name is the address
    assert list(stats.tasks) == ["stats.norm", "stats.norm2"]
    assert stats.tasks["stats.norm"][1].spec.name == "stats.norm"


def test_the_function_itself_is_returned_unchanged() -> None:
    stats = Queue("stats")
    assert stats.task(norm) is norm
    assert stats.task(name="again", timeout=1)(norm) is norm


def test_a_task_that_says_nothing_has_version_1_one_attempt_and_no_timeout() -> None:
    stats = Queue("stats")
    stats.task(norm)
    task = stats.tasks["stats.norm"][1]
    assert (task.spec.version, task.spec.timeout_s, task.spec.retry) == (1, None, NO_RETRY)
    assert task.retry is NO_RETRY


def test_what_a_task_says_is_kept() -> None:
    # Given a policy with classes
    stats, policy = Queue("stats"), Retry(attempts=5, on=(KeyError,))

    # When a task is declared with it
    stats.task(name="n", version=3, timeout=30, retry=policy)(norm)

    # Then the child keeps all of it
    task = stats.tasks["stats.n"][3]
    assert task.retry is policy
    assert task.function is norm
    assert (task.spec.version, task.spec.timeout_s) == (3, 30)


@pytest.mark.parametrize("name", ["", " ", "a b", "<lambda>", "ä", "a..b", ".a", "x" * MAX_TASK_BYTES])
def test_a_task_with_a_malformed_name_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(DeclarationError, match=r"malformed; give it another with name="):
        Queue("stats").expose("math:sqrt", name=name) if name else Queue("stats").task(lambda: 1)


def test_the_longest_name_is_allowed() -> None:
    stats = Queue("stats")
    stats.expose("math:sqrt", name="x" * (MAX_TASK_BYTES - len("stats.")))
    assert len(next(iter(stats.tasks))) == MAX_TASK_BYTES


def test_a_name_that_is_taken_is_refused() -> None:
    stats = Queue("stats")
    stats.task(norm)
    with pytest.raises(DeclarationError, match=r"task stats\.norm version 1 is declared twice"):
        stats.task(norm)


def test_a_task_may_have_several_versions() -> None:
    """Callers of the old contract are served until the last of them is gone."""
    # Given a task
    stats = Queue("stats")
    stats.task(norm)

    # When another function is declared under its name as the next version
    stats.expose("math:sqrt", name="norm", version=2)

    # Then both are there
    functions = {version: task.function for version, task in stats.tasks["stats.norm"].items()}
    assert functions == {1: norm, 2: math.sqrt}


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_below_1_is_refused(version: int) -> None:
    with pytest.raises(DeclarationError, match=rf"version must be at least 1, not {version}"):
        Queue("stats").task(version=version)(norm)


LONGEST_S = MAX_TIMEOUT_MS / 1000


@pytest.mark.parametrize("timeout", [0, -1, LONGEST_S + 0.001, float("inf"), float("nan")])
def test_a_timeout_out_of_range_is_refused(timeout: float) -> None:
    """The longest is below the time for which the broker lets a job be held."""
    with pytest.raises(DeclarationError, match=r"stats\.norm: timeout must be above 0 and at most 1800 s"):
        Queue("stats").task(timeout=timeout)(norm)


@pytest.mark.parametrize("timeout", [0.001, 1, LONGEST_S])
def test_a_timeout_within_its_range_is_kept(timeout: float) -> None:
    stats = Queue("stats")
    stats.task(timeout=timeout)(norm)
    assert stats.tasks["stats.norm"][1].spec.timeout_s == timeout


def test_a_callable_whose_parameters_are_unknown_is_refused_at_declaration() -> None:
    with pytest.raises(DeclarationError, match=r"stats\.max: Python cannot tell the parameters"):
        Queue("stats").expose("builtins:max")


def test_a_coroutine_function_is_refused_on_a_process_lane() -> None:
    """Its call would return a coroutine that nobody awaits: a combination that cannot be honoured."""

    async def fetch(url: str) -> str:
        return url

    with pytest.raises(DeclarationError, match=r"stats\.fetch"):
        Queue("stats", lane=Processes(1)).task(fetch)


def test_a_task_that_was_refused_is_not_there() -> None:
    # Given a declaration that fails
    stats = Queue("stats")
    with pytest.raises(DeclarationError):
        stats.task(timeout=-1)(norm)

    # When it is mended, then nothing is in its way
    assert stats.tasks == {}
    stats.task(timeout=1)(norm)


# ── expose ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "task", "args", "result"),
    [
        ("math:sqrt", "stats.sqrt", {"x": 16.0}, 4.0),
        ("os.path:join", "stats.join", {"a": "etc"}, "etc"),
        ("os:path.basename", "stats.basename", {"p": "/etc/hosts"}, "hosts"),
        ("statistics:fmean", "stats.fmean", {"data": [1, 2, 3]}, 2.0),
        ("fractions:Fraction.from_float", "stats.from_float", {"f": 0.5}, 0.5),
    ],
)
def test_a_library_callable_is_a_task_without_a_wrapper(
    target: str, task: str, args: dict[str, Any], result: object
) -> None:
    # Given a queue that exposes it
    stats = Queue("stats")
    stats.expose(target)

    # When the task is called as a job calls it
    exposed = stats.tasks[task][1]
    arguments, keywords = exposed.binding.bind(args)

    # Then the library answers
    assert exposed.function(*arguments, **keywords) == result


def test_an_exposed_callable_takes_the_options_of_a_task() -> None:
    stats = Queue("stats")
    stats.expose("math:sqrt", name="root", version=2, timeout=5, retry=Retry(attempts=4))
    spec = stats.tasks["stats.root"][2].spec
    assert (spec.version, spec.timeout_s, spec.retry.attempts) == (2, 5, 4)


def test_what_cannot_be_called_is_not_exposed() -> None:
    with pytest.raises(DeclarationError, match=r"stats\.expose\('math:pi'\): this is no callable"):
        Queue("stats").expose("math:pi")


# ── resolve ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", ["", ":", "math", "math:", ":sqrt", "math.sqrt"])
def test_a_target_without_module_or_name_is_refused_with_an_example(target: str) -> None:
    with pytest.raises(DeclarationError, match=r"is not MODULE:NAME, for instance numpy\.linalg:norm"):
        resolve(target)


@pytest.mark.parametrize(
    ("target", "missing"),
    [("math:nosuch", "nosuch"), ("os:path.nosuch", "nosuch"), ("math:sqrt:x", "sqrt:x"), ("os:path.", "")],
)
def test_an_attribute_that_is_missing_is_named(target: str, missing: str) -> None:
    with pytest.raises(DeclarationError, match=rf"has no attribute '{missing}'"):
        resolve(target)


def test_a_relative_module_is_refused_with_a_sentence() -> None:
    with pytest.raises(DeclarationError, match="is not MODULE:NAME"):
        resolve(".tasks:stats")


def test_a_module_that_is_not_there_is_the_import_systems_own_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_ours"):
        resolve("no_such_module_of_ours:stats")


def test_what_a_module_raises_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a module that cannot be imported
    (tmp_path / "raising_module.py").write_text("raise ZeroDivisionError('while importing')\n")
    monkeypatch.syspath_prepend(tmp_path)

    # When it is resolved, then its own error tells why
    with pytest.raises(ZeroDivisionError, match="while importing"):
        resolve("raising_module:stats")
    assert "raising_module" not in sys.modules


# ── batches ─────────────────────────────────────────────────────────────────────────────────────────


def norms(jobs: list[dict[str, Any]]) -> list[float]:
    return [norm(**job) for job in jobs]


@pytest.mark.parametrize("lane", [Processes(2), Serial()])
def test_a_batch_has_the_parameters_of_its_prototype(lane: LaneSpec) -> None:
    # Given a batch with a prototype
    stats = Queue("stats", lane=lane)
    assert stats.task(name="norm", batch=Batch(size=64, wait=0.5, of=norm))(norms) is norms

    # Then its names are the prototype's, which stays in the child
    task = stats.tasks["stats.norm"][1]
    assert (task.spec.takes, task.spec.requires, task.signature) == (("x",), ("x",), norm)
    assert task.spec.batch == Batch(size=64, wait=0.5)


def test_a_batch_without_a_prototype_takes_arguments_of_any_name() -> None:
    stats = Queue("stats")
    stats.task(batch=Batch(size=64))(norms)
    task = stats.tasks["stats.norms"][1]
    assert (task.spec.takes, task.spec.requires, task.signature) == (None, (), None)


def test_a_task_without_a_batch_says_so() -> None:
    stats = Queue("stats")
    stats.task(norm)
    task = stats.tasks["stats.norm"][1]
    assert (task.spec.batch, task.signature) == (None, norm)


@pytest.mark.parametrize("lane", [Threads(2), Async(2), Commands(2)], ids=lambda lane: lane.kind)
def test_a_lane_that_runs_no_batches_refuses_them_and_names_those_that_do(lane: LaneSpec) -> None:
    with pytest.raises(DeclarationError, match=r"stats\.norms: the lane .* runs no batches; .* Processes or Serial"):
        Queue("stats", lane=lane).task(batch=Batch(size=2))(norms)


def test_a_batch_is_not_tried_again_in_its_slot() -> None:
    with pytest.raises(DeclarationError, match="in_slot"):
        Queue("stats").task(batch=Batch(size=2), retry=Retry(in_slot=0.5))(norms)


def test_a_batch_is_no_coroutine_function() -> None:
    async def many(jobs: list[dict[str, Any]]) -> list[float]:
        return norms(jobs)

    with pytest.raises(DeclarationError, match="plain function"):
        Queue("stats").task(batch=Batch(size=2))(many)


def test_something_that_is_no_batch_is_refused() -> None:
    wrong: Any = 64
    with pytest.raises(DeclarationError, match=r"Batch\(size=64\), not 64"):
        Queue("stats").task(batch=wrong)(norms)


# ── the rest ────────────────────────────────────────────────────────────────────────────────────────


def test_start_up_hooks_are_kept_in_order_and_returned_unchanged() -> None:
    # Given a queue with two hooks
    stats = Queue("stats")
    called: list[str] = []
    hooks: list[Callable[[], Any]] = [lambda: called.append("model"), lambda: called.append("cache")]

    # When they are registered
    returned = [stats.startup(hook) for hook in hooks]

    # Then nothing has run, and the child finds them in order
    assert called == []
    assert returned == hooks
    assert stats.startup_hooks == hooks


def test_the_spec_is_the_queue_without_its_code() -> None:
    # Given a queue with two tasks
    stats = Queue("stats", lane=Processes(3))
    stats.task(norm)
    stats.expose("math:sqrt", timeout=1)

    # When it is described
    spec = stats.spec("app.tasks:stats")

    # Then everything but the functions is there
    assert (spec.name, spec.target, spec.lane) == ("stats", "app.tasks:stats", Processes(3))
    assert list(spec.tasks) == ["stats.norm", "stats.sqrt"]
    assert spec.tasks["stats.sqrt"][1] == stats.tasks["stats.sqrt"][1].spec


def test_two_queues_share_nothing() -> None:
    one, two = Queue("one"), Queue("two")
    one.task(norm)
    one.startup(lambda: None)
    assert two.tasks == {}
    assert two.startup_hooks == []


# ── items ───────────────────────────────────────────────────────────────────────────────────────────


def numbers() -> Iterator[int]:
    yield 1


async def numbers_async() -> AsyncIterator[int]:
    yield 1


def many_numbers(jobs: list[dict[str, Any]]) -> Iterator[int]:
    yield len(jobs)


def many(jobs: list[dict[str, Any]]) -> list[int]:
    return [1] * len(jobs)


@pytest.mark.parametrize("lane", [Processes(1), Serial(), Threads(1)])
def test_a_generator_function_streams_and_the_parent_knows_it(lane: Any) -> None:
    queue = Queue("stats", lane=lane)
    queue.task(numbers)
    queue.task(name="other")(lambda: 1)
    tasks = QueueSpec.from_wire(queue.spec("app:stats").to_wire()).tasks
    assert tasks["stats.numbers"][1].streams
    assert not tasks["stats.other"][1].streams


def test_an_async_generator_function_streams_in_an_async_lane() -> None:
    queue = Queue("stats", lane=Async(1))
    queue.task(numbers_async)
    assert queue.tasks["stats.numbers_async"][1].spec.streams


class Numbers:
    """An object that is called, as a model that was loaded may be."""

    def __call__(self, n: int = 1) -> Iterator[int]:
        yield n


class NumbersAsync:
    """As `Numbers`."""

    async def __call__(self, n: int = 1) -> AsyncIterator[int]:
        yield n


def test_an_object_streams_if_calling_it_does() -> None:
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="numbers")(Numbers())
    assert queue.tasks["stats.numbers"][1].spec.streams
    slots = Queue("slots", lane=Async(1))
    slots.task(name="numbers")(NumbersAsync())
    slots.task(name="bound")(functools.partial(NumbersAsync(), n=2))
    assert all(slots.tasks[f"slots.{name}"][1].spec.streams for name in ("numbers", "bound"))
    with pytest.raises(DeclarationError, match="this one is async; take Async"):
        queue.task(name="other")(NumbersAsync())


@pytest.mark.parametrize(
    ("lane", "function", "options", "text"),
    [
        (Processes(1), numbers_async, {}, "calls plain functions, and this one is async; take Async"),
        (Threads(1), numbers_async, {}, "calls plain functions, and this one is async; take Async"),
        (Async(1), numbers, {}, "calls async functions"),
        (Commands(1), numbers, {}, "runs programs only"),
        (Processes(1), numbers, {"retry": Retry(attempts=3, in_slot=1)}, "take Retry without in_slot"),
        (Processes(1), many_numbers, {"batch": Batch(size=2)}, "yields no items"),
        (Processes(1), many, {"batch": Batch(size=2, of=numbers)}, "yields no items"),
    ],
)
def test_what_cannot_stream_is_refused(lane: Any, function: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(DeclarationError, match=rf"stats\.{function.__name__}.*{text}"):
        Queue("stats", lane=lane).task(**options)(function)
