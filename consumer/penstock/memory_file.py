"""A file in memory, for bodies too long for a frame: its descriptor goes from one process to the other instead."""

from __future__ import annotations

import mmap
import os
import sys
from typing import Self, TypeAlias

#: What is written.
_Bytes: TypeAlias = bytes | bytearray | memoryview


class MemoryFile:
    """A file that has no name and goes with its last descriptor.

    Args:
        fd: A descriptor, owned from now on.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def make(cls) -> Self:
        """An empty one.

        Raises:
            OSError: There is no descriptor left.
        """
        if sys.platform == "linux":
            return cls(os.memfd_create("penstock"))
        import tempfile  # here: children start without it

        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    @classmethod
    def holding(cls, data: _Bytes) -> Self:
        """One with these bytes.

        Raises:
            OSError: There is no descriptor or no memory left.
        """
        made = cls.make()
        made.write(data, 0)
        return made

    def fileno(self) -> int:
        """Its descriptor; -1 once it is closed."""
        return self._fd

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return os.fstat(self._fd).st_size

    def write(self, data: _Bytes, at: int) -> None:
        """Put bytes at a position."""
        view = memoryview(data).cast("B")
        while view:
            done = os.pwrite(self._fd, view, at)
            view, at = view[done:], at + done

    def read(self, count: int, at: int) -> bytes:
        """At most so many bytes from a position on; fewer only at the end."""
        return os.pread(self._fd, count, at)

    def view(self) -> bytes | mmap.mmap:
        """All bytes, mapped, not copied; the view outlives the file."""
        if not self.size:
            return b""
        return mmap.mmap(self._fd, 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Let go of it; closing twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        """Descriptors are few: one that nobody holds is closed at once."""
        self.close()
