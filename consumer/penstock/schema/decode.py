"""Wire values become real Python values, checked on the way: one closure per type, made once."""

from __future__ import annotations

import datetime as dt
import math
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgpack import Timestamp as WireTimestamp

from penstock.schema import annotations as hints
from penstock.schema import arrays, checks
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
from penstock.wire.registry import MAX_SAFE_INT_IN_FLOAT

#: Gives the Python value of a wire value, or raises Misfit.
Decode: TypeAlias = Callable[[Any], Any]

_FROM_STR: Final[Mapping[Any, Callable[[str], Any]]] = {
    Decimal: Decimal,
    UUID: UUID,
    dt.date: dt.date.fromisoformat,
}
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Decoders:
    """Makes decoders for the types of one contract.

    Args:
        contract: The contract.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        #: By name and annotation, so that a type that holds itself finds itself.
        self._named: dict[tuple[str, int], Decode | None] = {}
        self._kept: list[Any] = []

    def of(self, type_: Type, hint: Any = None) -> Decode:
        """The decoder of a type.

        Args:
            type_: A type of the contract.
            hint: The annotation that says what Python has for it; None: the plain kinds, as dict for an object.
        """
        base = hints.stripped(hint)[0] if hint is not None else None
        if not isinstance(type_, Nullable) and (inner := hints.optional(base)) is not None:
            # An optional property is never nil on the wire: left out, it is None.
            base = hints.stripped(inner)[0]
        if isinstance(type_, Ref):
            return self._reference(type_, base)
        return _MAKERS[type(type_)](self, type_, base)

    def object(self, type_: Object, parts: Mapping[str, Any], make: Callable[[dict[str, Any]], Any]) -> Decode:
        """The decoder of an object, given what its properties' annotations are and what makes it of their values."""
        required = [p.name for p in type_.properties if p.required]
        decoders = {p.name: self.of(p.type, parts.get(p.name)) for p in type_.properties}
        defaults = {p.name: decoders[p.name](p.default) for p in type_.properties if p.default is not ABSENT}
        find = decoders.get

        def decode(value: Any) -> Any:
            if type(value) is not dict:
                raise Misfit("type", "must be a map", kind_of(value))
            made = defaults.copy()
            name = ""
            try:
                for name, item in value.items():
                    made[name] = (find(name) or _unknown)(item)
            except Misfit as misfit:
                misfit.steps.append(step(name))
                raise
            for name in required:
                if name not in made:
                    raise missing(name)
            return make(made)

        return decode

    # ── one maker per type ──────────────────────────────────────────────────────────────────────

    def _reference(self, type_: Ref, hint: Any) -> Decode:
        key = (type_.name, id(hint))
        if (known := self._named.get(key)) is not None:
            return known
        if key in self._named:
            # It is being made further up: this is the type inside itself.
            def later(value: Any) -> Any:
                made = self._named[key]
                assert made is not None
                return made(value)

            return later
        self._kept.append(hint)  # so that nothing else gets its id
        self._named[key] = None
        made = self.of(self._contract.defs[type_.name], hint)
        self._named[key] = made
        return made

    def _bool(self, _type: Bool, _hint: Any) -> Decode:
        def decode(value: Any) -> bool:
            if type(value) is not bool:
                raise Misfit("type", "must be a bool", kind_of(value))
            return value

        return decode

    def _int(self, type_: Int, _hint: Any) -> Decode:
        bounded = type_.minimum is not None or type_.maximum is not None

        def decode(value: Any) -> int:
            if type(value) is not int:
                raise Misfit("type", "must be an int", kind_of(value))
            if bounded:
                checks.check_int(type_, value)
            return value

        return decode

    def _float(self, type_: Float, _hint: Any) -> Decode:
        isfinite, simple = math.isfinite, type_ == Float()

        def decode(value: Any) -> float:
            if type(value) is not float:
                if type(value) is not int:
                    raise Misfit("type", "must be a float", kind_of(value))
                if abs(value) > MAX_SAFE_INT_IN_FLOAT:
                    raise Misfit("type", "must be a float; this int is too large to be one", "int")
                checks.check_float(type_, value, "float")  # as which it has been accepted
                return float(value)
            if not simple or not isfinite(value):
                checks.check_float(type_, value, "float")
            return value

        return decode

    def _str(self, type_: Str, _hint: Any) -> Decode:
        low, high = type_.min_length, type_.max_length

        def decode(value: Any) -> str:
            if type(value) is not str:
                raise Misfit("type", "must be a str", kind_of(value))
            checks.counted(len(value), low, high, unit="characters", rules="Length", kind="str")
            return value

        return decode

    def _bin(self, type_: Bin, _hint: Any) -> Decode:
        low, high = type_.min_length, type_.max_length

        def decode(value: Any) -> bytes:
            if type(value) is not bytes:
                raise Misfit("type", "must be bytes", kind_of(value))
            checks.counted(len(value), low, high, unit="bytes", rules="Length", kind="bin")
            return value

        return decode

    def _timestamp(self, _type: Timestamp, _hint: Any) -> Decode:
        def decode(value: Any) -> dt.datetime:
            if type(value) is WireTimestamp:
                # Finer than a datetime can hold: what is finer is cut off.
                return _EPOCH + dt.timedelta(seconds=value.seconds, microseconds=value.nanoseconds // 1000)
            if not isinstance(value, dt.datetime):
                raise Misfit("type", "must be a timestamp", kind_of(value))
            return value

        return decode

    def _formatted(self, type_: Formatted, hint: Any) -> Decode:
        make = _FROM_STR.get(hint, str)

        def decode(value: Any) -> Any:
            if type(value) is not str:
                raise Misfit("type", "must be a str", kind_of(value))
            checks.check_format(type_, value)
            return make(value)

        return decode

    def _enum(self, type_: Enum, hint: Any) -> Decode:
        base = type_.base
        members = (
            {value: hint(value) for value in type_.values} if hints.is_enum(hint) else {v: v for v in type_.values}
        )

        def decode(value: Any) -> Any:
            if type(value) is not base:
                raise Misfit("type", f"must be {'a str' if base is str else 'an int'}", kind_of(value))
            if value not in members:
                checks.check_enum(type_, value, kind_of(value))
            return members[value]

        return decode

    def _const(self, type_: Const, _hint: Any) -> Decode:
        def decode(value: Any) -> str:
            if value != type_.value or type(value) is not str:
                raise Misfit("const", f"must be {type_.value}", kind_of(value))
            return value

        return decode

    def _array(self, type_: Array, hint: Any) -> Decode:
        arguments = typing.get_args(hint)
        item, make = self.of(type_.items, arguments[0] if arguments else None), _sequence(hint)
        low, high = type_.min_items, type_.max_items
        plain_floats = type_.items == Float()

        def decode(value: Any) -> Any:
            if type(value) is not list:
                raise Misfit("type", "must be an array", kind_of(value))
            checks.counted(len(value), low, high, unit="elements", rules="Items", kind="array")
            if plain_floats and _all_finite(value):
                return value if make is list else make(value)
            made: list[Any] = []
            try:
                for each in value:
                    made.append(item(each))  # noqa: PERF401 -- its length is in the path
            except Misfit as misfit:
                misfit.steps.append(f"[{len(made)}]")
                raise
            return made if make is list else make(made)

        return decode

    def _tuple(self, type_: Tuple, hint: Any) -> Decode:
        arguments = typing.get_args(hint) or (None,) * len(type_.items)
        items = [self.of(each, argument) for each, argument in zip(type_.items, arguments, strict=True)]

        def decode(value: Any) -> tuple[Any, ...]:
            if type(value) is not list:
                raise Misfit("type", "must be an array", kind_of(value))
            checks.counted(len(value), len(items), len(items), unit="elements", rules="Items", kind="array")
            made: list[Any] = []
            try:
                for item, each in zip(items, value, strict=True):
                    made.append(item(each))
            except Misfit as misfit:
                misfit.steps.append(f"[{len(made)}]")
                raise
            return tuple(made)

        return decode

    def _map(self, type_: Map, hint: Any) -> Decode:
        arguments = typing.get_args(hint)
        item = self.of(type_.values, arguments[1] if arguments else None)
        low, high = type_.min_properties, type_.max_properties

        def decode(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise Misfit("type", "must be a map", kind_of(value))
            checks.counted(len(value), low, high, unit="keys", rules="Properties", kind="map")
            made: dict[str, Any] = {}
            name = ""
            try:
                for name, each in value.items():
                    made[name] = item(each)
            except Misfit as misfit:
                misfit.steps.append(step(name))
                raise
            return made

        return decode

    def _ndarray(self, type_: NDArray, _hint: Any) -> Decode:
        return lambda value: arrays.decode(type_, value)

    def _object_of(self, type_: Object, hint: Any) -> Decode:
        if hint is None or not (hints.is_dataclass(hint) or hints.is_typed_dict(hint)):
            return self.object(type_, {}, lambda made: made)
        _, parts = hints.fields(hint)
        annotations = {part.name: part.annotation for part in parts}
        if hints.is_typed_dict(hint):
            return self.object(type_, annotations, lambda made: made)
        return self.object(type_, annotations, lambda made: hint(**made))

    def _union(self, type_: Union, hint: Any) -> Decode:
        # The classes have the names of their types.
        kinds = {hints.stripped(member)[0] for member in hints.union_members(hint)} if hint is not None else set()
        by_name = {kind.__name__: kind for kind in kinds if isinstance(kind, type)}
        variants = self._contract.variants(type_)
        decoders = {
            value: self.of(Ref(name=name), by_name.get(name)) for name, value in zip(type_.refs, variants, strict=True)
        }
        discriminator, names = type_.discriminator, ", ".join(decoders)

        def decode(value: Any) -> Any:
            if type(value) is not dict:
                raise Misfit("type", "must be a map", kind_of(value))
            tag = value.get(discriminator, ABSENT)
            decoder = decoders.get(tag) if type(tag) is str else None
            if decoder is None:
                if tag is ABSENT:
                    raise missing(discriminator)
                misfit = Misfit("discriminator", f"must be one of {names}", kind_of(tag))
                misfit.steps.append(step(discriminator))
                raise misfit
            return decoder(value)

        return decode

    def _nullable(self, type_: Nullable, hint: Any) -> Decode:
        inner = self.of(type_.of, hints.optional(hint) if hint is not None else None)
        return lambda value: None if value is None else inner(value)

    def _null(self, _type: Null, _hint: Any) -> Decode:
        def decode(value: Any) -> None:
            if value is not None:
                raise Misfit("type", "must be nil", kind_of(value))

        return decode


def missing(name: str) -> Misfit:
    """A required property is not there."""
    misfit = Misfit("missing", "is missing", "absent")
    misfit.steps.append(step(name))
    return misfit


def _unknown(value: Any) -> Any:
    raise Misfit("unknown", "is not known", kind_of(value))


def _sequence(hint: Any) -> Callable[[list[Any]], Any]:
    return tuple if typing.get_origin(hint) is tuple else list


def _all_finite(values: list[Any]) -> bool:
    """Whether all are finite floats; may say no where it is hard to tell."""
    return set(map(type, values)) <= {float} and math.isfinite(sum(values))


_MAKERS: Final[Mapping[type[Type], Callable[[Decoders, Any, Any], Decode]]] = {
    Null: Decoders._null,  # noqa: SLF001 -- a part of the class, as all below
    Bool: Decoders._bool,  # noqa: SLF001
    Int: Decoders._int,  # noqa: SLF001
    Float: Decoders._float,  # noqa: SLF001
    Str: Decoders._str,  # noqa: SLF001
    Bin: Decoders._bin,  # noqa: SLF001
    Timestamp: Decoders._timestamp,  # noqa: SLF001
    Formatted: Decoders._formatted,  # noqa: SLF001
    Enum: Decoders._enum,  # noqa: SLF001
    Const: Decoders._const,  # noqa: SLF001
    Array: Decoders._array,  # noqa: SLF001
    Tuple: Decoders._tuple,  # noqa: SLF001
    Map: Decoders._map,  # noqa: SLF001
    NDArray: Decoders._ndarray,  # noqa: SLF001
    Object: Decoders._object_of,  # noqa: SLF001
    Union: Decoders._union,  # noqa: SLF001
    Nullable: Decoders._nullable,  # noqa: SLF001
}
