"""Makes plain values of what library calls return: the kinds of the profile, maps sorted, within limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from msgpack import Timestamp

from penstock.wire.failure import WireError
from penstock.wire.registry import MAX_DEPTH, MAX_NODES, ErrorCode
from penstock.wire.scan import MAX_SECONDS, MIN_SECONDS

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**63 - 1
_NAN: Final = float("nan")  # 7ff8000000000000, the one NaN of the profile
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: Kinds of which a whole array is checked at once.
_SIMPLE: Final = frozenset((float, int, str))
#: Longest path that a message spells out.
_STEPS: Final = 12

#: Subclasses and relatives of Python's own kinds, and how to get the kind itself.
_SUBCLASSES: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    ((bytes, bytearray, memoryview), bytes),
    (Mapping, dict),
    ((list, tuple), list),
)

#: What to do instead, by the name of the type that cannot travel.
_REMEDIES: Final = {
    "Decimal": "send it as a str",
    "UUID": "send it as a str",
    "complex": "send its two parts as floats",
    "date": "send it as a str, or as a datetime with a time zone",
    "frozenset": "make it a list",
    "generator": "make it a list",
    "range": "make it a list",
    "set": "make it a list",
    "timedelta": "send a number of milliseconds",
}


def plain(value: Any, *, max_bytes: int, name: str = "", level: int = 1, nodes: int = 1) -> Any:
    """`value` made of None, bool, int, float, str, bytes, list, tuple, dict and msgpack.Timestamp only.

    Args:
        value: What to convert; `codec.encode` says how.
        max_bytes: Refuse when the str and bin alone are longer than this.
        name: What messages call the value; its parts are `name.key` and `name[0]`.
        level: Level of nesting of the value itself, from 1.
        nodes: Values counted so far, this one included.

    Raises:
        WireError: `BAD_ENVELOPE` or `TOO_LARGE`, naming the part and the remedy.
    """
    try:
        return _Converter(max_bytes, nodes).value(value, level)
    except _UnfitError as unfit:
        raise WireError(unfit.code, f"{_where(name, unfit.path[::-1])}: {unfit}") from unfit.__cause__


def _where(name: str, path: list[str]) -> str:
    steps = [*path[:_STEPS], "..."] if len(path) > _STEPS else path
    return (name + "".join(steps)).lstrip(".") or "the value"


class _UnfitError(Exception):
    """A part that cannot travel; each container that it leaves adds its step to the path."""

    def __init__(self, what: str, code: ErrorCode = ErrorCode.BAD_ENVELOPE) -> None:
        super().__init__(what)
        self.code = code
        self.path: list[str] = []


class _Converter:
    """One conversion: recursion no deeper than the profile, and budgets that stop cycles and shared trees."""

    __slots__ = ("_max_bytes", "_nodes", "_text")

    def __init__(self, max_bytes: int, nodes: int) -> None:
        self._max_bytes = max_bytes
        self._nodes = nodes
        self._text = 0

    def value(self, value: Any, level: int) -> Any:
        kind = type(value)
        if kind is float:
            return value if value == value else _NAN  # noqa: PLR0124 -- NaN alone differs from itself
        if kind is dict:
            return self._map(value, level)
        if kind is list or kind is tuple:
            return self._array(value, level)
        if kind is str or kind is bytes:
            self._spend(len(value))
        elif kind is int:
            if not _MIN_INT <= value <= _MAX_INT:
                raise _UnfitError("the integer lies outside -2^63 .. 2^63-1; send it as a decimal str")
        elif value is not None and kind is not bool:
            return self._foreign(value, level)
        return value

    def _array(self, items: list[Any] | tuple[Any, ...], level: int) -> Any:
        self._enter(len(items), level)
        if self._fits_as_it_is(items):
            return items
        out: list[Any] = []
        try:
            for item in items:
                out.append(self.value(item, level + 1))  # noqa: PERF401 -- its length is in the path
        except _UnfitError as unfit:
            unfit.path.append(f"[{len(out)}]")
            raise
        return out

    def _fits_as_it_is(self, items: list[Any] | tuple[Any, ...]) -> bool:
        """Whether all items are of one simple kind and need no change; fast, for numeric data."""
        kind = type(items[0]) if items else float
        if kind not in _SIMPLE or len(set(map(type, items))) > 1:
            return False
        if kind is float:
            total = sum(items)
            return bool(total == total)  # noqa: PLR0124 -- one NaN makes the sum NaN
        if kind is int:
            return bool(min(items) >= _MIN_INT and max(items) <= _MAX_INT)
        self._spend(sum(map(len, items)))
        return True

    def _map(self, items: dict[Any, Any], level: int) -> dict[str, Any]:
        try:
            self._spend(len("".join(items)))  # all keys are str if this succeeds
        except TypeError:
            items = _renamed(items)
        return self._fields(sorted(items), items, level)

    def _fields(self, names: list[str], items: dict[str, Any], level: int) -> dict[str, Any]:
        """The map in the order of `names`."""
        self._enter(2 * len(names), level)
        fields: dict[str, Any] = {}
        name = ""
        try:
            for name in names:
                fields[name] = self.value(items[name], level + 1)
        except _UnfitError as unfit:
            unfit.path.append(f".{name}" if name.isidentifier() else f"[{name[:40]!a}]")
            raise
        return fields

    def _enter(self, count: int, level: int) -> None:
        if level > MAX_DEPTH:
            raise _UnfitError(f"it nests deeper than {MAX_DEPTH} levels; does it hold itself?")
        self._nodes += count
        if self._nodes > MAX_NODES:
            raise _UnfitError(f"here the body grows beyond {MAX_NODES} values; send numbers as bytes instead")

    def _spend(self, size: int) -> None:
        self._text += size
        if self._text > self._max_bytes:
            raise _UnfitError(f"here the body grows beyond {self._max_bytes} bytes", ErrorCode.TOO_LARGE)

    def _foreign(self, value: Any, level: int) -> Any:
        """Any other type, by what it is or can do. Its own code runs here and may raise anything."""
        try:
            if _is_dataclass(value):
                names = [field.name for field in dataclasses.fields(value)]
                self._spend(len("".join(names)))
                return self._fields(names, {name: getattr(value, name) for name in names}, level)
            return self._native(value, level)
        except _UnfitError:
            raise
        except Exception as error:
            text = f"its {type(value).__name__} raised {type(error).__name__} while it was read"
            raise _UnfitError(text) from error

    def _native(self, value: Any, level: int) -> Any:
        if isinstance(value, datetime | Timestamp):
            if isinstance(value, datetime) and value.utcoffset() is None:
                raise _UnfitError("a datetime without a time zone cannot travel; make it with datetime.now(UTC)")
            try:
                return to_timestamp(value)
            except ValueError as error:
                raise _UnfitError(str(error)) from None
        if (size := getattr(value, "size", 0)) and isinstance(size, int):
            self._enter(size - 1, 0)  # an array too large is not even unfolded
            self._nodes -= size - 1
        native = _as_native(value)
        if type(native) is type(value):
            raise _UnfitError(_refusal(value))
        return self.value(native, level)


def _is_dataclass(value: Any) -> bool:
    return hasattr(type(value), "__dataclass_fields__")


def _as_native(value: Any) -> Any:
    """`value` as one of Python's own kinds, or itself when there is no such thing."""
    if isinstance(value, Enum):
        return value.value
    for kinds, make in _SUBCLASSES:
        if isinstance(value, kinds):
            return make(value)
    if isinstance(value, type):
        return value
    if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        # they unfold to datetime or int, as their unit will have it
        raise _UnfitError("numpy's times know no time zone; send Unix milliseconds as int64")
    unfold = getattr(value, "tolist", None) or getattr(value, "item", None)
    return unfold() if callable(unfold) else value


