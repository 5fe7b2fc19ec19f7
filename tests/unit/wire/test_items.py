"""Items as they lie in the store, and the body of a progress."""

from __future__ import annotations

import pytest

from penstock.wire.failure import WireError
from penstock.wire.items import decode_progress, encode_progress, fence_bytes, fence_of, framed, items_of


def test_items_are_read_back_as_they_were_written() -> None:
    items = [b"", b"\xc0", bytes(range(256)) * 300]
    log = fence_bytes(10_001) + b"".join(map(framed, items))
    assert fence_of(log) == 10_001
    assert list(items_of(log)) == items


def test_the_bytes_are_those_of_the_specification() -> None:
    assert fence_bytes(10_000) + framed(b"\x01") == bytes.fromhex("0000000000002710 00000001 01")


def test_a_later_fence_is_larger_as_bytes() -> None:
    fences = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 10_000, 2**32, 10**18, 2**63]
    assert sorted(map(fence_bytes, reversed(fences))) == list(map(fence_bytes, fences))


@pytest.mark.parametrize("cut", range(1, 7))
def test_what_is_cut_off_at_the_end_is_left_out(cut: int) -> None:
    log = fence_bytes(1) + framed(b"one") + framed(b"two")
    assert list(items_of(log[:-cut])) == [b"one"]


def test_progress_is_a_map_of_a_fraction_and_a_text() -> None:
    body = encode_progress(0.5, "half")
    assert body == bytes.fromhex("82a86672616374696f6ecb3fe0000000000000a474657874a468616c66")
    assert decode_progress(body) == (0.5, "half")
    with pytest.raises(WireError):
        decode_progress(body[:-1])
