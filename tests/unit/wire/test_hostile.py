"""Hostile bodies and values cost little memory and little time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from penstock.wire.codec import decode, encode
from penstock.wire.failure import WireError
from penstock.wire.registry import HARD_MAX_BODY_BYTES, MAX_BODY_BYTES, MAX_NODES

MEBIBYTE = 1024 * 1024
REFUSED_WITHIN = 16 * MEBIBYTE
#: What MAX_NODES objects of Python may take together: 31 maps in one another, each with one key, are worst.
ACCEPTED_WITHIN = 24 * MEBIBYTE
#: CPU seconds, ten times what the slowest takes on a quiet machine.
SOON = 3.0


def header(first: int, count: int) -> bytes:
    return bytes([first]) + count.to_bytes(4)


def filled(head: bytes, unit: bytes, size: int = MAX_BODY_BYTES) -> bytes:
    """`head` and as many units as fit into `size` bytes."""
    return head + unit * ((size - len(head)) // len(unit))


FULL = MAX_BODY_BYTES
HOSTILE = {
    "array that claims 2^32-1": header(0xDD, 2**32 - 1),
    "map that claims 2^32-1": header(0xDF, 2**32 - 1),
    "bin that claims 2^32-1": header(0xC6, 2**32 - 1),
    "str that claims 2^32-1": header(0xDB, 2**32 - 1),
    "extension that claims 2^32-1": header(0xC9, 2**32 - 1) + b"\xff",
    "arrays in one another that claim all that remains": filled(b"", header(0xDD, FULL // 2))[: FULL // 2]
    + b"\xc0" * (FULL // 2),
    "arrays in one another that claim what the node limit allows": filled(b"", header(0xDD, MAX_NODES)),
    "maps in one another that claim all that remains": filled(b"", header(0xDF, FULL // 4) + b"\xa1a"),
    "arrays, a million deep": filled(b"", b"\x91"),
    "maps, a third of a million deep": filled(b"", b"\x81\xa1a"),
    "a million empty arrays": filled(header(0xDD, FULL - 5), b"\x90"),
    "a million empty maps": filled(header(0xDD, FULL - 5), b"\x80"),
    "a million empty strs": filled(header(0xDD, FULL - 5), b"\xa0"),
    "short strs, the dearest bytes": filled(header(0xDD, (FULL - 5) // 3), b"\xa2\xc4\x80"),
    "short strs in arrays of fifteen": filled(header(0xDD, (FULL - 5) // 46), b"\x9f" + b"\xa2\xc4\x80" * 15),
    "maps of one": filled(header(0xDD, (FULL - 5) // 4), b"\x81\xa1a\xc0"),
    "floats, then a lie": filled(header(0xDD, FULL // 9), b"\xcb" + bytes(8)),
    "c1 throughout": filled(b"", b"\xc1"),
}


def measured(call: Callable[[], Any]) -> tuple[int, float]:
    """Peak of memory in bytes and CPU seconds of a call that is refused, one after the other."""
    begun = time.process_time()
    with pytest.raises(WireError):
        call()
    seconds = time.process_time() - begun
    tracemalloc.start()
    with pytest.raises(WireError):
        call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak, seconds


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_body_is_refused_in_little_memory_and_time(body: bytes) -> None:
    peak, seconds = measured(lambda: decode(body))
    assert peak < REFUSED_WITHIN
    assert seconds < SOON


@pytest.mark.parametrize("unit", [b"\x91", b"\x90", b"\xa2\xc4\x80", b"\x81\xa1a\xc0"])
def test_the_bound_does_not_grow_with_the_largest_body_that_can_be_configured(unit: bytes) -> None:
    # given
    size = HARD_MAX_BODY_BYTES
    body = filled(header(0xDD, (size - 5) // len(unit)), unit, size)
    # when
    peak, seconds = measured(lambda: decode(body, max_bytes=size))
    # then
    assert peak < REFUSED_WITHIN
    assert seconds < SOON


LATE = {
    "the last str is not UTF-8": header(0xDD, MAX_NODES - 1) + b"\xa1a" * (MAX_NODES - 2) + b"\xa1\xff",
    "the last two keys are equal": b"\x92" + header(0xDD, 190_000) + b"\xa1a" * 190_000 + b"\x82\xa1a\xc0\xa1a\xc0",
    "equal keys throughout": header(0xDF, 99_000) + b"\xa1a\xc0" * 99_000,
}


@pytest.mark.parametrize("body", LATE.values(), ids=LATE.keys())
def test_what_only_decoding_can_refuse_stays_within_the_bound_as_well(body: bytes) -> None:
    peak, seconds = measured(lambda: decode(body))
    assert peak < REFUSED_WITHIN
    assert seconds < SOON


@pytest.mark.parametrize(("unit", "values"), [(b"\x81\xa1a" * 31 + b"\xc0", 63), (b"\xa2\xc4\x80", 1)])
def test_the_dearest_bodies_that_are_accepted_stay_within_their_bound(unit: bytes, values: int) -> None:
    # given
    count = (MAX_NODES - 1) // values
    body = header(0xDD, count) + unit * count
    # when
    tracemalloc.start()
    decoded = decode(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # then
    assert len(decoded) == count
    assert peak < ACCEPTED_WITHIN


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append({"again": [value]})
    return value


def wide_cycle() -> list[Any]:
    value: list[Any] = []
    value.extend([value] * 1000)
    return value


def shared_tree() -> list[Any]:
    """2^28 leaves in 29 lists."""
    value: list[Any] = [0.5] * 100
    for _ in range(28):
        value = [value, value]
    return value


def shared_text() -> list[Any]:
    """200 GB, were it written."""
    return ["x" * MEBIBYTE, 1] * 90_000


def shared_keys() -> list[Any]:
    return [{"k" * 500_000: 1}] * 60_000


@pytest.mark.parametrize("make", [cycle, wide_cycle, shared_tree, shared_text, shared_keys])
def test_a_hostile_value_is_refused_in_little_memory_and_time(make: Callable[[], Any]) -> None:
    value = make()
    peak, seconds = measured(lambda: encode(value))
    assert peak < REFUSED_WITHIN
    assert seconds < SOON
