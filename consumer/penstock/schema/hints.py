"""Annotations become the types of a contract, or a sentence that says why not and what to write instead."""

from __future__ import annotations

import collections.abc
import datetime as dt
import enum
import inspect
import math
import pathlib
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Never
from uuid import UUID

from penstock.schema import annotations as hints
from penstock.schema.annotations import Part, UnreadableError
from penstock.schema.lint import is_default
from penstock.schema.model import (
    ABSENT,
    DTYPES,
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
    Property,
    Ref,
    Str,
    Timestamp,
    Tuple,
    Type,
    Union,
)
from penstock.wire.registry import MAX_SAFE_INT_IN_FLOAT

_EMPTY: Final = inspect.Parameter.empty
_CAMEL: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_SNAKE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UPPER: Final = re.compile(r"[A-Z][A-Z0-9_]*")

_PLAIN: Final[Mapping[Any, Callable[[], Type]]] = {
    bool: Bool,
    int: Int,
    float: Float,
    str: Str,
    bytes: Bin,
    dt.datetime: Timestamp,
    Decimal: lambda: Formatted(format="decimal"),
    UUID: lambda: Formatted(format="uuid"),
    dt.date: lambda: Formatted(format="date"),
}
_LISTS: Final = (list, collections.abc.Sequence)
_MAPS: Final = (dict, collections.abc.Mapping)
_YIELD: Final = "make it a list, or yield the items in the task itself"
#: What to write instead, by the annotation or its origin.
_REMEDIES: Final[Mapping[Any, str]] = {
    Any: "name the type: a Go caller has to know what to send",
    object: "name the type: a Go caller has to know what to send",
    list: "name what it holds, as in list[float]",
    tuple: "name what it holds, as in tuple[float, float]",
    dict: "name what it holds, as in dict[str, float]",
    set: "take a list",
    frozenset: "take a list",
    complex: "take its two parts as floats",
    bytearray: "take bytes",
    memoryview: "take bytes",
    dt.timedelta: "take a number of milliseconds, and say so in the name: wait_ms",
    dt.time: "take a str, or a datetime",
    pathlib.PurePath: "take a str, or the file's bytes",
    type(None): "drop it, or say T | None",
    typing.NoReturn: "say -> None",
    typing.Never: "say -> None",
    collections.abc.Callable: "nothing on the wire names code",
    collections.abc.Iterator: _YIELD,
    collections.abc.Generator: _YIELD,
    collections.abc.AsyncIterator: _YIELD,
    collections.abc.AsyncGenerator: _YIELD,
    collections.abc.Iterable: "take a list",
}


