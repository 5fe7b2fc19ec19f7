"""What a task returns becomes a wire value under its contract, checked on the way: one closure per type, made once."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgpack import Timestamp as WireTimestamp

from penstock.schema import arrays, checks
from penstock.schema.decode import missing
from penstock.schema.lint import MAX_DECIMAL
from penstock.schema.misfit import Misfit, kind_of, step
from penstock.schema.model import (
    ABSENT,
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
from penstock.wire.bulk import Bulk
from penstock.wire.plain import to_timestamp
from penstock.wire.registry import MAX_DEPTH, MAX_NODES, MAX_SAFE_INT_IN_FLOAT

#: Gives the wire value of a Python value that lies at a level of nesting, or raises Misfit.
Encode: TypeAlias = Callable[[Any, int], Any]

_INT64: Final = 2**63


class Encoders:
    """Makes encoders for the types of one contract.

    They count what they make, so that a result keeps the limits of the profile: `begin` before each result.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._named: dict[str, Encode | None] = {}
        self._nodes = 0
        #: The large bins that were encoded since `begin`.
        self.bulk = Bulk()

    def begin(self, nodes: int) -> None:
        """Start counting anew, from so many values that are there already."""
        self._nodes = nodes
        self.bulk = Bulk()

    def of(self, type_: Type) -> Encode:
        """The encoder of a type."""
        if isinstance(type_, Ref):
            return self._reference(type_.name)
        return _MAKERS[type(type_)](self, type_)

    def _enter(self, count: int, level: int, value: Any) -> None:
        """A container with so many parts; Misfit when it is one too many, or too deep."""
        self._nodes += count
        if level > MAX_DEPTH:
            raise Misfit("type", f"is nested deeper than {MAX_DEPTH} levels", kind_of(value))
        if self._nodes > MAX_NODES:
            text = f"makes more than {MAX_NODES} values together with what is before it; return arrays of numbers"
            raise Misfit("type", text, kind_of(value))

    # ── one maker per type ──────────────────────────────────────────────────────────────────────

    def _reference(self, name: str) -> Encode:
        if (known := self._named.get(name)) is not None:
            return known
        if name in self._named:
            # It is being made further up: this is the type inside itself.
            def later(value: Any, level: int) -> Any:
                made = self._named[name]
                assert made is not None
                return made(value, level)

            return later
        self._named[name] = None
        made = self.of(self._contract.defs[name])
        self._named[name] = made
        return made

    def _null(self, _type: Null) -> Encode:
        def encode(value: Any, _level: int) -> None:
            if value is not None:
                raise Misfit("type", "must be None", kind_of(value))

        return encode

    def _bool(self, _type: Bool) -> Encode:
        def encode(value: Any, _level: int) -> bool:
            if type(value) is not bool:
                value = _unboxed(value)
                if type(value) is not bool:
                    raise Misfit("type", "must be a bool", kind_of(value))
            return bool(value)

        return encode

    def _int(self, type_: Int) -> Encode:
        bounded = type_.minimum is not None or type_.maximum is not None

        def encode(value: Any, _level: int) -> int:
            if type(value) is not int:
                value = _integer(value)
            if not -_INT64 <= value < _INT64:
                raise Misfit("type", "must be an int of 64 bits", "int")
            if bounded:
                checks.check_int(type_, value)
            return int(value)

        return encode

    def _float(self, type_: Float) -> Encode:
        isfinite, simple = math.isfinite, type_ == Float()

        def encode(value: Any, _level: int) -> float:
            if type(value) is not float:
                value = _real(value)
            if not simple or not isfinite(value):
                checks.check_float(type_, value, "float")
            return float(value)

        return encode

    def _str(self, type_: Str) -> Encode:
        low, high = type_.min_length, type_.max_length

        def encode(value: Any, _level: int) -> str:
            if type(value) is not str:
                value = _text(value)
            checks.counted(len(value), low, high, unit="characters", rules="Length", kind="str")
            return str(value)

        return encode

    def _bin(self, type_: Bin) -> Encode:
        low, high = type_.min_length, type_.max_length

        def encode(value: Any, _level: int) -> Any:
            if not isinstance(value, bytes | bytearray | memoryview):
                raise Misfit("type", "must be bytes", kind_of(value))
            size = value.nbytes if isinstance(value, memoryview) else len(value)
            checks.counted(size, low, high, unit="bytes", rules="Length", kind="bin")
            return value if type(value) is bytes else bytes(value)

        return encode

    def _timestamp(self, _type: Timestamp) -> Encode:
        def encode(value: Any, _level: int) -> Any:
            if not isinstance(value, dt.datetime | WireTimestamp):
                raise Misfit("type", "must be a datetime", kind_of(value))
            if isinstance(value, dt.datetime) and value.utcoffset() is None:
                raise Misfit("type", "must have a time zone, as datetime.now(UTC) has", kind_of(value))
            try:
                return to_timestamp(value)
            except ValueError:
                raise Misfit("type", "must lie in the years 1 to 9999", "timestamp") from None

        return encode

    def _formatted(self, type_: Formatted) -> Encode:
        wanted = _FORMATTED[type_.format]

        def encode(value: Any, _level: int) -> str:
            if type(value) is not str:
                value = wanted(value)
            checks.check_format(type_, value)
            return str(value)

        return encode

    def _enum(self, type_: Enum) -> Encode:
        base = type_.base

        def encode(value: Any, _level: int) -> Any:
            if isinstance(value, enum.Enum):
                value = value.value
            if type(value) is not base:
                value = _text(value) if base is str else _integer(value)
            checks.check_enum(type_, value, kind_of(value))
            return value

        return encode

    def _const(self, type_: Const) -> Encode:
        def encode(value: Any, _level: int) -> str:
            if value != type_.value:
                raise Misfit("const", f"must be {type_.value}", kind_of(value))
            return type_.value

        return encode

    def _array(self, type_: Array) -> Encode:
        item = self.of(type_.items)
        low, high = type_.min_items, type_.max_items
        plain_floats = type_.items == Float()

        def encode(value: Any, level: int) -> list[Any]:
            found = _items(value)
            checks.counted(len(found), low, high, unit="elements", rules="Items", kind="array")
            self._enter(len(found), level, value)
            if plain_floats and set(map(type, found)) <= {float} and math.isfinite(sum(found)):
                return found
            made: list[Any] = []
            try:
                for each in found:
                    made.append(item(each, level + 1))  # noqa: PERF401 -- its length is in the path
            except Misfit as misfit:
                misfit.steps.append(f"[{len(made)}]")
                raise
            return made

        return encode

    def _tuple(self, type_: Tuple) -> Encode:
        items = [self.of(each) for each in type_.items]

        def encode(value: Any, level: int) -> list[Any]:
            found = _items(value)
            checks.counted(len(found), len(items), len(items), unit="elements", rules="Items", kind="array")
            self._enter(len(found), level, value)
            made: list[Any] = []
            try:
                for item, each in zip(items, found, strict=True):
                    made.append(item(each, level + 1))
            except Misfit as misfit:
                misfit.steps.append(f"[{len(made)}]")
                raise
            return made

        return encode

    def _map(self, type_: Map) -> Encode:
        item = self.of(type_.values)
        low, high = type_.min_properties, type_.max_properties

        def encode(value: Any, level: int) -> dict[str, Any]:
            if not isinstance(value, Mapping):
                raise Misfit("type", "must be a dict", kind_of(value))
            checks.counted(len(value), low, high, unit="keys", rules="Properties", kind="map")
            self._enter(2 * len(value), level, value)
            made: dict[str, Any] = {}
            name = ""
            # By their UTF-8 bytes, which sort as their code points do.
            for name in sorted(map(_key, value)):
                try:
                    made[name] = item(value[name], level + 1)
                except Misfit as misfit:
                    misfit.steps.append(step(name))
                    raise
            return made

        return encode

    def _ndarray(self, type_: NDArray) -> Encode:
        def encode(value: Any, level: int) -> dict[str, Any]:
            made = arrays.encode(type_, value)
            made["data"] = self.bulk.stand_in(made["data"])
            self._enter(6 + len(made["shape"]), level + 1, value)
            return made

        return encode

    def _object(self, type_: Object) -> Encode:
        properties = [(p.name, p.required, self.of(p.type)) for p in type_.properties]
        names = {p.name for p in type_.properties}

        def encode(value: Any, level: int) -> dict[str, Any]:
            find = _reader(value, names)
            made: dict[str, Any] = {}
            for name, required, part in properties:
                item = find(name)
                if item is ABSENT or (item is None and not required):
                    if required:
                        raise missing(name)
                    continue
                try:
                    made[name] = part(item, level + 1)
                except Misfit as misfit:
                    misfit.steps.append(step(name))
                    raise
            self._enter(2 * len(made), level, value)
            return made

        return encode

    def _union(self, type_: Union) -> Encode:
        variants = self._contract.variants(type_)
        encoders = {value: self._reference(name) for name, value in zip(type_.refs, variants, strict=True)}
        discriminator, names = type_.discriminator, ", ".join(encoders)

        def encode(value: Any, level: int) -> dict[str, Any]:
            tag = _reader(value, None)(discriminator)
            if isinstance(tag, enum.Enum):
                tag = tag.value
            encoder = encoders.get(tag) if isinstance(tag, str) else None
            if encoder is None:
                if tag is ABSENT:
                    raise missing(discriminator)
                misfit = Misfit("discriminator", f"must be one of {names}", kind_of(tag))
                misfit.steps.append(step(discriminator))
                raise misfit
            made: dict[str, Any] = encoder(value, level)
            return made

        return encode

    def _nullable(self, type_: Nullable) -> Encode:
        inner = self.of(type_.of)
        return lambda value, level: None if value is None else inner(value, level)


