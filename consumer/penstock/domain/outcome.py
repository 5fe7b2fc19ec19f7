"""How an attempt ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock.memory_file import MemoryFile
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure


class OutcomeKind(StrEnum):
    """The seven ways in which an attempt ends."""

    SUCCEEDED = "succeeded"
    RAISED = "raised"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    CHILD_LOST = "child_lost"
    EXPIRED = "expired"
    #: The message could not be turned into a call: malformed, of another version or task, wrong arguments, handed
    #: out too often.
    UNDECODABLE = "undecodable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a child that died or was killed.

    Attributes:
        exit: The signal (`SIGSEGV`) or the exit status (`exit status 3`).
        peak_rss: The most memory that it had resident, in bytes; None when the system does not tell.
        stack: Its last Python stack, as faulthandler wrote it; None when it could not.
    """

    exit: str
    peak_rss: int | None
    stack: str | None


@dataclass(slots=True)
class Outcome:
    """How an attempt ended and what is known of it.

    Not frozen, because one is made for every job and freezing triples that cost; nobody changes it.

    Attributes:
        kind: Which of the seven.
        body: result.v1 bytes of an attempt that succeeded, as the child wrote them; None otherwise.
            Empty when they are in a file.
        failure: What went wrong; None when the attempt succeeded.
        delay_s: Seconds after which what was raised is to be tried again; None: it is not.
        run_s: Run time in seconds; 0 when it never ran.
        tries: Attempts that this outcome stands for: several when failures were tried again within the slot.
        trace: The traceback, for the log and the dead queue, never for the caller.
        evidence: Of a child that died or was killed.
        blob: Which bytes are in the file.
        file: result.v1 bytes that were too long for a frame; None: they were not.
    """

    kind: OutcomeKind
    body: bytes | None = None
    failure: Failure | None = None
    delay_s: float | None = None
    run_s: float = 0.0
    tries: int = 1
    trace: str | None = None
    evidence: Evidence | None = None
    blob: Blob | None = None
    file: MemoryFile | None = None
