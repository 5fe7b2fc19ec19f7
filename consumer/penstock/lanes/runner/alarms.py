"""Calls that are due at their time, in a child whose main thread reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

_FOREVER: Final = float("inf")


class Alarms:
    """Calls each in a thread of its own, one after the other; a call must not take long.

    Raises:
        RuntimeError: The system has no thread left.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        #: When they are due, by the monotonic clock. No more than the child has jobs, so all are looked at each time.
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._wakes_at = _FOREVER
        threading.Thread(target=self._run, name="penstock-alarms", daemon=True).start()

    def set(self, seconds: float, call: Callable[[], None]) -> object:
        """Have something called after so many seconds; returns what `drop` takes."""
        key = object()
        due = time.monotonic() + seconds
        with self._changed:
            self._due[key] = (due, call)
            if due < self._wakes_at:
                self._changed.notify()
        return key

    def drop(self, key: object) -> None:
        """It need not be called any more; it may just be."""
        with self._changed:
            self._due.pop(key, None)

    def _run(self) -> None:
        while True:
            for call in self._next():
                call()

    def _next(self) -> list[Callable[[], None]]:
        """Those that are due, after waiting for the time of the first if there are none."""
        with self._changed:
            now = time.monotonic()
            late = [key for key, (due, _) in self._due.items() if due <= now]
            if not late:
                self._wakes_at = min((due for due, _ in self._due.values()), default=_FOREVER)
                self._changed.wait(None if self._wakes_at == _FOREVER else self._wakes_at - now)
                self._wakes_at = 0.0  # awake: nobody need wake it
            return [self._due.pop(key)[1] for key in late]
