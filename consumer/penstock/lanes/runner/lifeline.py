"""A child never outlives its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


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
