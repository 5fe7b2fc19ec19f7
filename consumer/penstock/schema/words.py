"""Types in words, for people who may know one of the two languages only."""

from __future__ import annotations

from typing import Final

from penstock.schema.model import (
    Array,
    Bin,
    Bool,
    Const,
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

_SIMPLE: Final = {Bool: "a bool", Timestamp: "a timestamp", Null: "nothing"}


def words(type_: Type) -> str:  # noqa: C901, PLR0912 -- a case per type
    """`a float from 0 to 1`, `an array of at most 10 ints`."""
    match type_:
        case Int(minimum=low, maximum=high):
            return "an int" + _range(low, high)
        case Float(nonfinite=nonfinite):
            bounds = _range(
                _first(type_.minimum, type_.exclusive_minimum), _first(type_.maximum, type_.exclusive_maximum)
            )
            if type_.exclusive_minimum is not None or type_.exclusive_maximum is not None:
                bounds += ", bounds excluded"
            return "a float" + bounds + (" or not finite" if nonfinite else "")
        case Str(min_length=low, max_length=high):
            return "a str" + _count(low, high, "characters")
        case Bin(min_length=low, max_length=high):
            return "bytes" + _count(low, high, "bytes")
        case Formatted(format=name):
            return f"a {name} as str"
        case Enum(values=values):
            return "one of " + ", ".join(map(str, values))
        case Const(value=value):
            return f"the str {value}"
        case Array(items=items):
            return f"an array of {_plural(items)}" + _count(type_.min_items, type_.max_items, "elements")
        case Tuple(items=items):
            return "a tuple of " + ", ".join(map(words, items))
        case Map(values=values):
            return f"a map to {_plural(values)}" + _count(type_.min_properties, type_.max_properties, "keys")
        case NDArray(dtype=dtype, ndim=ndim):
            dimensions = "" if ndim is None else f" of {ndim} dimension{'' if ndim == 1 else 's'}"
            counts = _count(type_.min_items, type_.max_items, "elements")
            return f"an ndarray of {dtype}{dimensions}{counts}" + (" or not finite" if type_.nonfinite else "")
        case Nullable(of=of):
            return f"{words(of)}, or nil"
        case Ref(name=name):
            return f"a {name}"
        case Union(refs=refs):
            return "one of " + ", ".join(refs)
        case Object():
            return "an object of " + ", ".join(of.name for of in type_.properties)
    return _SIMPLE[type(type_)]


def _plural(type_: Type) -> str:
    """A type's words where there are several."""
    text = words(type_)
    head, _, rest = text.removeprefix("a ").removeprefix("an ").partition(" ")
    if text.startswith(("a ", "an ")) and head not in ("tuple", "map", "array", "ndarray"):
        return f"{head}s {rest}".rstrip()
    return text


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" from {low}" if low is not None else f" up to {high}" if high is not None else ""


def _count(low: int | None, high: int | None, unit: str) -> str:
    if low is not None and high is not None:
        return f" ({low} to {high} {unit})"
    return f" (at least {low} {unit})" if low is not None else f" (at most {high} {unit})" if high is not None else ""