# ── what Python and numpy have for a kind of the wire ───────────────────────────────────────────────


def _unboxed(value: Any) -> Any:
    """The Python scalar in one of numpy's, also in an array of no dimension; anything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "dtype"):
        return value.item()
    return value


def _integer(value: Any) -> int:
    value = _unboxed(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Misfit("type", "must be an int", kind_of(value))
    return int(value)


def _real(value: Any) -> float:
    value = _unboxed(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit("type", "must be a float", kind_of(value))
    if isinstance(value, int) and abs(value) > MAX_SAFE_INT_IN_FLOAT:
        raise Misfit("type", "must be a float; this int is too large to be one", "int")
    return float(value)


def _text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if not isinstance(value, str):
        raise Misfit("type", "must be a str", kind_of(value))
    return str(value)


def _items(value: Any) -> list[Any]:
    """The elements of what is an array on the wire."""
    if type(value) is list:
        items: list[Any] = value
        return items
    if isinstance(value, list | tuple):
        return list(value)
    if (unfold := getattr(value, "tolist", None)) is not None and getattr(value, "ndim", 0) > 0:
        unfolded: list[Any] = unfold()
        return unfolded
    raise Misfit("type", "must be a list", kind_of(value))


def _key(key: Any) -> str:
    if type(key) is not str:
        raise Misfit("type", "has a key that is not a str", kind_of(key))
    return key


def _reader(value: Any, names: set[str] | None) -> Callable[[str], Any]:
    """What gives a property of an object by its name, or ABSENT: items of a mapping, else attributes.

    So a dataclass fits, a dict, and what libraries return: a named tuple, a result object. Keys of a mapping that are
    none of `names` are a mistake; other attributes of an object are not.
    """
    if isinstance(value, Mapping):
        if names is not None and not value.keys() <= names:
            unknown = min(str(key) for key in value if key not in names)
            misfit = Misfit("unknown", "is not known", "map")
            misfit.steps.append(step(unknown))
            raise misfit
        return lambda name: value.get(name, ABSENT)
    plain = isinstance(value, bool | int | float | str | bytes | list | type(None))
    if plain or (isinstance(value, tuple) and not hasattr(value, "_fields")):
        raise Misfit("type", "must be an object with these properties", kind_of(value))
    return lambda name: getattr(value, name, ABSENT)


def _decimal(value: Any) -> str:
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value.adjusted()) > MAX_DECIMAL:
        raise Misfit("type", "must be a finite Decimal", kind_of(value))
    return format(value, "f")


def _uuid(value: Any) -> str:
    if not isinstance(value, UUID):
        raise Misfit("type", "must be a UUID", kind_of(value))
    return str(value)


def _date(value: Any) -> str:
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise Misfit("type", "must be a date", kind_of(value))
    return value.isoformat()


_FORMATTED: Final[Mapping[str, Callable[[Any], str]]] = {"decimal": _decimal, "uuid": _uuid, "date": _date}

_MAKERS: Final[Mapping[type[Type], Callable[[Encoders, Any], Encode]]] = {
    Null: Encoders._null,  # noqa: SLF001 -- a part of the class, as all below
    Bool: Encoders._bool,  # noqa: SLF001
    Int: Encoders._int,  # noqa: SLF001
    Float: Encoders._float,  # noqa: SLF001
    Str: Encoders._str,  # noqa: SLF001
    Bin: Encoders._bin,  # noqa: SLF001
    Timestamp: Encoders._timestamp,  # noqa: SLF001
    Formatted: Encoders._formatted,  # noqa: SLF001
    Enum: Encoders._enum,  # noqa: SLF001
    Const: Encoders._const,  # noqa: SLF001
    Array: Encoders._array,  # noqa: SLF001
    Tuple: Encoders._tuple,  # noqa: SLF001
    Map: Encoders._map,  # noqa: SLF001
    NDArray: Encoders._ndarray,  # noqa: SLF001
    Object: Encoders._object,  # noqa: SLF001
    Union: Encoders._union,  # noqa: SLF001
    Nullable: Encoders._nullable,  # noqa: SLF001
}
