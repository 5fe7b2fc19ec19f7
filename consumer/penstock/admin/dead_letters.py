"""The dead jobs of one queue: what is there, and taking it away."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

from penstock.admin import copies
from penstock.admin.dead_job import DeadJob, read
from penstock.admin.filters import Filter
from penstock.admin.fingerprint import fingerprint
from penstock.admin.view import to_json
from penstock.broker.dead_queue import DeadQueue, Held, Look
from penstock.broker.session import Session
from penstock.wire.codec import decode
from penstock.wire.compression import inflated
from penstock.wire.failure import WireError
from penstock.wire.registry import HARD_MAX_BODY_BYTES, NAMESPACE

#: Messages that are looked at by default.
SCAN: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A job and its message, which is held."""

    job: DeadJob
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look found.

    Attributes:
        found: The jobs that are meant, in the order of the queue.
        more: How many more are meant than were asked for.
        look: How far it went.
    """

    found: list[Found]
    more: int
    look: Look

    @property
    def jobs(self) -> list[DeadJob]:
        """The jobs alone."""
        return [each.job for each in self.found]


class DeadLetters:
    """The dead queue of one queue, and its jobs.

    async with open_dead_letters(url, "stats") as dead:
        findings = await dead.find(Filter(code="TASK_ERROR"))
    """

    def __init__(self, session: Session, queue: str, dead_queue: DeadQueue) -> None:
        self.session = session
        self.queue = queue
        self._dead_queue = dead_queue

    async def find(
        self, wanted: Filter, *, scan: int = SCAN, limit: int | None = None, bodies: bool = False
    ) -> Findings:
        """Look for jobs; those found are held until they are taken away or this is left.

        Args:
            wanted: Which ones.
            scan: Most messages to look at. Defaults to 10,000.
            limit: Most jobs to find, the oldest first; None: all.
            bodies: Whether their bodies are needed.

        Raises:
            TopologyError: There is no such queue.
            DeniedError: The user may not read it.
            UnavailableError: The broker is gone or does not answer.
        """
        found: list[Found] = []
        more = 0
        now_ms = int(time.time() * 1000)

        def see(held: Held) -> bool:
            nonlocal more
            job = read_job(held, queue=self.queue, session=self.session)
            if not wanted.matches(job, now_ms):
                return False
            if limit is not None and len(found) >= limit:
                more += 1
                return False
            found.append(Found(job=job, held=held if bodies else replace(held, body=b"")))
            return bodies

        look = await self._dead_queue.look(scan, see)
        return Findings(found=found, more=more, look=look)

    def take_away(self, found: Found) -> None:
        """The job leaves the queue."""
        self._dead_queue.take_away(found.held)

    async def edit(self, found: Found, body: bytes, *, deadline_ms: int | None, now_ms: int) -> bool:
        """Put a job with another body in its place; returns whether the broker took it."""
        key, headers = copies.edited(
            found.job, found.held.properties.headers or {}, queue=self.queue, deadline_ms=deadline_ms, now_ms=now_ms
        )
        return await self._dead_queue.replace(found.held, key, headers, body)


@asynccontextmanager
async def open_dead_letters(url: str, queue: str, *, namespace: str = NAMESPACE) -> AsyncIterator[DeadLetters]:
    """Connect; at the end what is still held goes back to its place.

    Raises:
        UsageError: The URL is malformed.
        UnavailableError: Nobody answers.
        DeniedError: The broker refuses the user, its password or the virtual host.
    """
    async with Session(url, name="penstock dead", namespace=namespace) as session:
        renew = partial(_renewed, queue=queue, session=session)
        async with DeadQueue(session, queue, renew) as dead_queue:
            yield DeadLetters(session, queue, dead_queue)


def read_job(held: Held, *, queue: str, session: Session) -> DeadJob:
    """The job of a message of the queue."""
    return read(held, queue=queue, return_exchange=session.topology.name("return"))


def _renewed(held: Held, *, queue: str, session: Session) -> tuple[str, dict[str, Any]]:
    return copies.renewed(read_job(held, queue=queue, session=session), held.properties.headers or {}, queue=queue)


# ── for programs ────────────────────────────────────────────────────────────────────────────────────


def summary(job: DeadJob) -> dict[str, Any]:
    """What is known of a job without its body, as JSON."""
    return {**asdict(job), "mode": str(job.mode), "fingerprint": fingerprint(job)}


def record(found: Found) -> dict[str, Any]:
    """Everything of a job, as JSON: enough to publish it again, and to read it."""
    held, properties = found.held, found.held.properties
    names = ("type", "message_id", "correlation_id", "reply_to", "user_id", "priority", "content_type", "timestamp")
    decoded, problem = decoded_body(found)
    return {
        **summary(found.job),
        "routing_key": held.routing_key,
        "headers": to_json(properties.headers or {}),
        "properties": {name: to_json(getattr(properties, name)) for name in names},
        "body": b64encode(held.body).decode(),
        "decoded": to_json(decoded),
        "undecodable": problem,
    }


def decoded_body(found: Found) -> tuple[Any, str | None]:
    """What a job's body holds, or why it cannot be read."""
    if found.job.blob is not None:
        return None, f"it lies in Redis, SHA-256 {found.job.blob.sha256}"
    body = found.held.body
    most = max(len(body), HARD_MAX_BODY_BYTES)
    try:
        return decode(inflated(body, max_bytes=most), max_bytes=most), None
    except WireError as error:
        return None, f"{error.code}: {error}"


def line(record: dict[str, Any]) -> str:
    """A record in one line; plain ASCII, so that nothing in it is more than data to a terminal."""
    return json.dumps(record)
