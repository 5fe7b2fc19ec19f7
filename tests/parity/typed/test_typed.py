"""Generated Go and Python's converters say the same of the same bytes, valid, bent and mutated."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from penstock.schema.encode import Encoders
from penstock.schema.library import Library
from penstock.schema.model import Contract, Ref, Type
from penstock.wire.codec import encode, pack
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.scan import scan
from tests.helpers.differ import Differ, Verdict, differ
from tests.helpers.samples import Sampler, bent, mutated
from tests.helpers.subject import Arguments

TASKS: Final = (
    ("everything", 1),
    ("limits", 1),
    ("arrays", 1),
    ("nothing", 1),
    ("nothing", 2),
    ("weather", 1),
    ("serve", 1),
    ("heat", 1),
    ("stack", 1),
)
#: Those that yield; their items have the selectors behind all results.
STREAMS: Final = ("serve", "heat", "stack")
CASES: Final = int(os.environ.get("PENSTOCK_DIFFERENTIAL", "12000"))
SEED: Final = int(os.environ.get("PENSTOCK_SEED", "20261125"))
CONTRACTS: Final = Path(__file__).parents[2] / "contract" / "tasks"


class Subject(NamedTuple):
    """A contract's arguments, for both languages."""

    selector: int
    arguments: Arguments


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Differ]:
    with differ(tmp_path_factory.mktemp("differ")) as running:
        yield running


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    made = []
    for selector, (name, version) in enumerate(TASKS):
        contract = Library(CONTRACTS).find(f"kitchen.{name}", version)
        assert contract is not None
        made.append(Subject(selector, Arguments(contract)))
    return made


def valid(subject: Subject, pick: random.Random) -> Any:
    """A value of the arguments."""
    contract = subject.arguments.contract
    return Sampler(contract, pick.getrandbits(64)).value(contract.arguments)


def test_go_and_python_agree_on_arguments(go: Differ, subjects: list[Subject]) -> None:
    """A third each: valid, structurally mutated, bytes changed."""
    # Given many bodies
    pick = random.Random(SEED)
    cases: list[tuple[Subject, bytes]] = []
    while len(cases) < CASES:
        subject = pick.choice([*subjects[:3], *subjects[:3], *subjects])
        value = valid(subject, pick)
        cases.append((subject, encode(value)))
        cases.append((subject, encode(mutated(value, pick))))
        cases.append((subject, bent(encode(value), pick)))

    # When both languages judge them
    theirs = go.ask([(subject.selector, body) for subject, body in cases])
    ours = [subject.arguments.judge(body) for subject, body in cases]

    # Then they agree in verdict, and in canonical bytes
    differ = []
    for (subject, body), one, other in zip(cases, ours, theirs, strict=True):
        same = one.kind == other.kind
        if same and one.kind == "k" and one.payload != other.payload:
            # Python's datetimes end at the microsecond.
            same = scan(body).finer_than_us
        if not same:
            differ.append((subject.arguments.contract.name, body.hex(), one, other))
    assert not differ, f"seed {SEED}: {len(differ)} of {len(cases)}, the first: {differ[0]}"

    # And nearly always in place, rule and kind too: a body with two faults may be judged by either
    misfits = [(one, other) for one, other in zip(ours, theirs, strict=True) if one.kind == "m"]
    assert sum(one == other for one, other in misfits) > 0.97 * len(misfits)

    # And no verdict is missing
    kinds = [verdict.kind for verdict in ours]
    assert {"k", "m", "p"} == set(kinds)
    assert kinds.count("k") > CASES // 4
    assert kinds.count("m") > CASES // 5


def test_every_valid_value_is_valid_for_both(go: Differ, subjects: list[Subject]) -> None:
    pick = random.Random(SEED + 1)
    cases = []
    for _ in range(600):
        subject = pick.choice(subjects)
        cases.append((subject, encode(valid(subject, pick))))
    assert {subject.arguments.judge(body).kind for subject, body in cases} == {"k"}
    assert {verdict.kind for verdict in go.ask([(subject.selector, body) for subject, body in cases])} == {"k"}


def test_go_reads_what_python_answers_and_would_write_the_same(go: Differ, subjects: list[Subject]) -> None:
    # Given results as a worker writes them
    pick = random.Random(SEED + 2)
    cases: list[tuple[int, bytes]] = []
    for _ in range(1000):
        subject = pick.choice(subjects)
        contract = subject.arguments.contract
        cases.append((len(TASKS) + subject.selector, written(contract, contract.result, pick)))

    # When Go reads them, then it accepts each and has the same bytes for it
    for (_, body), verdict in zip(cases, go.ask(cases), strict=True):
        assert verdict == Verdict("k", body)


def test_go_reads_what_python_yields_and_would_write_the_same(go: Differ, subjects: list[Subject]) -> None:
    # Given items as a worker writes them
    pick = random.Random(SEED + 3)
    contracts = {subject.arguments.contract.name: subject.arguments.contract for subject in subjects}
    cases: list[tuple[int, bytes]] = []
    for _ in range(500):
        number, name = pick.choice([*enumerate(STREAMS)])
        contract = contracts[f"kitchen.{name}"]
        assert contract.items is not None
        cases.append((2 * len(TASKS) + number, written(contract, contract.items, pick)))

    # When Go reads them, then it accepts each and has the same bytes for it
    for (_, body), verdict in zip(cases, go.ask(cases), strict=True):
        assert verdict == Verdict("k", body)


def written(contract: Contract, name: str, pick: random.Random) -> bytes:
    """A value of a named type as a worker writes it."""
    type_: Type = Ref(name=name)
    value = Sampler(contract, pick.getrandbits(64)).value(type_)
    encoders = Encoders(contract)
    encoders.begin(1)
    return pack(encoders.of(type_)(_returned(value), 1), max_bytes=MAX_BODY_BYTES)


def _returned(value: Any) -> Any:
    """A value of the wire as a task would return it."""
    if isinstance(value, dict) and value.keys() == {"dtype", "shape", "data"}:
        import numpy as np

        return np.frombuffer(value["data"], dtype=f"<{value['dtype'][0]}8").reshape(value["shape"])
    return value


def test_go_ignores_what_it_does_not_know_in_a_result_or_an_item(go: Differ) -> None:
    # Given results and an item with a property that this version of the contract does not have
    course = {"name": "soup", "plate": {"radius": 1.0, "kind": "circle"}}
    cooked, tree = encode({"type": "a", "job_id": "b", "new": [1, {"x": 2}]}), encode({"value": 1, "new": None})

    # When Go reads them
    verdicts = go.ask([(len(TASKS) + 4, cooked), (len(TASKS), tree), (2 * len(TASKS), encode({**course, "new": 1}))])

    # Then the rest is there
    assert verdicts == [
        Verdict("k", pack({"type": "a", "job_id": "b"}, max_bytes=100)),
        Verdict("k", pack({"value": 1}, max_bytes=100)),
        Verdict("k", pack(course, max_bytes=100)),
    ]
