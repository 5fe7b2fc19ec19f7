"""What a replay did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from penstock.errors import PenstockError
from penstock.wire.failure import Failure
from penstock.wire.registry import Exit


@dataclass(slots=True, kw_only=True)
class Report:
    """What a replay did so far.

    Attributes:
        replayed: Ids of the jobs that began another life, in order.
        succeeded: Those that ended well.
        failed: Those that failed again, and how.
        refused: Names of the jobs that were not replayed, and why; they stay dead.
        unknown: Ids of jobs of which nobody knows whether they were taken; they stay dead and may run.
        left: How many were not reached; they stay dead.
        stopped: Why the replay ended before its end; None: it did not.
        unroutable: Whether it ended because no queue takes the jobs.
        trouble: The error with which it ended; None: it ended without.
    """

    replayed: list[str] = field(default_factory=list)
    succeeded: set[str] = field(default_factory=set)
    failed: dict[str, Failure] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    left: int = 0
    stopped: str | None = None
    unroutable: bool = False
    trouble: PenstockError | None = None

    @property
    def untouched(self) -> bool:
        """Whether nothing was done yet."""
        return not (self.replayed or self.unknown or self.stopped)

    def ended(self, job_id: str) -> bool:
        """Whether the fate of a job is known."""
        return job_id in self.succeeded or job_id in self.failed

    @property
    def running(self) -> list[str]:
        """Jobs that were replayed and whose end has not come."""
        return [job_id for job_id in self.replayed if not self.ended(job_id)]

    def exit(self, *, waited: bool) -> int:
        """The exit status that tells how it went; of several kinds of trouble the one that needs most care.

        Args:
            waited: Whether the ends of the jobs were waited for.
        """
        if self.unknown:
            return Exit.TEMPFAIL
        if self.trouble is not None:
            return self.trouble.exit
        if self.unroutable:
            return Exit.UNROUTABLE
        if self.failed:
            return Exit.REMOTE
        if self.stopped or (waited and self.running):
            return Exit.TEMPFAIL
        return Exit.DATA if self.refused else Exit.OK

    def __str__(self) -> str:
        """One sentence: `replayed 40: 39 succeeded, 1 failed again (VALUE: 1)`."""
        codes = Counter(failure.code for failure in self.failed.values())
        how = ", ".join(f"{code}: {count}" for code, count in codes.most_common())
        running = len(self.running)
        parts = [f"{len(self.succeeded)} succeeded"] if self.succeeded else []
        parts += [f"{len(self.failed)} failed again ({how})"] if self.failed else []
        parts += [f"{running} not ended yet"] if running else []
        return f"replayed {len(self.replayed)}{': ' * bool(parts)}{', '.join(parts)}"
