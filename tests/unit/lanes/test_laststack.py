"""The last stack of a child: what is kept of it, and what a reader sees."""

from __future__ import annotations

import os

import pytest

from penstock.lanes.laststack import StackFile, tidy
from penstock.wire.registry import MAX_TRACE_BYTES

WORKER_THREAD = """Thread 0x00007f1 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/app/pool.py", line 7 in loop"""
CURRENT = """Current thread 0x00007f2 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 517 in string_at
  File "/app/tasks.py", line 12 in crash"""
OURS = """
  File "/venv/lib/python3.11/site-packages/penstock/lanes/runner/execute.py", line 90 in _attempt
  File "/venv/lib/python3.11/site-packages/penstock/lanes/runner/__main__.py", line 30 in main
  File "<frozen runpy>", line 88 in _run_code"""
FATAL = "Fatal Python error: Segmentation fault"
EXTENSIONS = "Extension modules: msgpack._cmsgpack, numpy.core._multiarray_umath (total: 2)"


def dump(*blocks: str) -> str:
    return "\n\n".join(blocks) + "\n"


def test_the_thread_that_crashed_comes_first_and_what_says_nothing_is_left_out() -> None:
    assert tidy(dump(FATAL, WORKER_THREAD, CURRENT + OURS, EXTENSIONS)) == f"{FATAL}\n\n{CURRENT}\n\n{WORKER_THREAD}"


def test_a_stack_that_was_asked_for_has_no_error() -> None:
    assert tidy(dump(WORKER_THREAD + OURS, CURRENT)) == f"{CURRENT}\n\n{WORKER_THREAD}"


def test_of_several_fatal_errors_the_last_one_counts() -> None:
    assert tidy(dump("Fatal Python error: Aborted", WORKER_THREAD, FATAL, CURRENT)) == f"{FATAL}\n\n{CURRENT}"


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n"])
def test_nothing_is_no_stack(text: str) -> None:
    assert tidy(text) is None


def test_a_long_stack_keeps_its_most_recent_calls_in_whole_lines() -> None:
    # Given a recursion
    calls = [f'  File "/app/tasks.py", line {number} in down' for number in range(500)]

    # When it is tidied
    told = tidy(dump(FATAL, "\n".join(["Current thread 0x1 (most recent call first):", *calls]), EXTENSIONS))

    # Then it fits, and says that there is more
    assert told is not None
    assert MAX_TRACE_BYTES - 60 < len(told.encode()) <= MAX_TRACE_BYTES
    lines = told.splitlines()
    assert lines[:4] == [FATAL, "", "Current thread 0x1 (most recent call first):", calls[0]]
    assert lines[-1] == "  ..."
    assert set(lines[3:-1]) <= set(calls)


def test_what_is_forgotten_is_gone_and_the_next_stack_stands_alone() -> None:
    stack = StackFile()
    try:
        # Given a stack that was written through the child's descriptor, which shares our position
        theirs = os.dup(stack.fileno())
        os.write(theirs, CURRENT.encode())
        assert stack.read() == CURRENT

        # When it is forgotten and another is written
        stack.forget()
        assert stack.read() is None
        os.write(theirs, WORKER_THREAD.encode())
        os.close(theirs)

        # Then that is all
        assert stack.read() == WORKER_THREAD
    finally:
        stack.close()


def test_of_a_file_of_any_length_only_the_end_is_read() -> None:
    stack = StackFile()
    try:
        os.write(stack.fileno(), b"x" * 1_000_000 + dump("", FATAL, CURRENT).encode())
        assert stack.read() == f"{FATAL}\n\n{CURRENT}"
    finally:
        stack.close()
