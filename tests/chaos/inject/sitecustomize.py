"""Changes two things in a Python process: its wall clock, and how long a worker may hold a delivery.

Python imports this module at its start when its folder is on PYTHONPATH. `time.time` then adds the offset in
seconds, a float64, that the file PENSTOCK_CHAOS_CLOCK holds and that may change at any time; the monotonic clocks
and the kernel's own stay true. PENSTOCK_CHAOS_CONSUMER_TIMEOUT_MS takes the place of the registry's limit, which
nobody can set otherwise.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

_true_time = time.time
_true_time_ns = time.time_ns


def _shift(path: str) -> None:
    with Path(path).open("rb") as file:
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def jumping_time() -> float:
        return _true_time() + float(struct.unpack_from("<d", offset)[0])

    def jumping_time_ns() -> int:
        return _true_time_ns() + int(struct.unpack_from("<d", offset)[0] * 1e9)

    time.time = jumping_time
    time.time_ns = jumping_time_ns


if "PENSTOCK_CHAOS_CLOCK" in os.environ:
    _shift(os.environ["PENSTOCK_CHAOS_CLOCK"])
if "PENSTOCK_CHAOS_CONSUMER_TIMEOUT_MS" in os.environ:
    from penstock.wire import registry

    registry.CONSUMER_TIMEOUT_MS = int(os.environ["PENSTOCK_CHAOS_CONSUMER_TIMEOUT_MS"])  # type: ignore[misc]
