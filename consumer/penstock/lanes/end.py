"""How a child ended, and what that meant for its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome


class Reason(StrEnum):
    """Why a child ended."""

    #: Before it was ready.
    BOOT = "boot"
    CRASH = "crash"
    #: By a signal that was not ours.
    SIGNAL = "signal"
    #: Killed, because its job ran too long.
    TIMEOUT = "timeout"
    #: Killed, because it had too much memory: by us, or by the system.
    MEMORY = "memory"
    #: Killed, because its job was cancelled and did not end by itself.
    CANCELLED = "cancelled"
    #: It had done its one job.
    FINISHED = "finished"
    #: It was replaced though nothing was wrong with it.
    RECYCLED = "recycled"
    #: The worker stops.
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a child ended.

    Attributes:
        pid: Its process id; 0: it was to be forked and never was.
        status: Its exit status; negative: the signal that ended it.
        evidence: What is known of its end.
        reason: Why it ended.
        said: Its last words, when it could not start.
        outcomes: The jobs that ended with it, and how.
        begun: Jobs that ran, too, when a neighbour's limit was the child's end. They have spent nothing.
        apart: Jobs of one call that exceeded a limit: nobody knows because of which. They have spent nothing, and each
            is to have a call of its own.
        unstarted: Jobs that had not begun, or hardly.
    """

    pid: int
    status: int
    evidence: Evidence
    reason: Reason
    said: str | None
    outcomes: list[tuple[Delivery, Outcome]]
    begun: list[Delivery]
    apart: list[Delivery]
    unstarted: list[Delivery]

    def fields(self) -> dict[str, Any]:
        """What the log says of it."""
        running = next((delivery for delivery, _ in self.outcomes), self.apart[0] if self.apart else None)
        jobs = len(self.outcomes) + len(self.apart)
        return {
            "pid": self.pid or None,
            "exit": self.evidence.exit,
            "peak_rss": self.evidence.peak_rss,
            "job_id": running and running.job_id,
            "task": running and running.task,
            "jobs": jobs if jobs > 1 else None,
            "said": self.said,
            "traceback": self.evidence.stack,
        }
