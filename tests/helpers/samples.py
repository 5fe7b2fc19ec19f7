"""Values of a contract's types, made at random from a seed, and values that are almost right."""

from __future__ import annotations

import copy
import math
import random
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.schema.model import (
    DTYPES,
    Array,
    Bin,
    Bool,
    Const,
    Contract,
    Enum,
    Float,
    Formatted,
    Int,
    Map,
    NDArray,
    Null,
    Nullable,
    Object,
    Ref,
    Str,
    Timestamp,
    Tuple,
    Type,
    Union,
)

WORDS = ["", "a", "Grüße", "日本", "x" * 40, "with space", "kind", "\x00", "😀"]
NUMBERS = [0.0, -0.0, 1.0, -1.5, 3.14159, 1e300, -1e-300, 5e-324, 123456789.0]


class Sampler:
    """Makes values as they are on the wire: what `wire.codec.decode` gives.

    Args:
        contract: The contract.
        seed: Equal seeds give equal values.
    """

    def __init__(self, contract: Contract, seed: int) -> None:
        self.contract = contract
        self.random = random.Random(seed)

    def value(self, type_: Type, depth: int = 0) -> Any:  # noqa: C901, PLR0912 -- a case per type
        pick = self.random
        match type_:
            case Ref():
                return self.value(self.contract.resolve(type_), depth)
            case Null():
                return None
            case Bool():
                return pick.random() < 0.5
            case Int(minimum=low, maximum=high):
                return self.integer(low, high)
            case Float():
                return self.number(type_)
            case Str(min_length=low, max_length=high):
                return self.text(low, high)
            case Bin(min_length=low, max_length=high):
                return pick.randbytes(self.count(low, high, 12))
            case Timestamp():
                return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=pick.randrange(-(10**15), 10**16))
            case Formatted(format=name):
                return self.formatted(name)
            case Enum(values=values):
                return pick.choice(values)
            case Const(value=text):
                return text
            case Array(items=items, min_items=low, max_items=high):
                return [self.value(items, depth + 1) for _ in range(self.count(low, high, 4 if depth < 4 else 0))]
            case Tuple(items=several):
                return [self.value(each, depth + 1) for each in several]
            case Map(values=values, min_properties=low, max_properties=high):
                made: dict[str, Any] = {}
                wanted = self.count(low, high, 4 if depth < 4 else 0)
                while len(made) < wanted:
                    made[self.text(0, 10)] = self.value(values, depth + 1)
                return made
            case NDArray():
                return self.ndarray(type_)
            case Nullable(of=of):
                return None if depth > 4 or pick.random() < 0.4 else self.value(of, depth + 1)
            case Union(refs=refs):
                return self.value(Ref(name=pick.choice(refs)), depth)
        assert isinstance(type_, Object)
        present = [p for p in type_.properties if p.required or (depth < 4 and pick.random() < 0.5)]
        if pick.random() < 0.2:
            pick.shuffle(present)
        return {p.name: self.value(p.type, depth + 1) for p in present}

    def count(self, low: int | None, high: int | None, usual: int) -> int:
        least = low or 0
        most = usual if high is None else min(usual, high)
        return self.random.randint(least, max(least, most))

    def integer(self, low: int | None, high: int | None) -> int:
        least, most = -(2**63) if low is None else low, 2**63 - 1 if high is None else high
        edge = self.random.choice([least, most, 0, 1, -1, 127, 128, 255, 256, -32, -33, 65536, 2**32, 2**53])
        return edge if least <= edge <= most else self.random.randint(least, most)

    def number(self, type_: Float) -> float:
        low = next((b for b in (type_.minimum, type_.exclusive_minimum) if b is not None), None)
        high = next((b for b in (type_.maximum, type_.exclusive_maximum) if b is not None), None)
        if low is None and high is None:
            extra = [math.inf, -math.inf, math.nan] if type_.nonfinite else []
            numbers: list[float] = [*NUMBERS, 7, -(2**53), *extra]
            return self.random.choice(numbers)
        least, most = -1e6 if low is None else low, 1e6 if high is None else high
        inside = least + (most - least) * self.random.uniform(0.001, 0.999)
        return self.random.choice([inside, *(b for b in (type_.minimum, type_.maximum) if b is not None)])

    def text(self, low: int | None, high: int | None) -> str:
        word = self.random.choice(WORDS)
        wanted = self.count(low, high, len(word))
        return (word + "äbc" * 20)[:wanted]

    def formatted(self, name: str) -> str:
        pick = self.random
        if name == "decimal":
            return pick.choice(["0", "-1", "12.50", "-0.000", "007", str(pick.randrange(10**30)), "9" * 400])
        if name == "uuid":
            digits = f"{pick.getrandbits(128):032x}"
            return "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])
        return (datetime(1, 1, 1, tzinfo=UTC) + timedelta(days=pick.randrange(3_600_000))).date().isoformat()

    def ndarray(self, type_: NDArray) -> dict[str, Any]:
        least, most = type_.min_items or 0, type_.max_items
        ndim = self.random.randint(0, 3) if type_.ndim is None else type_.ndim
        shape = [self.random.randint(1 if least else 0, 3) for _ in range(ndim)]
        size = math.prod(shape)
        if size < least or (most is not None and size > most):
            shape = [least or 1] if ndim == 1 else [1] * ndim
            size = math.prod(shape)
        code = {"float32": "f", "float64": "d"}.get(type_.dtype)
        if code is None:
            data = self.random.randbytes(size * DTYPES[type_.dtype])
        else:
            data = struct.pack(f"<{size}{code}", *(self.random.choice([0.0, 1.5, -2.25, 1e30]) for _ in range(size)))
        return {"dtype": type_.dtype, "shape": shape, "data": data}


REPLACEMENTS: list[Any] = [
    None,
    True,
    0,
    -1,
    2**60,
    1.5,
    math.nan,
    math.inf,
    "",
    "x",
    b"",
    b"\x00" * 8,
    [],
    [1],
    {},
    {"a": 1},
    "2024-02-30",
    "1e5",
    "circle",
]


def mutated(value: Any, pick: random.Random) -> Any:
    """The same value but for one thing: something dropped, renamed, added, or replaced by another kind."""
    made = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    _collect(made, places)
    if not places:
        return pick.choice(REPLACEMENTS)
    container, key = pick.choice(places)
    way = pick.random()
    if isinstance(container, dict) and way < 0.2:
        del container[key]
    elif isinstance(container, dict) and way < 0.35:
        container[f"{key}x"] = container.pop(key)
    elif isinstance(container, dict) and way < 0.45:
        container[pick.choice(["extra", "Kind", "a b"])] = pick.choice(REPLACEMENTS)
    elif isinstance(container, list) and way < 0.3:
        container.append(pick.choice(REPLACEMENTS))
    elif isinstance(container, list) and way < 0.45:
        del container[key]
    else:
        container[key] = pick.choice(REPLACEMENTS)
    return made


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        places.append((value, key))
        _collect(part, places)


def bent(body: bytes, pick: random.Random) -> bytes:
    """The bytes but for one to three of them."""
    made = bytearray(body)
    for _ in range(pick.randint(1, 3)):
        way, at = pick.random(), pick.randrange(len(made) or 1)
        if way < 0.7 and made:
            made[at] = pick.randrange(256)
        elif way < 0.85:
            made.insert(at, pick.randrange(256))
        elif made:
            del made[at]
    return bytes(made)
