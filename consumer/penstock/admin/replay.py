"""Giving dead jobs another life: one canary first, then slowly, and finding out what became of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from penstock.admin import copies
from penstock.admin.dead_job import DeadJob
from penstock.admin.dead_letters import DeadLetters, Found
from penstock.admin.report import Report
from penstock.broker.dead_queue import like
from penstock.broker.ports import Confirm
from penstock.errors import DeniedError, UnavailableError, UsageError
from penstock.settings import default_instance
from penstock.wire.blob import Blob
from penstock.wire.failure import WireError
from penstock.wire.headers import is_reply_to
from penstock.wire.registry import HARD_MAX_BLOB_BYTES, HARD_MAX_BODY_BYTES, TYPE_RESULT
from penstock.wire.result import decode_result

#: Longest time for which dead jobs are held, in seconds: brokers close a channel that holds a message for 30 minutes.
MAX_HOLD_S: Final = 900.0
#: Longest wait for the fate of a canary, and of the last job, in seconds.
MAX_WAIT_S: Final = 600.0
#: Seconds between two words about a long replay.
_SAY_EVERY_S: Final = 10.0


class Results(Protocol):
    """What a replay needs of a place for results."""

    async def get(self, job_id: str) -> bytes | None:
        """The result of a job, None when there is none."""
        ...

    async def forget(self, job_id: str) -> bool:
        """Delete the result of a job; whether there was one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast, and how carefully.

    Attributes:
        rate: Jobs per second. Defaults to 10.
        canaries: Jobs that must succeed before the others are replayed. Defaults to 1; 0: none must.
        wait_s: Seconds for the fate of the canaries, and after the last job for that of the others; 0: do not wait.
            Defaults to 30.

    Raises:
        UsageError: A value is out of range.
    """

    rate: float = 10.0
    canaries: int = 1
    wait_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.rate <= 1000:
            raise UsageError(f"--rate {self.rate:g} is not above 0 and at most 1000 jobs per second")
        if not 0 <= self.wait_s <= MAX_WAIT_S:
            raise UsageError(f"--wait {self.wait_s:g} is not between 0 and {MAX_WAIT_S:g} s")
        if not 0 <= self.canaries <= 1000:
            raise UsageError(f"--canary {self.canaries} is not between 0 and 1000")
        if self.canaries and not self.wait_s:
            raise UsageError("a canary has to be waited for: give --wait seconds, or --canary 0")

    @property
    def most(self) -> int:
        """Most jobs of one replay: what is held longer, the broker takes back."""
        return max(1, int(self.rate * MAX_HOLD_S))


def obstacle(job: DeadJob, *, queue: str, now_ms: int, stores: bool) -> str | None:
    """Why a job cannot be replayed; None: it can.

    Args:
        job: The job.
        queue: Its queue's name.
        now_ms: The present, Unix ms.
        stores: Whether there is a place for results.
    """
    if job.job_id is None:
        return "it has no proper id, so nothing could be known of it; export or discard it"
    if job.task is None:
        return "its message names no task; export or discard it"
    if job.deadline_ms is not None and job.deadline_ms <= now_ms:
        return f"its deadline has passed; give it another: penstock dead edit {queue} {job.job_id} --deadline +600"
    if copies.stored(job) and not stores:
        return "its error result is stored and has to go first; give --redis-url or set PENSTOCK_REDIS_URL"
    return None


class Replay:
    """One replay.

    Args:
        dead: The dead queue.
        pace: How fast, and how carefully.
        report: Where what is done is noted at once, so that it can be told however this ends.
        results: Where results are stored; None: jobs with a stored result are refused.
        say: Called now and then with a sentence about how it goes.
    """

    def __init__(
        self, dead: DeadLetters, pace: Pace, report: Report, *, results: Results | None, say: Callable[[str], None]
    ) -> None:
        self._dead = dead
        self._pace = pace
        self._results = results
        self._say = say
        self._reply_to = ""
        self._waiting: deque[Found] = deque()
        self._running: set[str] = set()
        self._heard = asyncio.Event()
        self._lost = False
        self.report = report

    async def run(self, found: Sequence[Found]) -> None:
        """Replay the jobs.

        Raises:
            UsageError: The user's name cannot be part of a reply queue's.
            DeniedError: The user may not have a reply queue.
            UnavailableError: The broker is gone.

        What happens from the first job on, the report tells.
        """
        report = self.report
        self._waiting.extend(self._ready(found))
        report.left = len(self._waiting)
        if not self._waiting:
            return
        user, instance = self._dead.session.user, default_instance()
        if not is_reply_to(f"{user}.{instance}"):
            raise UsageError(f"user {user!r} has other characters than A-Z a-z 0-9 _ - and can get no replies")
        self._reply_to = await self._dead.session.listen(instance, self._on_reply, self._on_lost)
        try:
            await self._publish(self._pace.canaries)
            if await self._goes_well():
                await self._publish(len(self._waiting))
                await self._await_ends()
        except (UnavailableError, DeniedError) as error:
            report.stopped, report.trouble = str(error), error

    def _ready(self, found: Sequence[Found]) -> list[Found]:
        """The jobs that can be replayed; of several messages of one job the one that was edited last."""
        now_ms = int(time.time() * 1000)
        chosen: dict[str, Found] = {}
        for each in found:
            job = each.job
            why = obstacle(job, queue=self._dead.queue, now_ms=now_ms, stores=self._results is not None)
            if why is not None:
                self.report.refused[job.name] = why
                continue
            other = chosen.get(job.name)
            if other is None or (job.edited_at_ms or 0) > (other.job.edited_at_ms or 0):
                chosen[job.name] = each
        return list(chosen.values())

    # ── publishing ──────────────────────────────────────────────────────────────────────────────

    async def _publish(self, count: int) -> None:
        """Replay so many more jobs at the pace, or until something stops it."""
        loop = asyncio.get_running_loop()
        report, due, said = self.report, loop.time(), loop.time()
        target = len(report.replayed) + count
        while self._waiting and len(report.replayed) < target and report.stopped is None:
            await asyncio.sleep(max(0.0, due - loop.time()))
            # A pause of the broker or of Redis is not made up for by a burst.
            due = max(due, loop.time()) + 1.0 / self._pace.rate
            await self._publish_one(self._waiting.popleft())
            report.left = len(self._waiting)
            if loop.time() - said > _SAY_EVERY_S:
                said = loop.time()
                self._say(f"{report}; {report.left} to go")

    async def _publish_one(self, found: Found) -> None:
        """Delete the stored error, publish, await the confirm, and only then take the dead job away."""
        job, report, session = found.job, self.report, self._dead.session
        assert job.job_id is not None
        assert job.task is not None
        if copies.stored(job) and self._results is not None and not await self._clear(job.job_id, self._results):
            report.refused[job.job_id] = "it has succeeded already: its result is stored; discard it"
            return
        properties = like(
            found.held,
            copies.replayed(job, found.held.properties.headers or {}),
            correlation_id=job.job_id,
            reply_to=self._reply_to,
            user_id=session.user,
        )
        try:
            confirm = await session.publish("jobs", job.task, properties, found.held.body)
            if confirm is Confirm.ACKED:
                self._dead.take_away(found)
        except UnavailableError:
            report.unknown.append(job.job_id)
            report.left = len(self._waiting)
            raise
        if confirm is not Confirm.ACKED:
            self._waiting.appendleft(found)
            report.unroutable = confirm is Confirm.RETURNED
            what = "no queue takes it" if report.unroutable else "the broker refuses it now; try again later"
            report.stopped = f"job {job.job_id} of {job.task}: {what}"
            return
        report.replayed.append(job.job_id)
        if not report.ended(job.job_id):
            self._running.add(job.job_id)

    @staticmethod
    async def _clear(job_id: str, results: Results) -> bool:
        """Delete the error that is stored as the job's result; False: the job has succeeded meanwhile."""
        body = await results.get(job_id)
        if body is None:
            return True
        try:
            if decode_result(body, max_bytes=HARD_MAX_BLOB_BYTES).error is None:
                return False
        except WireError:
            pass  # nobody can read it, so it is no answer
        await results.forget(job_id)
        return True

    # ── fates ───────────────────────────────────────────────────────────────────────────────────

    def _on_reply(self, properties: Any, body: bytes) -> None:
        """Note how a job ended. That may come before the broker has confirmed the job; the first answer counts."""
        if properties.type != TYPE_RESULT:
            return
        job_id, error = str(properties.correlation_id), None
        # What is too long for a message is the value of a success: errors are short.
        if Blob.named_by(properties.headers or {}) is None:
            try:
                result = decode_result(body, max_bytes=HARD_MAX_BODY_BYTES)
            except WireError:
                return  # no worker's answer
            job_id, error = result.job_id, result.error
        if self.report.ended(job_id):
            return
        if error is None:
            self.report.succeeded.add(job_id)
        else:
            self.report.failed[job_id] = error
        self._running.discard(job_id)
        self._heard.set()

    def _on_lost(self) -> None:
        self._lost = True
        self._heard.set()

    async def _await_ends(self) -> None:
        """Await the ends of what was replayed, as long as is allowed.

        Raises:
            UnavailableError: The broker is gone.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._pace.wait_s
        while self._running and loop.time() < deadline:
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), deadline - loop.time())
            except TimeoutError:
                break
            if self._lost:
                raise UnavailableError("the connection to RabbitMQ was lost; how the jobs end is not known")

    async def _goes_well(self) -> bool:
        """Whether every canary has succeeded; else the replay stops here."""
        report = self.report
        if report.stopped is None and report.replayed:
            await self._await_ends()
            which = "the canary" if len(report.replayed) == 1 else "a canary"
            if report.failed:
                report.stopped = f"{which} failed again"
            elif self._running:
                report.stopped = f"{which} has not ended within {self._pace.wait_s:g} s"
            elif self._waiting:
                self._say(f"{report}; {report.left} to go at {self._pace.rate:g} per second")
        return report.stopped is None