class HintReader:
    """Reads the annotations of one task.

    Attributes:
        defs: The named types that were found, in the order in which they were.
        problems: What cannot be expressed, a sentence each, beginning with where.
    """

    def __init__(self) -> None:
        self.defs: dict[str, Type] = {}
        self.problems: list[str] = []
        self._classes: dict[str, type] = {}
        self._pending: list[type] = []
        #: Fields that tell the objects of a union, by class.
        self._tags: dict[type, set[str]] = {}

    def parts(self, parts: tuple[Part, ...], where: str) -> tuple[Property, ...]:
        """The properties that parameters or fields are; `where` is what messages call their owner."""
        found = [self._property(part, f"{where}.{part.name}".lstrip(".")) for part in parts]
        return tuple(each for each in found if each is not None)

    def result(self, annotation: Any) -> Type | None:
        """The type of a result; None: there was a problem."""
        if annotation is _EMPTY:
            return self._problem("the result", "it has no annotation; add one, -> None if there is no result")
        if annotation is None or annotation is type(None):
            return Null()
        return self.read(annotation, "the result")

    def finish(self) -> None:
        """Read the classes that were met on the way, until there is no new one."""
        while self._pending:
            kind = self._pending.pop(0)
            name = kind.__name__
            try:
                text, parts = hints.fields(kind)
            except UnreadableError as error:
                self._problem(name, str(error))
                continue
            self.defs[name] = Object(properties=self.parts(parts, name), description=text)
        for kind, names in self._tags.items():
            of = self.defs.get(kind.__name__)
            if isinstance(of, Object):
                self.defs[kind.__name__] = replace(of, properties=tuple(_tagged(p, names) for p in of.properties))

    def read(self, annotation: Any, at: str) -> Type | None:
        """The type that an annotation means; None: there was a problem."""
        base, limits = hints.stripped(annotation)
        if (inner := hints.optional(base)) is not None:
            found = self.read(inner, at)
            if found is None:
                return None
            return Nullable(of=self._limited(found, limits, at))
        found = self._base(base, at)
        return None if found is None else self._limited(found, limits, at)

    def _problem(self, at: str, what: str) -> Never | None:  # noqa: RUF020 -- a plain None could not be returned on
        """Note a problem; returns None for what there is not."""
        self.problems.append(f"{at}: {what}")
        return None

    # ── one annotation ──────────────────────────────────────────────────────────────────────────

    def _base(self, base: Any, at: str) -> Type | None:
        if base is _EMPTY:
            return self._problem(at, "it has no annotation; add one, as in values: list[float]")
        if isinstance(base, collections.abc.Hashable) and base in _PLAIN:
            return _PLAIN[base]()
        if (values := hints.literals(base)) is not None:
            return self._literal(values, at)
        if hints.is_enum(base):
            return self._enum(base, at)
        if hints.is_dataclass(base) or hints.is_typed_dict(base):
            return self._class(base, at)
        if len(members := hints.union_members(base)) > 1:
            return self._union(members, at)
        if (dtype := hints.dtype(base)) is not None:
            if dtype not in DTYPES:
                text = f"elements of type {dtype or 'Any'} have no fixed form; say NDArray[np.float64]"
                return self._problem(at, f"{text}, or another of {', '.join(DTYPES)}")
            return NDArray(dtype=dtype)
        return self._container(base, at)

    def _container(self, base: Any, at: str) -> Type | None:
        origin, arguments = typing.get_origin(base), typing.get_args(base)
        if origin in _LISTS and len(arguments) == 1:
            items = self.read(arguments[0], f"{at}[]")
            return None if items is None else Array(items=items)
        if origin is tuple and arguments and arguments != ((),):
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                items = self.read(arguments[0], f"{at}[]")
                return None if items is None else Array(items=items)
            several = [self.read(each, f"{at}[{index}]") for index, each in enumerate(arguments)]
            return None if None in several else Tuple(items=tuple(each for each in several if each is not None))
        if origin in _MAPS and len(arguments) == 2:
            if arguments[0] is not str:
                return self._problem(at, f"keys of type {hints.name(arguments[0])} cannot travel; take dict[str, ...]")
            values = self.read(arguments[1], f"{at}{{}}")
            return None if values is None else Map(values=values)
        return self._problem(at, _refusal(base))

    def _literal(self, values: tuple[Any, ...], at: str) -> Type | None:
        kinds = {type(value) for value in values}
        if kinds == {str} and "" not in values:
            return Enum(values=tuple(values))
        if kinds == {int}:
            return Enum(values=tuple(values))
        if None in values:
            return self._problem(at, "None stands beside a Literal, not in it: Literal[...] | None")
        return self._problem(at, "a Literal holds only str that are not empty, or only int")

    def _enum(self, kind: type[enum.Enum], at: str) -> Type | None:
        if issubclass(kind, enum.Flag):
            text = f"{kind.__name__} is a Flag, whose members combine to values that no contract lists"
            return self._problem(at, f"{text}; take an int, or a list of an Enum")
        values = [member.value for member in kind]
        # bool is an int, and a StrEnum's values are str already.
        kinds = {type(value) for value in values}
        if not values or kinds not in ({str}, {int}) or "" in values:
            return self._problem(at, f"the values of {kind.__name__} are not all str that are not empty, or all int")
        if not self._register(kind, at):
            return None
        names = tuple(member.name.upper() for member in kind)
        named = names if all(map(_UPPER.fullmatch, names)) and len(set(names)) == len(names) else ()
        text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
        was = self.defs.get(kind.__name__)
        self.defs[kind.__name__] = was or Enum(values=tuple(values), names=named, description=text)
        return Ref(name=kind.__name__)

    def _class(self, kind: type, at: str) -> Type | None:
        if not self._register(kind, at):
            return None
        if kind.__name__ not in self.defs:
            # Its place in the order; `finish` reads it.
            self.defs[kind.__name__] = Object(properties=())
            self._pending.append(kind)
        return Ref(name=kind.__name__)

    def _register(self, kind: type, at: str) -> bool:
        """Give a class its name; False: there was a problem."""
        name = kind.__name__
        if not _CAMEL.fullmatch(name):
            self._problem(at, f"the class {name} needs a name in CamelCase, which the Go type will have; rename it")
            return False
        if self._classes.setdefault(name, kind) is not kind:
            self._problem(
                at, f"there are two classes {name} ({_where(self._classes[name])}, {_where(kind)}); rename one"
            )
            return False
        return True

    def _union(self, members: tuple[Any, ...], at: str) -> Type | None:
        kinds = [hints.stripped(member)[0] for member in members]
        if not all(hints.is_dataclass(kind) or hints.is_typed_dict(kind) for kind in kinds):
            return self._problem(at, _no_union(kinds))
        discriminator = self._discriminator(kinds)
        if discriminator is None:
            names = ", ".join(kind.__name__ for kind in kinds)
            text = f'{names} cannot be told apart; give each a field like kind: Literal["circle"], all different'
            return self._problem(at, text)
        refs = [self._class(kind, at) for kind in kinds]
        for kind in kinds:
            self._tags.setdefault(kind, set()).add(discriminator)
        found = tuple(ref.name for ref in refs if isinstance(ref, Ref))
        return Union(refs=found, discriminator=discriminator) if len(found) == len(refs) else None

    def _discriminator(self, kinds: list[Any]) -> str | None:
        """The first field that is a Literal of one str in all classes, another one in each."""
        tables = []
        for kind in kinds:
            try:
                _, parts = hints.fields(kind)
            except UnreadableError:
                return None
            literal = {part.name: hints.literals(hints.stripped(part.annotation)[0]) for part in parts}
            tables.append({n: v[0] for n, v in literal.items() if v and len(v) == 1 and isinstance(v[0], str)})
        for name in tables[0]:
            values = {table[name] for table in tables if name in table}
            if len(values) == len(tables):
                return name
        return None

    # ── limits and defaults ─────────────────────────────────────────────────────────────────────

    def _limited(self, found: Type, limits: Mapping[str, Any], at: str) -> Type:
        """The type with its limits."""
        if not limits:
            return found
        if isinstance(found, Nullable):
            return replace(found, of=self._limited(found.of, limits, at))
        if isinstance(found, Ref):
            of = self.defs[found.name]
            if isinstance(of, Enum) and set(limits) == {"open_enum"}:
                self.defs[found.name] = replace(of, open=True)
                return found
        names = _ATTRIBUTES.get(type(found), {})
        changes: dict[str, Any] = {}
        for limit, value in limits.items():
            if wrong := _wrong(found, limit, value):
                self._problem(at, f"the limit {limit} {wrong}")
            elif isinstance(found, Int):
                changes[names[limit]] = int(value) + {"gt": 1, "lt": -1}.get(limit, 0)
            else:
                changes[names[limit]] = value
        if isinstance(found, NDArray) and limits.get("nonfinite") and "float" not in found.dtype:
            self._problem(at, f"the limit nonfinite means nothing for elements of {found.dtype}")
            changes.pop("nonfinite")
        return replace(found, **changes)

    def _property(self, part: Part, at: str) -> Property | None:
        if not _SNAKE.fullmatch(part.name):
            return self._problem(at, "its name has other characters than A-Z a-z 0-9 _; rename it")
        found = self.read(part.annotation, at)
        if found is None:
            return None
        described = replace(found, description=part.description) if not isinstance(found, Ref) else found
        if part.required:
            return Property(name=part.name, type=described)
        if isinstance(found, Nullable):
            if part.default is not None:
                text = "it may be None and has another default; then nobody can tell None from nothing"
                return self._problem(at, f"{text}: drop the None, or make the default None")
            inner = found.of if isinstance(found.of, Ref) else replace(found.of, description=part.description)
            return Property(name=part.name, type=inner, required=False)
        return self._with_default(part, described, at)

    def _with_default(self, part: Part, found: Type, at: str) -> Property | None:
        """A part with a default that is not None."""
        optional = Property(name=part.name, type=found, required=False)
        literal = hints.literals(hints.stripped(part.annotation)[0])
        if literal is not None and len(literal) == 1 and part.default == literal[0]:
            return replace(optional, required=True)  # a constant, which has only this value
        if part.factory is not None or part.default == ():
            made = part.default if part.factory is None else part.factory()
            if isinstance(made, list | dict | tuple) and not made:
                return optional
            return self._problem(at, "its default is made anew each time and not empty; make the default None")
        if part.default is _EMPTY:
            return optional  # NotRequired
        if part.default is None:
            return self._problem(
                at, f"its default is None, which {hints.name(part.annotation)} is not; write T | None = None"
            )
        default, resolved = _plain(part.default), self._resolved(found)
        fits, said = is_default(resolved, default), f"its default {part.default!r}"
        if not fits and isinstance(resolved, _TAKE_DEFAULTS):
            return self._problem(at, f"{said} does not fit its type and limits; change one of them")
        if not fits or not _writable(default):
            return self._problem(at, f"{said} cannot stand in a contract; write T | None = None")
        return replace(optional, default=default)

    def _resolved(self, found: Type) -> Type:
        return self.defs[found.name] if isinstance(found, Ref) else found


