"""Large bins go into a body as the packer would have put them there."""

from __future__ import annotations

import random
from typing import Any

import pytest

from penstock.wire.bulk import Bulk
from penstock.wire.codec import pack
from penstock.wire.failure import WireError

LIMIT = 16 * 2**20
SIZES = (0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 300_000)


def test_a_body_with_stand_ins_is_the_body_without() -> None:
    # Given bins of every size, in the order in which they are packed and in another
    bins = [random.Random(size).randbytes(size) for size in SIZES]
    for order in (bins, bins[::-1]):
        bulk = Bulk()
        stood_in = {id(data): bulk.stand_in(memoryview(data)) for data in order}
        value: Any = {"before": 1, "list": [stood_in[id(data)] for data in bins], "after": "x", "again": [1.5] * 20}

        # When they are packed, then nobody sees that something stood in for them
        plain: Any = {**value, "list": bins}
        assert pack(value, max_bytes=LIMIT, bulk=bulk) == pack(plain, max_bytes=LIMIT)


def test_a_body_that_would_be_too_long_is_refused_with_its_length() -> None:
    bulk = Bulk()
    value = [bulk.stand_in(memoryview(bytes(100_000))), bulk.stand_in(memoryview(bytes(100_000)))]
    size = len(pack([bytes(100_000)] * 2, max_bytes=LIMIT))
    assert len(pack(value, max_bytes=size, bulk=bulk)) == size
    with pytest.raises(WireError, match=f"the body would be {size} bytes long"):
        pack(value, max_bytes=size - 1, bulk=bulk)
