"""The types of a contract, as contracts/DIALECT.md has them, and the contract itself.

Two types are equal when they mean the same on the wire: descriptions and names for generated code do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Scalar: TypeAlias = bool | int | float | str


class _Absent:
    """The type of ABSENT."""

    def __repr__(self) -> str:
        return "ABSENT"


#: There is no default: None would be one.
ABSENT: Final = _Absent()

#: Element types of an ndarray, by the bytes that one takes.
DTYPES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "int8": 1,
        "int16": 2,
        "int32": 4,
        "int64": 8,
        "uint8": 1,
        "uint16": 2,
        "uint32": 4,
        "uint64": 8,
        "float32": 4,
        "float64": 8,
    }
)
#: Formats of a str: how it is written, checked and converted.
FORMATS: Final = ("decimal", "uuid", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """What all types have.

    Attributes:
        description: For people.
    """

    description: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Null(Type):
    """Nil; only as the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bool(Type):
    """A truth value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int(Type):
    """A whole number of 64 bits. Bounds are inclusive; None: none."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Float(Type):
    """A number of 64 bits; an int within ±2^53 is one. None: no such bound."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    nonfinite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Str(Type):
    """Text; lengths in code points."""

    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin(Type):
    """Bytes."""

    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp(Type):
    """A moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted(Type):
    """A str of one of FORMATS."""

    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum(Type):
    """One of some values, all str or all int.

    Attributes:
        values: In their order, which means nothing.
        names: One for each, for generated code; empty: none.
        open: A result may one day have others.
    """

    values: tuple[str, ...] | tuple[int, ...]
    names: tuple[str, ...] = field(default=(), compare=False)
    open: bool = False

    @property
    def base(self) -> type[str | int]:
        """The kind of its values."""
        return type(self.values[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Const(Type):
    """The value by which an object of a union is told."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Array(Type):
    """Any number of the same type."""

    items: Type
    min_items: int | None = None
    max_items: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuple(Type):
    """One of each type, in order."""

    items: tuple[Type, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(Type):
    """Any str to the same type."""

    values: Type
    min_properties: int | None = None
    max_properties: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NDArray(Type):
    """Numbers in as many dimensions as `ndim` says; None: any. `min_items` and `max_items` count all of them."""

    dtype: str
    ndim: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    nonfinite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """A named part of an object.

    Attributes:
        name: An identifier.
        type: What it is, with its description.
        required: Whether it is always there.
        default: What the worker takes when it is not; ABSENT: nothing.
    """

    name: str
    type: Type
    required: bool = True
    default: Scalar | _Absent = ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Type):
    """A closed set of properties, in their order on the wire."""

    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref(Type):
    """The type of that name in the contract's `defs`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Union(Type):
    """One of some objects, told apart by the property `discriminator`."""

    refs: tuple[str, ...]
    discriminator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nullable(Type):
    """Nil, or that."""

    of: Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What one version of a task takes and gives.

    Attributes:
        name: The task's name.
        version: From 1.
        args: Name of an Object in `defs`.
        result: Name of a type in `defs`.
        items: Name of the type in `defs` of what it yields; None: it yields nothing.
        defs: Named types, in the order of the file.
        description: What the task does.
        errors: The task's own codes, and when they come.
        callable: `MODULE:CALLABLE` of the library call that it is.
        positional: Arguments that the callable takes by position only, in order.
        deprecated_since: `YYYY-MM-DD`.
    """

    name: str
    version: int
    args: str
    result: str
    defs: Mapping[str, Type]
    items: str | None = None
    description: str = field(default="", compare=False)
    errors: Mapping[str, str] = field(default_factory=dict)
    callable: str | None = None
    positional: tuple[str, ...] = ()
    deprecated_since: str | None = None

    @property
    def arguments(self) -> Object:
        """The type of the arguments."""
        found = self.defs[self.args]
        assert isinstance(found, Object)
        return found

    def resolve(self, type_: Type) -> Type:
        """The type itself, or what the reference names."""
        while isinstance(type_, Ref):
            type_ = self.defs[type_.name]
        return type_

    def variants(self, union: Union) -> dict[str, Object]:
        """The objects of a union by the value that tells them."""
        found: dict[str, Object] = {}
        for name in union.refs:
            of = self.defs[name]
            assert isinstance(of, Object)
            tag = next(p.type for p in of.properties if p.name == union.discriminator)
            assert isinstance(tag, Const)
            found[tag.value] = of
        return found


def children(type_: Type) -> tuple[Type, ...]:
    """The types that a type is directly made of."""
    match type_:
        case Array(items=items):
            return (items,)
        case Tuple(items=several):
            return several
        case Map(values=values):
            return (values,)
        case Nullable(of=of):
            return (of,)
        case Object(properties=properties):
            return tuple(p.type for p in properties)
        case Union(refs=refs):
            return tuple(Ref(name=name) for name in refs)
    return ()


def task_words(function: str) -> str:
    """The part of a task's name behind its queue, in CamelCase: the stem of its types' names.

    `describe` is `Describe`, `top_k` and `top-k` are `TopK`.
    """
    words = "".join(c if c.isalnum() else " " for c in function).split()
    return "".join(word[:1].upper() + word[1:] for word in words)


def camel(name: str) -> str:
    """A property's name in CamelCase, by which two properties must differ."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


Document: TypeAlias = dict[str, Any]
