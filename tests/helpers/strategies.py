"""Hypothesis strategies that a contract says: every value of a type, as the wire has it."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

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

_MOST = 4
_DEPTH = 2


def values(contract: Contract, type_: Type) -> st.SearchStrategy[Any]:  # noqa: C901 -- a case per type
    """All values of a type; one that holds itself ends after a few levels."""

    def of(type_: Type, depth: int = 0) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0912 -- a case per type
        ends = depth > _DEPTH
        match type_:
            case Ref(name=name):
                return of(contract.defs[name], depth + 1)
            case Null():
                return st.none()
            case Bool():
                return st.booleans()
            case Int(minimum=low, maximum=high):
                return st.integers(-(2**63) if low is None else low, 2**63 - 1 if high is None else high)
            case Float():
                return _floats(type_)
            case Str(min_length=low, max_length=high):
                text = st.text(min_size=low or 0, max_size=_most(low, high))
                return text.filter(lambda text: text.isprintable() or _is_utf8(text))
            case Bin(min_length=low, max_length=high):
                return st.binary(min_size=low or 0, max_size=_most(low, high))
            case Timestamp():
                return st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
            case Formatted(format=name):
                return _FORMATS[name]
            case Enum(values=members):
                return st.sampled_from(members)
            case Const(value=value):
                return st.just(value)
            case Array(items=items, min_items=low, max_items=high):
                return (
                    st.lists(of(items, depth), min_size=low or 0, max_size=_most(low, high))
                    if not ends
                    else st.just([])
                )
            case Tuple(items=several):
                return st.tuples(*(of(each, depth) for each in several)).map(list)
            case Map(values=inner, min_properties=low, max_properties=high):
                keys = st.text(max_size=8).filter(_is_utf8)
                return st.dictionaries(keys, of(inner, depth), min_size=low or 0, max_size=_most(low, high))
            case NDArray():
                return _arrays(type_)
            case Nullable(of=inner):
                return st.none() if ends else st.none() | of(inner, depth)
            case Union(refs=refs):
                return st.one_of([of(Ref(name=name), depth) for name in refs])
        assert isinstance(type_, Object)
        required = {p.name: of(p.type, depth) for p in type_.properties if p.required}
        optional = {p.name: of(p.type, depth) for p in type_.properties if not p.required and not ends}
        return st.fixed_dictionaries(required, optional=optional)

    return of(type_)


def _most(low: int | None, high: int | None) -> int:
    return max(low or 0, _MOST if high is None else min(high, _MOST))


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _floats(type_: Float) -> st.SearchStrategy[float]:
    low = type_.exclusive_minimum if type_.minimum is None else type_.minimum
    high = type_.exclusive_maximum if type_.maximum is None else type_.maximum
    return st.floats(
        low,
        high,
        allow_nan=type_.nonfinite and low is None and high is None,
        allow_infinity=type_.nonfinite and low is None and high is None,
        exclude_min=type_.exclusive_minimum is not None,
        exclude_max=type_.exclusive_maximum is not None,
    )


def _arrays(type_: NDArray) -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.integers(1 if type_.min_items else 0, 2)
    ndim = st.integers(0, 3) if type_.ndim is None else st.just(type_.ndim)
    shapes = ndim.flatmap(lambda n: st.lists(sizes, min_size=n, max_size=n))
    code = {"float32": "f", "float64": "d"}.get(type_.dtype)

    def filled(shape: list[int]) -> st.SearchStrategy[dict[str, Any]]:
        size = math.prod(shape)
        if code is None:
            data = st.binary(min_size=size * DTYPES[type_.dtype], max_size=size * DTYPES[type_.dtype])
        else:
            numbers = st.floats(
                width=32 if code == "f" else 64, allow_nan=type_.nonfinite, allow_infinity=type_.nonfinite
            )
            data = st.lists(numbers, min_size=size, max_size=size).map(lambda n: struct.pack(f"<{size}{code}", *n))
        return data.map(lambda data: {"dtype": type_.dtype, "shape": shape, "data": data})

    return shapes.flatmap(filled)


_FORMATS = {
    "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda d: format(d, "f")),
    "uuid": st.uuids().map(str),
    "date": st.dates().map(lambda day: day.isoformat()),
}
