"""A real control group with a memory limit, where one can be made: what a container is to its processes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.wait import until

_CGROUPS = Path("/sys/fs/cgroup")


@contextmanager
def memory_limit(size: int) -> Iterator[tuple[str, ...]]:
    """The prefix of a command that runs it with at most so many bytes; skips where no control group can be made."""
    modern = (_CGROUPS / "cgroup.controllers").exists()
    group = (_CGROUPS if modern else _CGROUPS / "memory") / f"penstock-test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (group / ("memory.max" if modern else "memory.limit_in_bytes")).write_text(str(size))
        except OSError as error:
            pytest.skip(f"memory cannot be limited here: {error}")
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the end of its processes")
        os.rmdir(group)  # noqa: PTH106 -- what is in it are no files that could be removed
