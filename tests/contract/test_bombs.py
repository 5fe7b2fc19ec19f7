"""Bodies that are made to hurt are refused quickly and in little memory, by Python; Go has the same test."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from penstock.wire.codec import decode
from penstock.wire.failure import WireError
from penstock.wire.registry import MAX_BODY_BYTES

MEGABYTE = 2**20
BOMBS: dict[str, Callable[[], bytes]] = {
    "an array of 4 billion in 5 bytes": lambda: b"\xdd\xff\xff\xff\xff",
    "a map of 4 billion in 5 bytes": lambda: b"\xdf\xff\xff\xff\xff",
    "a bin of 4 GB in 5 bytes": lambda: b"\xc6\xff\xff\xff\xff",
    "a str of 4 GB in 5 bytes": lambda: b"\xdb\xff\xff\xff\xff",
    "a million levels": lambda: b"\x91" * (MAX_BODY_BYTES - 1) + b"\xc0",
    "a million levels of maps": lambda: b"\x81\xa0" * (MAX_BODY_BYTES // 2),
    "array headers that each claim the rest": lambda: b"\xdd\x00\x03\x00\x00" * (MAX_BODY_BYTES // 5),
    "a million empty maps": lambda: b"\xdd\x00\x0f\xff\xf0" + b"\x80" * 0xFFFF0,
    "half a million equal keys": lambda: b"\xdf\x00\x01\x00\x00" + b"\xa1a\xc0" * 0x10000,
    "a body above the limit": lambda: b"\xc0" * (MAX_BODY_BYTES + 1),
    "nesting in a field that nobody knows": lambda: b"\x81\xa1x" + b"\x91" * 1000 + b"\xc0",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_50_ms_of_cpu(name: str) -> None:
    body = BOMBS[name]()
    took = []
    for _ in range(5):
        began = time.process_time()
        with pytest.raises(WireError):
            decode(body)
        took.append(time.process_time() - began)
    assert min(took) < 0.05


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_16_mb_more_than_the_body(name: str) -> None:
    """In a process of its own, whose peak nobody else has raised."""
    code = (
        "import resource, sys\n"
        "from penstock.wire.codec import decode\n"
        "from penstock.wire.failure import WireError\n"
        "body = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode(body)\nexcept WireError:\n    pass\nelse:\n    sys.exit(1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=BOMBS[name](), capture_output=True, timeout=60, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 16 * MEGABYTE
