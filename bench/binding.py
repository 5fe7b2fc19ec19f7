"""What a contract costs a child: arguments to real types and a result to wire values, beside names only and msgspec.

    .venv/bin/python bench/binding.py

Each row is the time of one call, and its ratio to the first column of the row: names only, or for arrays a copy.
msgspec takes part where it is installed; it checks types and bounds, and not what contracts/DIALECT.md has beyond them.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from penstock import Limits, Queue
from penstock.schema.binding import ContractBinding
from penstock.schema.derive import derive
from penstock.wire.codec import decode, encode, pack
from penstock.wire.plain import plain

SECONDS = 0.3
ROUNDS = 5
LIMIT = 16 * 2**20


@dataclass
class Item:
    """A line of an order."""

    name: str
    count: int
    price: float


bench = Queue("bench")


@bench.task
def scalars(a: int, b: float, c: str, d: bool, e: Annotated[float, Limits(ge=0)]) -> float:  # noqa: ARG001
    """Five scalars."""
    return b


@bench.task
def nested(items: list[Item]) -> list[Item]:
    """A hundred dataclasses."""
    return items


@bench.task
def floats(x: list[float]) -> list[float]:
    """Ten thousand floats."""
    return x


@bench.task
def array(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A million floats as bytes."""
    return x


def fastest(call: Callable[[], Any]) -> float:
    """Seconds of one call, in the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        times, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS / ROUNDS:
            call()
            times += 1
        best = min(best, (time.perf_counter() - began) / times)
    return best


def binding(name: str) -> ContractBinding:
    """The binding of one of the tasks above."""
    task = bench.tasks[f"bench.{name}"][1]
    return ContractBinding(task, derive(task.function, name=f"bench.{name}", version=1, raises={}))


def row(title: str, *columns: tuple[str, float]) -> None:
    """Print times, and their ratios to the first."""
    first = columns[0][1]
    print(f"{title:24}" + "".join(f"{name} {took * 1e6:9.2f} µs ({took / first:5.2f})   " for name, took in columns))


def compare(name: str, args: dict[str, Any], accelerated: Callable[[dict[str, Any]], Any] | None) -> None:
    """Arguments of one task, from the values that the codec gives."""
    task, bound = bench.tasks[f"bench.{name}"][1], binding(name)
    wire = decode(encode(args, max_bytes=LIMIT), max_bytes=LIMIT)
    columns = [("names", fastest(lambda: task.binding.bind(wire))), ("contract", fastest(lambda: bound.bind(wire)))]
    if accelerated is not None:
        columns.append(("msgspec", fastest(lambda: accelerated(wire))))
    row(f"arguments, {name}", *columns)


def results(name: str, value: Any) -> None:
    """A result of one task, against what is done without a contract."""
    bound = binding(name)
    row(
        f"result, {name}",
        ("plain", fastest(lambda: plain(value, max_bytes=LIMIT, level=2, nodes=23))),
        ("contract", fastest(lambda: bound.result(value, 2, 23))),
    )


def accelerators() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """The conversion by msgspec for each task, if it is installed."""
    if importlib.util.find_spec("msgspec") is None:
        print("msgspec is not installed: pip install msgspec")
        return {}
    import msgspec

    made = {
        "scalars": msgspec.defstruct(
            "Scalars",
            [("a", int), ("b", float), ("c", str), ("d", bool), ("e", Annotated[float, msgspec.Meta(ge=0)])],
            forbid_unknown_fields=True,
        ),
        "nested": msgspec.defstruct("Nested", [("items", list[Item])], forbid_unknown_fields=True),
        "floats": msgspec.defstruct("Floats", [("x", list[float])], forbid_unknown_fields=True),
    }

    def converter(kind: type) -> Callable[[dict[str, Any]], Any]:
        return lambda wire: msgspec.convert(wire, kind, builtin_types=(bytes,))

    return {name: converter(kind) for name, kind in made.items()}


def main() -> None:
    """Print the table."""
    msgspec = accelerators()
    compare("scalars", {"a": 1, "b": 2.5, "c": "x", "d": True, "e": 1.0}, msgspec.get("scalars"))
    items = [{"name": "x", "count": n, "price": 1.5} for n in range(100)]
    compare("nested", {"items": items}, msgspec.get("nested"))
    compare("floats", {"x": [1.5] * 10_000}, msgspec.get("floats"))
    results("nested", [Item("x", n, 1.5) for n in range(100)])
    results("floats", [1.5] * 10_000)

    million = np.arange(1_000_000, dtype=np.float64)
    sent = {"dtype": "float64", "shape": [1_000_000], "data": million.tobytes()}
    body, bound = encode({"x": sent}, max_bytes=LIMIT), binding("array")
    row(
        "8 MB array",
        ("copy", fastest(lambda: bytearray(body))),
        ("decode and bind", fastest(lambda: bound.bind(decode(body, max_bytes=LIMIT)))),
        ("check and encode", fastest(lambda: encode_array(bound, million))),
    )


def encode_array(bound: ContractBinding, value: Any) -> bytes:
    """The bytes of a result that is an array."""
    made, bulk = bound.result(value, 2, 23)
    return pack(made, max_bytes=LIMIT, bulk=bulk)


if __name__ == "__main__":
    main()
