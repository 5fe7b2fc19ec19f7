"""Tasks that yield: what their annotations say of items and result, and what is said of one that does not say it."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penstock import ContractError, Limits, Queue
from penstock.contract.export import Written, export
from penstock.lanes.runner.execute import Executor
from penstock.schema.binding import ContractBinding, bound, misfits
from penstock.schema.derive import derive
from penstock.schema.library import Library
from penstock.schema.misfit import Misfit
from penstock.schema.model import Contract
from penstock.schema.writer import document
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.result import decode_result
from tests.unit.builders import JOB_ID, job_body
from tests.unit.lanes.test_items import NUMBER, Line
from tests.unit.schema.contracts import FLOAT, INT, NULL, STR, contract


@dataclass
class Word:
    text: str
    length: int


def plain(annotation: Any) -> Callable[..., Any]:
    """A generator with this annotation; None: without one."""

    def describe(text: str) -> Any:
        yield text

    return annotated(describe, annotation)


def waiting(annotation: Any) -> Callable[..., Any]:
    """The same, async."""

    async def describe(text: str) -> Any:
        yield text

    return annotated(describe, annotation)


def annotated(function: Callable[..., Any], annotation: Any) -> Callable[..., Any]:
    del function.__annotations__["return"]
    if annotation is not None:
        function.__annotations__["return"] = annotation
    return function


def derived(function: Callable[..., Any]) -> Contract:
    return derive(function, name="stats.describe", version=1, raises={})


@pytest.mark.parametrize(
    ("function", "items", "result"),
    [
        (plain(Iterator[float]), FLOAT, NULL),
        (plain(Iterable[float]), FLOAT, NULL),
        (plain(Generator[float, None, str]), FLOAT, STR),
        (plain(Generator[float, None, None]), FLOAT, NULL),
        (plain(Iterator[Annotated[int, Limits(ge=1)]]), {**INT, "minimum": 1}, NULL),
        (plain(Iterator[int | None]), {"oneOf": [INT, NULL]}, NULL),
        (waiting(AsyncIterator[float]), FLOAT, NULL),
        (waiting(AsyncIterable[float]), FLOAT, NULL),
        (waiting(AsyncGenerator[float, None]), FLOAT, NULL),
        (functools.partial(plain(Iterator[float])), FLOAT, NULL),
    ],
)
def test_an_annotation_says_what_is_yielded_and_what_is_returned(
    function: Callable[..., Any], items: dict[str, Any], result: dict[str, Any]
) -> None:
    made = document(derived(function))
    assert made["x-task"]["items"] == "DescribeItem"
    assert (made["$defs"]["DescribeItem"], made["$defs"]["DescribeResult"]) == (items, result)


def test_an_item_of_a_class_has_its_name_and_may_be_the_result_too() -> None:
    made = derived(plain(Generator[Word, None, Word]))
    assert (made.items, made.result, list(made.defs)) == ("Word", "Word", ["DescribeArgs", "Word"])


def test_a_function_that_yields_nothing_has_no_items() -> None:
    def describe(text: str) -> list[str]:
        return [text]

    assert derived(describe).items is None
    assert "items" not in document(derived(describe))["x-task"]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (plain(None), "the items: it yields and has no annotation; add one, as in -> Iterator[float]"),
        (waiting(None), "it yields and has no annotation; add one, as in -> AsyncIterator[float]"),
        (plain(Iterator), "Iterator does not say what it yields; write Iterator[float]"),
        (plain(Generator), "Generator does not say what it yields; write Generator[float, None, None]"),
        (waiting(AsyncGenerator), "AsyncGenerator does not say what it yields; write AsyncGenerator[float, None]"),
        (plain(Generator[float, str, None]), "nothing can be sent into a task; make the second type of Generator"),
        (waiting(AsyncGenerator[float, str]), "nothing can be sent into a task; make the second type of AsyncGen"),
        (plain(list[float]), "it is a generator, which list[float] does not say; write -> Iterator[T]"),
        (plain(AsyncIterator[float]), "it is a generator, which AsyncIterator[float] does not say"),
        (waiting(Iterator[float]), "it is an async generator, which Iterator[float] does not say; write -> Async"),
        (plain(Iterator[None]), "an item is never None"),
        (plain(Iterator[Any]), "the items: Any cannot travel; name the type"),
        (plain(Generator[int, None, set[int]]), "the result: set[int] cannot travel; take a list"),
        (plain(Annotated[Iterator[float], Limits(ge=0)]), "limits of an item belong into the brackets"),
    ],
)
def test_what_does_not_say_it_is_refused_with_the_remedy(function: Callable[..., Any], says: str) -> None:
    with pytest.raises(ContractError) as caught:
        derived(function)
    assert says in str(caught.value)
    assert "stats.describe" in str(caught.value)


def test_an_iterator_that_is_returned_is_told_to_yield() -> None:
    def describe(text: str) -> Iterator[str]:
        return iter(text)

    with pytest.raises(ContractError, match="make it a list, or yield the items in the task itself"):
        derived(describe)


def test_a_class_cannot_have_the_name_of_the_items() -> None:
    @dataclass
    class DescribeItem:
        x: int

    def describe(item: DescribeItem) -> Iterator[int]:
        yield item.x

    describe.__annotations__["item"] = DescribeItem
    with pytest.raises(ContractError, match="the task's DescribeItem needs; rename the class"):
        derived(describe)


# ── bound ───────────────────────────────────────────────────────────────────────────────────────────────


def queue(function: Callable[..., Any]) -> Queue:
    made = Queue("stats")
    made.task(name="describe")(function)
    return made


def split(text: str) -> Generator[Word, None, int]:
    """Give the words of a text, one after the other."""
    words = text.split()
    for word in words:
        yield Word(word, len(word))
    return len(words)


def binding(function: Callable[..., Any], library: Library) -> ContractBinding:
    assert [each.became for each in export(queue(function), library)] == [Written.WRITTEN]
    made = bound(queue(function).tasks["stats.describe"][1], library)
    assert made is not None
    return made


def test_items_and_result_become_wire_values_each_of_its_own_type(tmp_path: Path) -> None:
    made = binding(split, Library(tmp_path))
    assert made.item(Word("one", 3), 1, 1)[0] == {"text": "one", "length": 3}
    assert made.result(2, 1, 0)[0] == 2


def test_an_item_that_breaks_its_contract_is_told_by_place_and_rule(tmp_path: Path) -> None:
    made = binding(split, Library(tmp_path))
    with pytest.raises(Misfit) as caught:
        made.item(Word("one", "3"), 1, 1)  # type: ignore[arg-type]
    assert caught.value.details("item") == {"path": "item.length", "rule": "type", "kind": "str"}


def by_hand(**task: Any) -> Contract:
    """A contract of a callable without annotations."""
    return contract({"text": STR}, callable="texts:describe", **task)


def returning(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("function", "committed", "says"),
    [
        (split, contract({"text": STR}, result=INT), "the items: the function yields an object of text, length, the c"),
        (returning, contract({"text": STR}, result=STR, items="Item", defs={"Item": INT}), "the contract has x-task.i"),
        (plain(None), by_hand(), "the items: the function yields, the contract has no x-task.items"),
        (returning, by_hand(result=STR, items="Item", defs={"Item": INT}), "calling the function gives a result; let"),
        (
            plain(Iterator[str]),
            contract({"text": STR}, items="Item", defs={"Item": INT}),
            "item: the contract says an int, the code a str",
        ),
    ],
)
def test_code_that_yields_something_else_than_its_contract_says_has_drifted(
    function: Callable[..., Any], committed: Contract, says: str
) -> None:
    (found,) = misfits(queue(function).tasks["stats.describe"][1], committed)
    assert says in found


def test_a_callable_without_annotations_may_yield_what_its_contract_says() -> None:
    committed = by_hand(items="Item", defs={"Item": STR})
    assert misfits(queue(plain(None)).tasks["stats.describe"][1], committed) == []


# ── run ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def run(line: Line, function: Callable[..., Any], library: Library, args: dict[str, Any]) -> tuple[list[Any], bytes]:
    """What a child says of one job of the function, and its result."""
    made = Executor(queue(function), library, worker="w", max_body_bytes=MAX_BODY_BYTES, outlet=line.outlet)
    meta = ["stats.describe", JOB_ID, 1, None, None, 10_000, 0, 0, None, False]
    said, body, _ = made.run(meta, job_body(task="stats.describe", args=args), None, None, NUMBER)
    return said, body


def test_a_child_sends_items_under_the_contract(line: Line, tmp_path: Path) -> None:
    # Given a task that yields arrays, one of them too long to be copied, with a contract
    def describe(sizes: list[int]) -> Generator[NDArray[np.float64], None, Word]:
        for size in sizes:
            yield np.ones(size)
        return Word("done", len(sizes))

    library = Library(tmp_path)
    binding(describe, library)

    # When it runs, then its items and its result have the types of the contract
    _, body = run(line, describe, library, {"sizes": [2, 10_000]})
    assert [(item["dtype"], item["shape"], len(item["data"])) for item in line.items] == [
        ("float64", [2], 16),
        ("float64", [10_000], 80_000),
    ]
    result = decode_result(body)
    assert (result.value, result.items) == ({"text": "done", "length": 2}, 2)


def test_a_job_whose_item_breaks_the_contract_ends_there_with_its_place(line: Line, tmp_path: Path) -> None:
    # Given a task whose second item is none
    def listed(text: str) -> Iterator[Annotated[list[Annotated[int, Limits(ge=0)]], Limits(max_length=1)]]:
        yield [len(text)]
        yield [-1]

    library = Library(tmp_path)
    binding(listed, library)

    # When it runs
    said, body = run(line, listed, library, {"text": "one"})

    # Then what was in order was sent, and the attempt ends as with a result that breaks the contract
    assert line.items == [[3]]
    assert (said[0], said[2], said[3]) == (
        "raised",
        "RESULT_INVALID",
        "item 1: item[0]: must be at least 0 (it is an int)",
    )
    assert said[-1] == {"path": "item[0]", "rule": "minimum", "kind": "int"}
    assert body == b""
