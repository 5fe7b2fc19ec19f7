"""How a child ended, and what that meant for its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome
from penstock.domain.supervision import Reason


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
        begun: Jobs that ran, too, when another's limit was the child's end, and those that had hardly begun but have
            told something. They have spent nothing; their next start is another one.
        apart: Jobs of one call that exceeded a limit or lost its child: nobody knows because of which. They have spent
            nothing, and each is to have a call of its own.
        unstarted: Jobs that had not begun, or hardly, and of which nothing is known outside the child.
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
        jobs = [*(delivery for delivery, _ in self.outcomes), *self.apart]
        tasks = sorted({job.task for job in jobs})
        # Of several, nobody knows which was the cause: none is named.
        return {
            "pid": self.pid or None,
            "reason": self.reason.value,
            "exit": self.evidence.exit,
            "peak_rss": self.evidence.peak_rss,
            "job_id": jobs[0].job_id if len(jobs) == 1 else None,
            "task": tasks[0] if len(tasks) == 1 else None,
            "tasks": tasks if len(tasks) > 1 else None,
            "jobs": len(jobs) if len(jobs) > 1 else None,
            "said": self.said,
            "traceback": self.evidence.stack,
        }
