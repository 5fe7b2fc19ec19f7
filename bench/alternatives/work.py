"""The work that is done in every way: by a lane of penstock, and by what else calls Python from Go."""

from __future__ import annotations

import ctypes
import re
import time

#: About 2 ms of pure Python.
STEPS = 40_000
WAIT_S = 0.02
#: Long enough for a neighbour to do harm meanwhile.
NAP_S = 0.3


def call(work: str) -> int:
    """Do one piece of work; the answer is a number that the caller knows."""
    if work == "cpu":
        return sum(step * step for step in range(STEPS))
    if work == "wait":
        time.sleep(WAIT_S)
    elif work == "nap":
        time.sleep(NAP_S)
    elif work == "crash":
        ctypes.string_at(0)  # SIGSEGV, as from a library in C
    elif work == "hang":
        re.match("(a+)+$", "a" * 64 + "b")  # years of C code that keeps the GIL
    return 0
