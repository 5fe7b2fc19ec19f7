"""How a queue's jobs run, and the numbers by which a lane is filled and its children are replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.errors import DeclarationError


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Processes:
    """A lane of `slots` child processes that run one job each at a time.

    For CPU-bound and native libraries: no GIL is shared, and a crash costs one job. The signal SIGUSR2 of a child is
    penstock's: it has a job that ran out of time write down where it is, before its child is killed.

    Attributes:
        slots: Number of children. Defaults to the cores that the worker may use.
        python: The interpreter that runs the children, for instance of another virtual environment in which
            penstock and the task module are installed. Defaults to the worker's own.
        quarantine_memory: The most memory, in bytes, that a job may have resident that runs alone because it has
            killed a child before; above it its child is killed. Counted without processes that the job starts, and
            on Linux only. Defaults to half of the memory that the worker may use (its container's limit, or the
            machine's memory).

    Raises:
        DeclarationError: `slots` or `quarantine_memory` is below 1.
    """

    slots: int = field(default_factory=_cores)
    python: str | None = None
    quarantine_memory: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.slots < 1:
            raise DeclarationError(f"Processes: slots must be at least 1, not {self.slots}")
        if self.quarantine_memory is not None and self.quarantine_memory < 1:
            raise DeclarationError(f"Processes: quarantine_memory must be at least 1, not {self.quarantine_memory}")

    def to_wire(self) -> dict[str, Any]:
        """The lane as the catalog carries it."""
        return {
            "kind": "processes",
            "slots": self.slots,
            "python": self.python,
            "quarantine_memory": self.quarantine_memory,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Processes:
        """The lane as the parent reads it from the catalog."""
        return cls(wire["slots"], python=wire["python"], quarantine_memory=wire["quarantine_memory"])


# ── filling ─────────────────────────────────────────────────────────────────────────────────────────
#
# A job in a child's socket saves the round trip to the parent between two jobs, but it waits behind the one
# that runs. So jobs are sent ahead only while everything ahead of them in that child is expected to be over
# within AHEAD_S. The same holds between the broker and the worker: a long backlog in a worker keeps jobs from
# other replicas, so the large prefetch is used for short jobs only.

#: Expected work, in seconds, that may wait in a child's socket.
AHEAD_S: Final = 0.005
#: Most jobs in one child, the running one included.
AHEAD_JOBS: Final = 64
#: Prefetch per slot that is always granted: one running, one at hand.
PREFETCH_PER_SLOT: Final = 2
#: Additional prefetch of a queue while its jobs are short.
PREFETCH_SHORT_JOBS: Final = 512
#: Jobs shorter than the first are short; they stop being short above the second. In seconds.
SHORT_JOB_S: Final = (0.002, 0.005)
#: Weight of the newest observation in a moving mean.
MEAN_WEIGHT: Final = 0.1


def moving_mean(mean: float | None, observed: float) -> float:
    """Exponentially weighted mean; the first observation is the mean."""
    return observed if mean is None else mean + MEAN_WEIGHT * (observed - mean)


def is_short(mean_s: float | None, *, already: bool) -> bool:
    """Whether a queue's jobs are short, with hysteresis; unknown is not short."""
    return mean_s is not None and mean_s < SHORT_JOB_S[1 if already else 0]


# ── replacing ───────────────────────────────────────────────────────────────────────────────────────

#: Seconds before each restart of a child that failed; after the last one it is BROKEN.
RESTART_DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)


def restart_delay(failures: int) -> float | None:
    """Seconds to wait after `failures` failures in a row (from 1); None: the child is BROKEN."""
    return RESTART_DELAYS_S[failures - 1] if failures <= len(RESTART_DELAYS_S) else None