def _tagged(of: Property, names: set[str]) -> Property:
    """The property of a union's object; what tells it is a constant."""
    if of.name not in names or not isinstance(of.type, Enum):
        return of
    return replace(
        of, type=Const(value=str(of.type.values[0]), description=of.type.description), required=True, default=ABSENT
    )


def _plain(default: Any) -> Any:
    """A default as JSON has it."""
    if isinstance(default, enum.Enum):
        return default.value
    if isinstance(default, Decimal):
        return format(default, "f")
    if isinstance(default, UUID):
        return str(default)
    if isinstance(default, dt.date) and not isinstance(default, dt.datetime):
        return default.isoformat()
    return default


def _writable(default: Any) -> bool:
    return not isinstance(default, int | float) or (math.isfinite(default) and abs(default) <= MAX_SAFE_INT_IN_FLOAT)


def _wrong(found: Type, limit: str, value: Any) -> str:
    """Why a type cannot have a limit; "" if it can."""
    if limit not in _ATTRIBUTES.get(type(found), {}):
        return f"means nothing for {_kind(found)}"
    if not _writable(value):
        return f"is {value!r}; numbers in a contract lie within ±2^53: leave it out"
    if isinstance(found, Int) and not float(value).is_integer():
        return f"of an int is a whole number, not {value!r}"
    return ""


