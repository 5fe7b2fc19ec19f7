"""How an attempt ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock.wire.failure import Failure


class OutcomeKind(StrEnum):
    """The seven ways in which an attempt ends."""

    SUCCEEDED = "succeeded"
    RAISED = "raised"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    CHILD_LOST = "child_lost"
    EXPIRED = "expired"
    #: The message could not be turned into a call: malformed, of another version or task, wrong arguments.
    UNDECODABLE = "undecodable"


@dataclass(slots=True)
class Outcome:
    """How an attempt ended and what is known of it.

    Not frozen, because one is made for every job and freezing triples that cost; nobody changes it.

    Attributes:
        kind: Which of the seven.
        body: result.v1 bytes as the child wrote them; None when no child could.
        failure: What went wrong; None when the attempt succeeded.
        delay_s: Seconds after which the task's policy would try again; None: it would not.
        run_s: Run time in seconds; 0 when it never ran.
        trace: The traceback, for the log alone.
    """

    kind: OutcomeKind
    body: bytes | None = None
    failure: Failure | None = None
    delay_s: float | None = None
    run_s: float = 0.0
    trace: str | None = None
