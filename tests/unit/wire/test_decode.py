"""What `decode` gives back, and that any bytes at all give a value or a refusal."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from msgpack import Timestamp

from penstock.wire.codec import decode, encode
from penstock.wire.failure import WireError
from penstock.wire.registry import ErrorCode

SEED = 20_260_101


def test_bytes_of_every_kind_are_read() -> None:
    # given
    body = encode({"a": [1, b"x"]})
    # then
    assert decode(bytearray(body)) == decode(memoryview(body)) == decode(body) == {"a": [1, b"x"]}


def test_the_limit_counts_bytes_whatever_the_items_of_a_view_are() -> None:
    view = memoryview(b"\x91\x01").cast("H")
    assert decode(view, max_bytes=2) == [1]
    with pytest.raises(WireError) as refusal:
        decode(view, max_bytes=1)
    assert refusal.value.code is ErrorCode.TOO_LARGE
    assert str(refusal.value) == "the body is 2 bytes long; the limit is 1 (rule P1 of the profile)"


def test_a_timestamp_is_a_datetime_in_utc() -> None:
    # given
    moment = datetime(2024, 10, 27, 3, 33, 20, 500_000, tzinfo=UTC)
    # when
    decoded = decode(encode([moment]))[0]
    # then
    assert decoded == moment
    assert decoded.tzinfo is UTC


def test_a_timestamp_finer_than_a_datetime_loses_nothing() -> None:
    # given
    fine, coarse = Timestamp(1, 1001), Timestamp(1, 1000)
    body = encode({"a": [fine, coarse, {"b": coarse}], "c": 1})
    # when
    decoded = decode(body)
    # then
    moment = datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert decoded == {"a": [fine, moment, {"b": moment}], "c": 1}
    assert encode(decoded) == body


@pytest.mark.parametrize(
    ("digits", "sentence"),
    [
        ("93 01 02", "byte 1: 3 values cannot fit in 2 bytes (rule P2 of the profile)"),
        ("93 01 02 a3 61", "byte 5: the body ends before its value does (rule P2 of the profile)"),
        ("01 02 03", "byte 1: 2 bytes follow the value (rule P2 of the profile)"),
        ("82 a161 01 01 02", "byte 4: a map key is not a str (rule P5 of the profile)"),
        ("91 82 a161 01 a161 02", "a map has the key 'a' twice (rule P5 of the profile)"),
        ("92 01 a2 61ff", "byte 4: a str is not UTF-8 (rule P6 of the profile)"),
        ("92 01 cfffffffffffffffff", "byte 2: an integer is larger than 2^63-1 (rule P7 of the profile)"),
        ("c7 03 05 000000", "byte 2: extension 5 of 3 bytes: only timestamps"),
        ("d6 fe 00000000", "byte 1: extension -2 of 4 bytes: only timestamps"),
        ("92 01 c1", "byte 2: c1 is not a format (rule P9 of the profile)"),
    ],
)
def test_a_refusal_names_the_byte_and_the_rule(digits: str, sentence: str) -> None:
    with pytest.raises(WireError) as refusal:
        decode(bytes.fromhex(digits))
    assert str(refusal.value).startswith(sentence)


def test_a_random_value_comes_back_as_it_was() -> None:
    chance = random.Random(SEED)
    for _ in range(1500):
        value = random_value(chance, depth=4)
        body = encode(value)
        assert decode(body) == value
        assert encode(decode(body)) == body


def test_random_bytes_give_a_value_of_the_profile_or_a_refusal() -> None:
    # given
    chance = random.Random(SEED)
    accepted = 0
    for _ in range(6000):
        body = mutated(encode(random_value(chance, depth=3)), chance)
        # when
        try:
            value = decode(body)
        except WireError as refusal:
            assert refusal.code is ErrorCode.BAD_ENVELOPE  # noqa: PT017
            continue
        # then
        accepted += 1
        canonical = encode(value)
        assert len(canonical) <= len(body) + 4 * body.count(b"\xca")  # float 32 grows
        assert encode(decode(canonical)) == canonical
    assert accepted > 500


def random_value(chance: random.Random, *, depth: int) -> Any:
    """Any value of the profile but NaN, which equals nothing."""
    kind = chance.randrange(10 if depth else 8)
    if kind == 8:
        return [random_value(chance, depth=depth - 1) for _ in range(chance.randrange(20))]
    if kind == 9:
        return {random_text(chance): random_value(chance, depth=depth - 1) for _ in range(chance.randrange(18))}
    scalars: list[Any] = [
        None,
        chance.random() < 0.5,
        chance.randrange(-40, 300),
        chance.randrange(-(2**63), 2**63) >> chance.randrange(64),
        struct.unpack(">f", struct.pack(">f", chance.uniform(-1e9, 1e9)))[0],
        random_text(chance),
        chance.randbytes(chance.choice([0, 1, 5, 300])),
        datetime.fromtimestamp(chance.randrange(-(2**35), 2**36), UTC).replace(microsecond=chance.randrange(10**6)),
    ]
    return scalars[kind]


def random_text(chance: random.Random) -> str:
    alphabet = "ab_\0\u00e9\u20ac\uffff\U0001f600"
    return "".join(chance.choices(alphabet, k=chance.choice([0, 1, 2, 8, 31, 32, 90])))


def mutated(body: bytes, chance: random.Random) -> bytes:
    """`body` with one or two bytes changed, inserted or left out, preferably to formats."""
    out = bytearray(body)
    for _ in range(chance.choice([1, 1, 2])):
        at = chance.randrange(len(out) + 1)
        new = bytes(
            [chance.choice([chance.randrange(256), chance.randrange(0xC0, 0xE0), chance.randrange(0x80, 0xC0)])]
        )
        cut = chance.choice([0, 1, 1, 2])
        out[at : at + cut] = chance.choice([b"", new, new])
    return bytes(out)
