"""Telling every worker to cancel a job, and hearing what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from penstock.broker import messages
from penstock.broker.ports import Confirm
from penstock.broker.session import Session
from penstock.errors import UnavailableError, UsageError
from penstock.settings import default_instance
from penstock.wire.headers import is_job_id, is_reply_to, str_header
from penstock.wire.registry import CANCEL_GRACE_MS, HEADER_JOB, HEADER_STEP, HEADER_WORKER, TYPE_CANCELLED, CancelStep

#: Longest wait for acknowledgements, in seconds.
MAX_WAIT_S: Final = 600.0
#: What is waited by default: a job that does not end by itself is killed before that.
WAIT_S: Final = CANCEL_GRACE_MS / 1000 + 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What one worker says.

    Attributes:
        worker: Its name.
        step: What became of the job there: a step that a later version knows comes as it is.
    """

    worker: str
    step: CancelStep | str

    @property
    def found(self) -> bool:
        """Whether the worker had the job."""
        return self.step != CancelStep.UNKNOWN_HERE


async def cancel(session: Session, job_id: str, *, wait_s: float = WAIT_S) -> list[Acknowledgement]:
    """Tell every worker to cancel a job; returns what they answer, in the order of their answers.

    Args:
        session: Open.
        job_id: The job.
        wait_s: Seconds to wait for answers; it ends sooner when a worker says that it had the job. 0: not at all.

    Raises:
        UsageError: It is no job's id, the wait is out of range, or the user's name cannot be part of a reply queue's.
        TopologyError: There is no control exchange.
        DeniedError: The user may not give commands, or have a reply queue.
        UnavailableError: No worker is connected; or the broker is gone, and the command was heard or not.
    """
    if not is_job_id(job_id):
        raise UsageError(f"not a job's id: {job_id!r} (a UUIDv7 in lower case)")
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise UsageError(f"--wait {wait_s:g} is not between 0 and {MAX_WAIT_S:g} s")
    answers = _Answers(job_id)
    reply_to = None
    if wait_s:
        instance = default_instance()
        if not is_reply_to(f"{session.user}.{instance}"):
            text = f"user {session.user!r} has other characters than A-Z a-z 0-9 _ - and can get no answers; --wait 0"
            raise UsageError(text)
        reply_to = await session.listen(instance, answers.heard, answers.lost)
    properties = messages.cancel(job_id, user=session.user, reply_to=reply_to)
    confirm = await session.publish("control", "", properties, b"")
    if confirm is Confirm.RETURNED:
        raise UnavailableError(f"job {job_id}: no worker is connected, so none has heard that it is to be cancelled")
    if confirm is not Confirm.ACKED:
        raise UnavailableError(f"job {job_id}: the broker refuses the command now; try again")
    return await answers.within(wait_s)


class _Answers:
    """Collects what workers say of one job."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._all: list[Acknowledgement] = []
        self._enough = asyncio.Event()

    def heard(self, properties: Any, _body: bytes) -> None:
        """A message has come to the reply queue."""
        headers = properties.headers or {}
        worker, step = str_header(headers, HEADER_WORKER), str_header(headers, HEADER_STEP)
        if (
            properties.type != TYPE_CANCELLED
            or str_header(headers, HEADER_JOB) != self._job_id
            or not (worker and step)
        ):
            return
        said = Acknowledgement(worker=worker, step=step)
        self._all.append(said)
        if said.found:
            self._enough.set()

    def lost(self) -> None:
        """No more will come."""
        self._enough.set()

    async def within(self, seconds: float) -> list[Acknowledgement]:
        """What has come in so many seconds."""
        try:
            await asyncio.wait_for(self._enough.wait(), seconds)
        except TimeoutError:
            pass
        return self._all
