"""A child never outlives its parent, and gives its life for it when memory runs out."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
#: By how much the kernel prefers a child to its parent when memory runs out, in thousandths of all memory.
_OOM_SCORE: Final = 500


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends, even while a library holds the GIL.

    Linux only (prctl(2)). Elsewhere the child notices at its next read, that is between two jobs.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the call; then the signal never comes.
    if os.getppid() != parent_pid:
        os._exit(0)


def die_with_group() -> None:
    """Have the end of the parent end the whole process group, not only this process.

    For one that runs programs, which the kernel does not tell of it. Linux only, once `die_with_parent` was called, and
    only while nothing but Python runs here: the signal has a handler.
    """
    if sys.platform != "linux":
        return
    parent_pid = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        os._exit(0)


def die_before_parent() -> None:
    """Have the kernel take a child, not the parent, when memory runs out: that costs one job, not the worker.

    Linux only (oom_score_adj of proc(5)).
    """
    score = Path("/proc/self/oom_score_adj")
    try:
        score.write_text(str(min(1000, int(score.read_text()) + _OOM_SCORE)))
    except (OSError, ValueError):
        pass  # not Linux, or forbidden: then the kernel takes whom it likes