def to_timestamp(moment: datetime | Timestamp) -> Timestamp:
    """A moment as the wire has it; a datetime has a time zone.

    Raises:
        ValueError: It lies outside the years 1 to 9999.
    """
    if isinstance(moment, datetime):
        since = moment - _EPOCH
        # pandas.Timestamp is a datetime with nanoseconds
        nanoseconds = since.microseconds * 1000 + getattr(moment, "nanosecond", 0)
        moment = Timestamp(since.days * 86_400 + since.seconds, nanoseconds)
    if not MIN_SECONDS <= moment.seconds <= MAX_SECONDS:
        raise ValueError("the timestamp lies outside the years 1 to 9999")
    return moment


def _renamed(items: Mapping[Any, Any]) -> dict[str, Any]:
    """The map with keys that are enum members replaced by their values."""
    renamed: dict[str, Any] = {}
    for key, value in items.items():
        name = key.value if isinstance(key, Enum) else key
        if not isinstance(name, str):
            raise _UnfitError(f"one of its keys is {_a(name)}; keys must be str")
        renamed[name] = value
    if len(renamed) != len(items):
        raise _UnfitError("two of its keys are equal as str")
    return renamed


def _refusal(value: Any) -> str:
    remedy = _REMEDIES.get(type(value).__name__)
    return f"{_a(value)} cannot travel" + (f"; {remedy}" if remedy else "")


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiouAEIO' else 'a'} {name}"
