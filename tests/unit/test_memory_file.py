"""Files in memory: what is written is read, and no descriptor is left behind."""

from __future__ import annotations

import gc
import os

import pytest

from penstock.memory_file import MemoryFile


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_what_is_written_in_pieces_is_read_whole_and_in_pieces() -> None:
    file = MemoryFile.make()
    file.write(b"abc", 0)
    file.write(memoryview(b"defg"), 3)
    assert (file.size, file.read(100, 0), file.read(2, 3), file.read(5, 7)) == (7, b"abcdefg", b"de", b"")
    assert bytes(file.view()) == b"abcdefg"


def test_an_empty_one_has_an_empty_view() -> None:
    assert (MemoryFile.make().size, bytes(MemoryFile.make().view())) == (0, b"")


def test_a_view_outlives_its_file() -> None:
    file = MemoryFile.holding(b"x" * 5000)
    view = file.view()
    file.close()
    assert bytes(view) == b"x" * 5000


def test_a_descriptor_is_closed_once_and_at_the_latest_when_nobody_has_the_file() -> None:
    file = MemoryFile.holding(b"x")
    fd = file.fileno()
    file.close()
    file.close()
    assert (is_open(fd), file.fileno()) == (False, -1)

    forgotten = MemoryFile.holding(b"x").fileno()
    gc.collect()
    assert not is_open(forgotten)


def test_what_a_child_starts_does_not_inherit_it() -> None:
    assert not os.get_inheritable(MemoryFile.make().fileno())


def test_a_closed_one_cannot_be_written() -> None:
    file = MemoryFile.make()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write(b"x", 0)