def _no_union(kinds: list[Any]) -> str:
    """Why there is no union of these, and what to write instead."""
    if set(kinds) == {int, float}:
        return "a float takes an int, too; say float"
    if any(_package(kind) == "numpy" and hints.dtype(kind) is None for kind in kinds):
        return "it takes whatever becomes an array; say NDArray[np.float64]"  # ArrayLike, spelt out
    names = ", ".join(map(hints.name, kinds))
    return f"{names} cannot be told apart; say one of them, or take dataclasses that a Literal field tells apart"


def _package(base: Any) -> str:
    return (getattr(typing.get_origin(base) or base, "__module__", "") or "").partition(".")[0]


def _refusal(base: Any) -> str:
    origin = typing.get_origin(base) or base
    name = hints.name(base)
    if isinstance(base, typing.TypeVar):
        return f"{base.__name__} is a type parameter; name the type"
    if hints.is_dataclass(origin) or hints.is_typed_dict(origin):
        return f"{name} has type parameters; write a class of its own for it"
    if plain := hints.scalar(base):
        return f"{name} is numpy's; say {plain}"
    if isinstance(origin, type) and issubclass(origin, tuple) and hasattr(origin, "_fields"):
        return f"{name} is a NamedTuple, whose names would be lost; make it a dataclass"
    for kind in origin.__mro__[:-1] if isinstance(origin, type) else (origin,):
        if isinstance(kind, collections.abc.Hashable) and kind in _REMEDIES:
            return f"{name} cannot travel; {_REMEDIES[kind]}"
    if _package(base) == "pandas":
        return f"{name} cannot travel; take its columns, as in dict[str, list[float]], and make it inside"
    if origin is object or base is Any:
        return f"{name} cannot travel; {_REMEDIES[Any]}"
    return f"{name} cannot travel; make it a dataclass of types that can"


def _where(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _kind(found: Type) -> str:
    return type(found).__name__.lower()


#: Types that may have a default.
_TAKE_DEFAULTS: Final = (Bool, Int, Float, Str, Formatted, Enum)
_LENGTH: Final = {"min_length": "min_length", "max_length": "max_length"}
_ITEMS: Final = {"min_length": "min_items", "max_length": "max_items"}
#: By type: which limits it has, and the attribute that each becomes.
_ATTRIBUTES: Final[Mapping[type[Type], Mapping[str, str]]] = {
    Int: {"ge": "minimum", "gt": "minimum", "le": "maximum", "lt": "maximum"},
    Float: {
        "ge": "minimum",
        "gt": "exclusive_minimum",
        "le": "maximum",
        "lt": "exclusive_maximum",
        "nonfinite": "nonfinite",
    },
    Str: _LENGTH,
    Bin: _LENGTH,
    Array: _ITEMS,
    Map: {"min_length": "min_properties", "max_length": "max_properties"},
    NDArray: {**_ITEMS, "ndim": "ndim", "nonfinite": "nonfinite"},
    Enum: {"open_enum": "open"},
}
