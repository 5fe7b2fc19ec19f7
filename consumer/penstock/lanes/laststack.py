"""A child's last Python stack: the file that the child inherits and into which faulthandler writes for it.

The child's side is `runner/laststack.py`. The file is in memory on Linux and an unlinked temporary one elsewhere, so
nothing is left of it when both have closed it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from typing import IO, Final

from penstock.wire.registry import MAX_TRACE_BYTES

#: What is read of the file, at most; its end counts.
_READ_BYTES: Final = 64 * 1024
#: Frames of every stack that say nothing: they are below the task's own.
_OURS: Final = (f"{os.sep}penstock{os.sep}lanes{os.sep}runner{os.sep}", '"<frozen runpy>"')


class StackFile:
    """One child's file.

    Raises:
        OSError: There is neither memory nor room on the disk for it.
    """

    def __init__(self) -> None:
        self._file = _anonymous()
        # Parent and child share one position; whoever writes, writes at the end, also after `forget`.
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)

    def fileno(self) -> int:
        """The descriptor that the child inherits."""
        return self._file.fileno()

    def read(self) -> str | None:
        """The last stack, tidied; None: none was written."""
        size = os.fstat(self.fileno()).st_size
        data = os.pread(self.fileno(), _READ_BYTES, max(0, size - _READ_BYTES))
        return tidy(data.decode("utf-8", "replace"))

    def forget(self) -> None:
        """Drop what was written: the child lives on."""
        self._file.truncate(0)

    def close(self) -> None:
        """Close the parent's descriptor."""
        self._file.close()


def _anonymous() -> IO[bytes]:
    try:
        return os.fdopen(os.memfd_create("penstock-stack"), "r+b", buffering=0)
    except (AttributeError, OSError):  # not Linux, or forbidden
        return tempfile.TemporaryFile(buffering=0)


def tidy(text: str) -> str | None:
    """What faulthandler wrote, for a reader: the fatal error, the thread that met it, the other threads.

    faulthandler puts the most recent call first, so the end is cut: at most MAX_TRACE_BYTES are left, in whole lines.
    The list of extension modules and penstock's own frames below the task are left out.
    """
    blocks = [block.strip("\n") for block in text.split("\n\n") if block.strip()]
    fatal = [index for index, block in enumerate(blocks) if block.startswith("Fatal Python error")]
    last = blocks[fatal[-1] :] if fatal else blocks
    blocks = sorted((block for block in last if not block.startswith("Extension modules")), key=_rank)
    told = "\n\n".join(filter(None, map(_without_ours, blocks)))
    return _cut(told) or None


def _rank(block: str) -> int:
    """Blocks are told in this order."""
    return 0 if block.startswith("Fatal") else 1 if block.startswith("Current thread") else 2


def _without_ours(block: str) -> str:
    return "\n".join(line for line in block.splitlines() if not any(ours in line for ours in _OURS))


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= MAX_TRACE_BYTES:
        return text
    more = b"\n  ..."
    return (data[: MAX_TRACE_BYTES - len(more)].rpartition(b"\n")[0] + more).decode("utf-8", "replace")
