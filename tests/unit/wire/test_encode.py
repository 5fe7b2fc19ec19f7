"""What `encode` makes of values, and what it refuses."""

from __future__ import annotations

import enum
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from msgpack import Timestamp

from penstock.wire.codec import decode, encode
from penstock.wire.failure import WireError
from penstock.wire.registry import MAX_BODY_BYTES, MAX_NODES, ErrorCode


class Colour(enum.Enum):
    RED = "red"
    RGB = (255, 0, 0)


class Level(enum.IntEnum):
    HIGH = 3


class Mode(enum.StrEnum):
    FAST = "fast"


class Pair(NamedTuple):
    left: int
    right: int


@dataclass(frozen=True)
class Point:
    y: float
    x: float
    label: str | None = None


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Unfolding:
    """Stands for numpy's arrays and scalars: it has `tolist()`."""

    def __init__(self, inside: Any, size: int = 1) -> None:
        self.inside = inside
        self.size = size

    def tolist(self) -> Any:
        return self.inside


class Single:
    """Stands for what has `item()` only."""

    def item(self) -> float:
        return 2.5


class Times:
    """Stands for an array of datetime64."""

    class dtype:  # noqa: N801 -- as numpy has it
        kind = "M"

    def tolist(self) -> int:
        return 1_700_000_000


def refusal(value: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        encode(value)
    return caught.value


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ((1, 2), [1, 2]),
        (Pair(1, 2), [1, 2]),
        (Colour.RED, "red"),
        (Colour.RGB, [255, 0, 0]),
        (Level.HIGH, 3),
        (Mode.FAST, "fast"),
        (Shouting("a"), "a"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        (OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (MappingProxyType({"b": 1, "a": 2}), {"a": 2, "b": 1}),
        ({Mode.FAST: 1, Colour.RED: 2}, {"fast": 1, "red": 2}),
        (Unfolding(7), 7),
        (Unfolding([[1.5], [2.5]]), [[1.5], [2.5]]),
        (Unfolding([Unfolding(Colour.RED)]), ["red"]),
        (Single(), 2.5),
        ([True, 1, 1.0, None, "", b""], [True, 1, 1.0, None, "", b""]),
    ],
)
def test_what_library_calls_return_becomes_a_value_of_the_profile(value: Any, same: Any) -> None:
    assert encode(value) == encode(same)
    assert encode({"a": [value]}) == encode({"a": [same]})


def test_a_dataclass_is_a_map_in_the_order_of_its_fields_and_keeps_nil() -> None:
    assert encode(Point(1, 2)).hex() == "83a17901a17802a56c6162656cc0"


def test_a_map_is_sorted_by_the_bytes_of_its_keys_at_every_level() -> None:
    assert encode({"é": 1, "z": {"b": 1, "a": 2}, "": 3, "ab": 4}).hex() == "84a003a2616204a17a82a16102a16201a2c3a901"


def test_a_bool_is_no_int_and_a_whole_float_no_int_either() -> None:
    assert encode([True, 1, 1.0]).hex() == "93c301cb3ff0000000000000"


@pytest.mark.parametrize("nan", [float("nan"), -float("nan")])
def test_every_nan_is_the_one_of_the_profile(nan: float) -> None:
    assert encode(nan).hex() == "cb7ff8000000000000"
    assert encode([1.5, nan]).hex() == "92cb3ff8000000000000cb7ff8000000000000"


def test_infinities_that_cancel_each_other_are_kept() -> None:
    assert decode(encode([float("inf"), float("-inf"), 1.5])) == [float("inf"), float("-inf"), 1.5]


@pytest.mark.parametrize(
    ("moment", "stamp"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), Timestamp(0)),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), Timestamp(0)),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), Timestamp(-1, 999_999_000)),
        (datetime(1, 1, 1, tzinfo=UTC), Timestamp(-62_135_596_800)),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), Timestamp(253_402_300_799, 999_999_000)),
    ],
)
def test_a_datetime_with_a_time_zone_is_the_timestamp_of_its_moment(moment: datetime, stamp: Timestamp) -> None:
    assert encode(moment) == encode(stamp)


