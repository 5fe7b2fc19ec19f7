"""Waiting for conditions, and for processes to be gone, without guessing how long that takes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that a whole test with children, and one condition, may take.
DEADLINE_S = 30.0
CONDITION_S = 10.0


def within_deadline(test: Coroutine[Any, Any, T]) -> T:
    """Run a test of the loop; a child that never answers fails it instead of stopping everything."""

    async def run() -> T:
        return await asyncio.wait_for(test, DEADLINE_S)

    return asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(CONDITION_S):
        while not condition():  # noqa: ASYNC110 -- processes set no event
            await asyncio.sleep(0.002)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only awaits its parent's wait() does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
    except (FileNotFoundError, ProcessLookupError):
        return False
