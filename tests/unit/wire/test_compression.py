"""Compressed bodies: told by their first bytes, inflated no further than the limit."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest

from penstock.wire.compression import compressed, inflated, is_compressed
from penstock.wire.failure import WireError
from penstock.wire.registry import COMPRESS_FROM_BYTES

LONG = b"long " * 20_000


def code(body: bytes, max_bytes: int = 1_000_000) -> str:
    with pytest.raises(WireError) as caught:
        inflated(body, max_bytes=max_bytes)
    return caught.value.code


def test_a_long_body_comes_back_as_it_was() -> None:
    short = compressed(LONG)
    assert is_compressed(short)
    assert len(short) < len(LONG) / 50
    assert inflated(short, max_bytes=len(LONG)) == LONG
    assert gzip.decompress(short) == LONG


def test_the_same_body_is_compressed_to_the_same_bytes() -> None:
    assert compressed(LONG) == compressed(bytes(bytearray(LONG)))


def test_a_short_body_is_left_alone() -> None:
    body = bytes(COMPRESS_FROM_BYTES - 1)
    assert compressed(body) is body
    assert is_compressed(compressed(body + b"\0"))


def test_a_body_that_does_not_become_shorter_is_left_alone() -> None:
    noise = random.Random(1).randbytes(2 * COMPRESS_FROM_BYTES)
    assert compressed(noise) is noise


@pytest.mark.parametrize("body", [b"", b"\x1f", b"\x80", b"\x81\xa1v\x01"])
def test_what_is_not_compressed_is_left_alone(body: bytes) -> None:
    assert inflated(body, max_bytes=10) is body


def test_inflation_stops_at_the_limit() -> None:
    assert inflated(compressed(LONG), max_bytes=len(LONG)) == LONG
    assert code(compressed(LONG), len(LONG) - 1) == "TOO_LARGE"


def test_a_bomb_is_refused_before_it_takes_memory() -> None:
    bomb = zlib.compress(bytes(500_000_000), 9, 31)
    tracemalloc.start()
    try:
        assert code(bomb, 1024 * 1024) == "TOO_LARGE"
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("end", [2, 10, 20, -8, -4, -1])
def test_a_body_that_is_cut_off_is_refused(end: int) -> None:
    assert code(compressed(LONG)[:end]) == "BAD_ENVELOPE"


def test_bytes_after_the_end_are_refused_a_second_member_too() -> None:
    assert code(compressed(LONG) + b"\0") == "BAD_ENVELOPE"
    assert code(compressed(LONG) * 2) == "BAD_ENVELOPE"


@pytest.mark.parametrize("place", [3, 12, -6, -2])
def test_a_damaged_body_is_refused(place: int) -> None:
    broken = bytearray(compressed(LONG))
    broken[place] ^= 0xFF
    assert code(bytes(broken)) == "BAD_ENVELOPE"