def test_a_datetime_with_nanoseconds_like_that_of_pandas_keeps_them() -> None:
    # given
    class Fine(datetime):
        nanosecond = 789

    # when
    body = encode(Fine(2024, 1, 1, microsecond=123_456, tzinfo=UTC))
    # then
    assert decode(body) == Timestamp(1_704_067_200, 123_456_789)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({1}, "the value: a set cannot travel; make it a list"),
        ({"tags": frozenset()}, "tags: a frozenset cannot travel; make it a list"),
        ([0, {"price": Decimal(1)}], "[1].price: a Decimal"),
        (Decimal(1), "the value: a Decimal cannot travel; send it as a str"),
        (uuid.UUID(int=1), "the value: a UUID cannot travel; send it as a str"),
        (1j, "the value: a complex cannot travel"),
        (date(2024, 1, 1), "the value: a date cannot travel"),
        (timedelta(1), "the value: a timedelta cannot travel; send a number of milliseconds"),
        (range(3), "the value: a range cannot travel; make it a list"),
        ((_ for _ in "ab"), "the value: a generator cannot travel; make it a list"),
        (object(), "the value: an object cannot travel"),
        (ValueError("x"), "the value: a ValueError cannot travel"),
        (dict, "the value: a type cannot travel"),
        (Unfolding, "the value: a type cannot travel"),
        ({"rows": [1, 2, 3, {"when": datetime(2024, 1, 1)}]}, "rows[3].when: a datetime without a time zone"),  # noqa: DTZ001
        (
            datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
            "the value: the timestamp lies outside",
        ),
        (Timestamp(253_402_300_800), "the value: the timestamp lies outside"),
        (Timestamp(-62_135_596_801), "the value: the timestamp lies outside"),
        (2**63, "the value: the integer lies outside -2^63 .. 2^63-1; send it as a decimal str"),
        (-(2**63) - 1, "the value: the integer lies outside"),
        ([1, 2, 10**30], "[2]: the integer lies outside"),
        ({1: 2}, "the value: one of its keys is an int; keys must be str"),
        ({"a": {b"k": 1}}, "a: one of its keys is a bytes; keys must be str"),
        ({None: 1}, "the value: one of its keys is a NoneType; keys must be str"),
        ({Colour.RGB: 1}, "the value: one of its keys is a tuple; keys must be str"),
        ({Colour.RED: 1, "red": 2}, "the value: two of its keys are equal as str"),
        ({"a b": {"c": {1}}}, "['a b'].c: a set"),
        (Point(1, {2}), "x: a set cannot travel"),  # type: ignore[arg-type]
        (Unfolding([1, {2}]), "[1]: a set"),
        (Times(), "the value: numpy's times know no time zone"),
        ("\ud800", "the value: the str holds a lone surrogate"),
        ({"a": ["x", "\udfff"]}, "a[1]: the str holds a lone surrogate"),
        ({"\ud800": 1}, "['\\ud800']: the str holds a lone surrogate"),
    ],
)
def test_what_the_profile_cannot_carry_is_refused_by_path_and_kind(value: Any, sentence: str) -> None:
    error = refusal(value)
    assert error.code is ErrorCode.BAD_ENVELOPE
    assert str(error).startswith(sentence)


def test_an_exception_of_the_value_itself_is_a_refusal_with_its_cause() -> None:
    # given
    class Broken:
        def tolist(self) -> Any:
            raise RuntimeError

    # when
    error = refusal({"a": [Broken()]})
    # then
    assert str(error) == "a[0]: its Broken raised RuntimeError while it was read"
    assert isinstance(error.__cause__, RuntimeError)


def test_values_that_unfold_to_each_other_for_ever_are_refused() -> None:
    # given
    one, other = Unfolding(None), Single()
    one.inside = other
    other.item = lambda: one  # type: ignore[method-assign, assignment, return-value]
    # then
    assert "RecursionError" in str(refusal(one))


def test_what_unfolds_to_its_own_kind_is_refused() -> None:
    assert str(refusal(Unfolding(Unfolding(1)))) == "the value: a Unfolding cannot travel"


def test_32_levels_may_nest_and_33_may_not() -> None:
    # given
    value: Any = 1
    for _ in range(32):
        value = [value]
    # then
    assert encode(value).hex() == "91" * 32 + "01"
    assert "nests deeper than 32 levels" in str(refusal([value]))


@pytest.mark.parametrize("make", [lambda it: it.append(it), lambda it: it.append({"k": (it,)})])
def test_a_value_that_holds_itself_is_refused_with_a_path_of_readable_length(make: Any) -> None:
    # given
    cycle: list[Any] = []
    make(cycle)
    # when
    error = refusal({"a": cycle})
    # then
    assert str(error).startswith("a[0]")
    assert "does it hold itself?" in str(error)
    assert len(str(error)) < 200


def test_200_000_values_may_travel_and_one_more_may_not() -> None:
    encode([None] * (MAX_NODES - 1))
    for value in ([None] * MAX_NODES, [[0] * 999] * 201, {str(n): n for n in range(MAX_NODES // 2)}):
        assert f"beyond {MAX_NODES} values" in str(refusal(value))


def test_an_array_that_is_too_large_is_not_even_unfolded() -> None:
    # given
    class Huge:
        size = MAX_NODES + 1

        def tolist(self) -> Any:
            pytest.fail("unfolded")

    # then
    assert f"beyond {MAX_NODES} values" in str(refusal(Huge()))


def test_the_size_limit_is_exact() -> None:
    # given
    content = bytes(MAX_BODY_BYTES - 5)
    # then
    assert len(encode(content)) == MAX_BODY_BYTES
    assert refusal(content + b"x").code is ErrorCode.TOO_LARGE
    assert encode([1, 2], max_bytes=3).hex() == "920102"
    with pytest.raises(WireError, match="4 bytes long; the limit is 3"):
        encode([1, 2, 3], max_bytes=3)


def test_numbers_of_numpy_become_plain_numbers() -> None:
    # given
    numpy = pytest.importorskip("numpy")
    value = {
        "norm": numpy.linalg.norm(numpy.array([3, 4], dtype=numpy.float32)),
        "rows": numpy.arange(6).reshape(2, 3),
        "yes": numpy.bool_(True),
        "zero": numpy.array(0),
    }
    # when
    decoded = decode(encode(value))
    # then
    assert decoded == {"norm": 5.0, "rows": [[0, 1, 2], [3, 4, 5]], "yes": True, "zero": 0}
    assert type(decoded["yes"]) is bool
    assert type(decoded["norm"]) is float
    assert "numpy's times" in str(refusal(numpy.array(["2024-01-01"], dtype="M8[ns]")))
