"""What a job has spent of its three budgets: failures, crashes and hangs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from penstock.wire.registry import REFRESH_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a job has spent before the attempt that its delivery starts.

    Attributes:
        failures: Attempts that raised.
        crashes: Attempts that ended with the death of their child.
        hangs: Attempts that ran longer than the task's timeout.
        deliveries: Hand-outs, of this message and of earlier copies, that came to no end: the worker died or gave the
            job back.
        first_at_ms: When the first attempt that failed ended, Unix ms; None: none has failed.
        run_ms: Run time of all attempts, in milliseconds.
        backoff_ms: What the job was told to wait between its attempts, in milliseconds.
    """

    failures: int = 0
    crashes: int = 0
    hangs: int = 0
    deliveries: int = 0
    first_at_ms: int | None = None
    run_ms: int = 0
    backoff_ms: int = 0

    @property
    def attempts(self) -> int:
        """Attempts that have ended."""
        return self.failures + self.crashes + self.hangs

    @property
    def suspicious(self) -> bool:
        """Whether the job is to run alone: it has killed a child, or its workers keep dying."""
        return self.crashes > 0 or self.deliveries >= REFRESH_AFTER

    def and_failed(self, tries: int, *, run_s: float, now_ms: int) -> Spent:
        """So many attempts more that raised."""
        return self._and(run_s, now_ms, failures=self.failures + tries)

    def and_crashed(self, *, run_s: float, now_ms: int) -> Spent:
        """One attempt more that killed its child."""
        return self._and(run_s, now_ms, crashes=self.crashes + 1)

    def and_hung(self, *, run_s: float, now_ms: int) -> Spent:
        """One attempt more that ran out of time."""
        return self._and(run_s, now_ms, hangs=self.hangs + 1)

    def and_waits(self, delay_s: float) -> Spent:
        """A wait more between two attempts."""
        return replace(self, backoff_ms=self.backoff_ms + int(delay_s * 1000))

    def _and(self, run_s: float, now_ms: int, **counted: int) -> Spent:
        first = now_ms if self.first_at_ms is None else self.first_at_ms
        return replace(self, first_at_ms=first, run_ms=self.run_ms + int(run_s * 1000), **counted)


#: What a new job has spent.
NOTHING: Final = Spent()
