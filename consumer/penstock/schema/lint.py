"""The rules of a contract that need more than one of its types."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any, Final

from penstock.schema.model import (
    ABSENT,
    Array,
    Bool,
    Const,
    Contract,
    Enum,
    Float,
    Formatted,
    Int,
    Map,
    Null,
    Nullable,
    Object,
    Property,
    Ref,
    Str,
    Tuple,
    Type,
    Union,
    children,
)
from penstock.schema.problems import Problems

MAX_DECIMAL: Final = 400
_PATTERNS: Final = {
    "decimal": re.compile(r"-?[0-9]+(\.[0-9]+)?"),
    "uuid": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "date": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
}


def has_format(text: str, name: str) -> bool:
    """Whether a str is written in one of FORMATS."""
    if not _PATTERNS[name].fullmatch(text):
        return False
    if name == "decimal":
        return len(text) <= MAX_DECIMAL
    if name == "date":
        try:
            dt.date.fromisoformat(text)
        except ValueError:
            return False
    return True


def check(contract: Contract, problems: Problems) -> None:
    """Note what is wrong with a contract whose types have been read one by one."""
    arguments = {p.name for p in contract.arguments.properties}
    for name in contract.positional:
        if name not in arguments:
            problems.add("x-task.positional", f"{name!r} is no argument")
    if contract.items is not None and isinstance(_target(contract, Ref(name=contract.items)), Null):
        problems.add("x-task.items", "an item is never null")
    tagged: dict[str, set[str]] = {}
    for name, type_ in contract.defs.items():
        _walk(contract, type_, f"$defs.{name}", problems, tagged)
        if isinstance(type_, Null) and name != contract.result:
            problems.add(f"$defs.{name}", "null is a result only")
        if not _ends(contract, Ref(name=name), set()):
            problems.add(f"$defs.{name}", "it holds itself without end; make a property optional, nullable or an array")
    for name, type_ in contract.defs.items():
        if isinstance(type_, Object):
            _consts(type_, f"$defs.{name}", tagged.get(name, set()), problems)
    _unused(contract, problems)


def _walk(contract: Contract, type_: Type, at: str, problems: Problems, tagged: dict[str, set[str]]) -> None:
    match type_:
        case Ref(name=name) if isinstance(contract.defs.get(name), Null):
            problems.add(at, f"{name} is null, which only a result is")
        case Nullable(of=of) if isinstance(_target(contract, of), Nullable):
            problems.add(at, "a nullable type cannot be nullable again")
        case Union():
            _union(contract, type_, at, problems, tagged)
            return
        case Object():
            for part in type_.properties:
                _property(contract, part, f"{at}.{part.name}", problems)
                _walk(contract, part.type, f"{at}.{part.name}", problems, tagged)
            return
    for child in children(type_):
        _walk(contract, child, at, problems, tagged)


def _target(contract: Contract, type_: Type) -> Type:
    """The type behind references; a reference that goes in a circle stays one."""
    seen: set[str] = set()
    while isinstance(type_, Ref) and type_.name not in seen:
        seen.add(type_.name)
        type_ = contract.defs[type_.name]
    return type_


def _union(contract: Contract, union: Union, at: str, problems: Problems, tagged: dict[str, set[str]]) -> None:
    values: list[str] = []
    for name in union.refs:
        of = contract.defs[name]
        found = [p for p in of.properties if p.name == union.discriminator] if isinstance(of, Object) else []
        if not found or not found[0].required or not isinstance(found[0].type, Const):
            problems.add(at, f"{name} has no required property {union.discriminator!r} with a const")
            continue
        tagged.setdefault(name, set()).add(union.discriminator)
        values.append(found[0].type.value)
    if len(set(values)) < len(values):
        problems.add(at, f"two of its objects have the same {union.discriminator!r}")


def _consts(type_: Object, at: str, tags: set[str], problems: Problems) -> None:
    for of in type_.properties:
        if isinstance(of.type, Const) and of.name not in tags:
            problems.add(f"{at}.{of.name}", "const tells the objects of a union; there is no union here")


def _property(contract: Contract, of: Property, at: str, problems: Problems) -> None:
    type_ = _target(contract, of.type)
    if not of.required and isinstance(type_, Nullable):
        problems.add(at, "it is optional and nullable; make it required, or never null")
    if of.default is ABSENT:
        return
    if of.required:
        problems.add(at, "it is required and has a default")
    elif not is_default(type_, of.default):
        problems.add(at, f"the default {of.default!r} does not fit its type, or its type takes none")


def is_default(type_: Type, value: Any) -> bool:
    """Whether a value may be the default of a type."""
    match type_:
        case Bool():
            return type(value) is bool
        case Int(minimum=low, maximum=high):
            return type(value) is int and (low is None or value >= low) and (high is None or value <= high)
        case Float():
            return type(value) in (int, float) and in_range(type_, value)
        case Str(min_length=low, max_length=high):
            return type(value) is str and (low or 0) <= len(value) <= (math.inf if high is None else high)
        case Formatted(format=name):
            return type(value) is str and has_format(value, name)
        case Enum():
            return type(value) is type_.base and value in type_.values
    return False


def in_range(type_: Float, value: float) -> bool:
    """Whether a number keeps the bounds of a type."""
    return (
        (type_.minimum is None or value >= type_.minimum)
        and (type_.maximum is None or value <= type_.maximum)
        and (type_.exclusive_minimum is None or value > type_.exclusive_minimum)
        and (type_.exclusive_maximum is None or value < type_.exclusive_maximum)
    )


def _ends(contract: Contract, type_: Type, inside: set[str]) -> bool:
    """Whether there is a value of the type that is not infinite."""
    match type_:
        case Ref(name=name):
            return name not in inside and _ends(contract, contract.defs[name], {*inside, name})
        case Nullable() | Map(min_properties=None | 0) | Array(min_items=None | 0):
            return True
        case Union():
            return any(_ends(contract, child, inside) for child in children(type_))
        case Object(properties=properties):
            return all(_ends(contract, p.type, inside) for p in properties if p.required)
        case Array() | Map() | Tuple():
            return all(_ends(contract, child, inside) for child in children(type_))
    return True


def _unused(contract: Contract, problems: Problems) -> None:
    used: set[str] = set()
    waiting = [name for name in (contract.args, contract.result, contract.items) if name is not None]
    while waiting:
        name = waiting.pop()
        if name in used:
            continue
        used.add(name)
        waiting += _refs(contract.defs[name])
    for name in contract.defs:
        if name not in used:
            problems.add(f"$defs.{name}", "nothing refers to it")


def _refs(type_: Type) -> list[str]:
    if isinstance(type_, Ref):
        return [type_.name]
    return [name for child in children(type_) for name in _refs(child)]
