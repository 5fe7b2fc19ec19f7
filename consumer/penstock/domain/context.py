"""What a task can know of the job that it runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from penstock.wire.registry import MAX_PROGRESS_TEXT_BYTES


class Cancelled(BaseException):
    """The job that runs was cancelled; what it holds is to be let go.

    Raised in the task where a signal can interrupt it, that is in the lanes Processes and Serial, between two steps of
    Python code or in a call that waits. In Commands it ends the program. Not an Exception, so that code that is
    content with any failure does not go on. A task in the lane Threads has a second to look at
    `current_job().cancelled`, and may raise this; then it is raised, between two steps of Python code. In Async the job
    gets asyncio.CancelledError.
    """

    def __init__(self) -> None:
        super().__init__("the job was cancelled")


class SoftTimeoutError(TimeoutError):
    """The job has run for its `soft_timeout`: time to tidy up, or to return what there is.

    Raised in the task: in the lanes Processes and Serial between two steps of Python code or in a call that waits, in
    Threads between two steps. In Async the task is cancelled, in Commands the program gets SIGTERM. A job that lets it
    pass ends with the code TIMEOUT, like any other failure; a batch is called anew in halves.
    """


class Attempt(Protocol):
    """The attempt at a job, as the job's task may know it."""

    def stop_asked(self) -> bool:
        """Whether the job is to end."""
        ...

    def tell(self, fraction: float, text: str) -> None:
        """Tell how far it is."""
        ...


class _Nobodys:
    """The attempt of a job that no child runs."""

    def stop_asked(self) -> bool:
        return False

    def tell(self, fraction: float, text: str) -> None:
        pass


_NOBODYS: Final = _Nobodys()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentJob:
    """The job that is running.

    Attributes:
        id: Its id, a UUIDv7; the same for every attempt, so it serves as idempotency key.
        task: Its task.
        attempt: Number of this attempt, from 1.
        fence: A number that is larger for every later start of the same job. A store that keeps the largest it has
            seen and refuses smaller ones is safe from an attempt that was given up for lost and goes on ("fencing
            token", M. Kleppmann, 2016).
        deadline_ms: Unix ms after which nobody waits for the result; None: no deadline.
        meta: The caller's notes.
        of: What `cancelled` asks and `progress` tells.
    """

    id: str
    task: str
    attempt: int
    fence: int
    deadline_ms: int | None
    meta: Mapping[str, str]
    of: Attempt = field(default=_NOBODYS, repr=False, compare=False)

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled and is to end: a success counts still, anything else ends it as CANCELLED."""
        return self.of.stop_asked()

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, not below 0; None: no deadline."""
        if self.deadline_ms is None:
            return None
        return max(0.0, self.deadline_ms / 1000 - time.time())

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the job is. It costs little: what comes too fast is left out, but for the newest.

        Args:
            fraction: From 0 to 1.
            text: What it does, for people; cut at `MAX_PROGRESS_TEXT_BYTES` (256). Defaults to "".

        Raises:
            ValueError: The fraction is not from 0 to 1.
            TypeError: The text is none.
            RuntimeError: Called in a process that the task has started.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"the progress of a job is a fraction from 0 to 1, not {fraction!r}")
        if not isinstance(text, str):
            raise TypeError(f"the text of a job's progress is a str, not {type(text).__name__}")
        short = text.encode(errors="replace")[:MAX_PROGRESS_TEXT_BYTES].decode(errors="ignore")
        self.of.tell(float(fraction), short)


#: Set by the child around each call.
running: ContextVar[CurrentJob] = ContextVar("penstock_running_job")


def current_job() -> CurrentJob:
    """The job that the calling task runs.

    Raises:
        RuntimeError: Called outside a task, or in one that runs a batch of jobs.
    """
    try:
        return running.get()
    except LookupError:
        raise RuntimeError("current_job() is known inside a task only, and a batch is many jobs") from None
