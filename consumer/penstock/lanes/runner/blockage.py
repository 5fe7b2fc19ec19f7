"""Notices that a job blocks the event loop of an async child, and says which one."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

#: Seconds for which the loop may stand still before that is told, once for each time.
BLOCKED_S: Final = 0.5
_LOOK_S: Final = 0.1
_STACK_BYTES: Final = 4096
#: Where tasks are called from.
_CALLERS: Final = frozenset(str(Path(__file__).with_name(name)) for name in ("attempt.py", "items.py", "softlimit.py"))


class Blockage:
    """Watches one loop from a thread of its own.

    Code that keeps the GIL keeps this thread from looking, too: it is told of when the GIL is free again.

    Args:
        tell: Called in that thread with the asyncio task that runs, for how many seconds the loop stands still, and
            the stack of what it does, from the task's own frame on.
    """

    def __init__(self, tell: Callable[[asyncio.Task[Any] | None, float, str], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._beat_at = time.monotonic()
        self._beat()
        threading.Thread(target=self._watch, name="penstock-blockage", daemon=True).start()

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        self._loop.call_later(_LOOK_S, self._beat)

    def _watch(self) -> None:
        told = 0.0
        while not self._loop.is_closed():
            time.sleep(_LOOK_S)
            beat, now = self._beat_at, time.monotonic()
            if now - beat > BLOCKED_S and beat != told:
                told = beat
                self._tell(asyncio.current_task(self._loop), now - beat, self._stack())

    def _stack(self) -> str:
        frame: FrameType | None = sys._current_frames().get(self._thread_id)  # noqa: SLF001 -- there is no other way
        frames = traceback.extract_stack(frame)
        called = max((i for i, one in enumerate(frames) if one.filename in _CALLERS), default=-1)
        return "".join(traceback.format_list(frames[called + 1 :] or frames))[-_STACK_BYTES:]
