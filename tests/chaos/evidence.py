"""What a run leaves behind, read back: the producer's journal, the ledger of executions, Redis, the dead queue."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack


@dataclass(frozen=True, slots=True)
class Seen:
    """A result as somebody saw it: an answer that names its execution, or an error."""

    nonce: str | None
    code: str = ""
    message: str = ""
    attempt: int = 0
    worker: str = ""


@dataclass(slots=True)
class Told:
    """What the producer knows of one job."""

    #: accepted, refused, unknown, or begun: it was killed in between.
    enqueued: str = "begun"
    results: list[Seen] = field(default_factory=list)
    #: Why there is no reply: the reply queue is gone.
    gone: str | None = None
    #: Why there is no result: none came while the producer waited.
    missing: str | None = None
    why: str = ""
    #: Whether the producer has told the workers, or was about to, to cancel it.
    cancelled: bool = False
    accepted_ns: int = 0
    ended_ns: int = 0


@dataclass(slots=True)
class Journal:
    """The producer's side of the ledger."""

    jobs: dict[str, Told] = field(default_factory=dict)
    #: Replies that it dropped, because nobody waited for them (any more).
    dropped: int = 0
    #: How often it reconnected, and how often the broker refused a job.
    reconnects: int = 0
    refusals: int = 0

    def told(self, job_id: str) -> Told:
        """What is known of a job."""
        return self.jobs.setdefault(job_id, Told())


@dataclass(frozen=True, slots=True)
class Execution:
    """One start of a job in a child. Times are Unix ns; an execution without end was killed."""

    attempt: int
    pid: int
    began_ns: int
    ended_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the checker judges."""

    journal: Journal
    executions: Mapping[str, list[Execution]]
    stored: Mapping[str, Seen]
    #: Error codes by job id; a job may be there more than once.
    dead: Mapping[str, list[str]]
    #: Messages that are left in other queues, by queue.
    left: Mapping[str, int]
    #: How often a worker lost all that it had in hand, and a producer the confirms of what it had published.
    disruptions: int = 0
    republications: int = 0
    #: Processes that outlived the run.
    stray: tuple[str, ...] = ()


def read_journal(path: Path) -> Journal:
    """The producer's journal; a line that was cut off by a kill is no line."""
    journal = Journal()
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        _enter(journal, line)
    return journal


def _enter(journal: Journal, line: Mapping[str, Any]) -> None:
    event = line["e"]
    if event == "enqueued":
        return
    if event == "end":
        journal.dropped += line.get("dropped", 0)
        journal.reconnects += line.get("reconnects", 0)
        journal.refusals += line.get("refusals", 0)
        return
    told = journal.told(line["id"])
    if event in ("accepted", "refused", "unknown"):
        told.enqueued, told.why = event, line.get("why", "")
        told.accepted_ns = line["t"]
    elif event == "result":
        told.results.append(_seen_by_producer(line))
        told.ended_ns = line["t"]
    elif event == "cancel":
        told.cancelled = True
    elif event == "gone":
        told.gone = line.get("why", "")
    elif event == "missing":
        told.missing = line.get("why", "")


def _seen_by_producer(line: Mapping[str, Any]) -> Seen:
    if line.get("ok"):
        return Seen(line["nonce"])
    return Seen(None, line["code"], line["message"], line.get("attempt", 0), line["worker"])


def read_result(body: bytes) -> tuple[str, Seen]:
    """The job's id and the result in result.v1 bytes. With msgpack alone: the product's decoder is not asked."""
    fields = msgpack.unpackb(body, strict_map_key=False)
    if fields["status"] == "ok":
        return fields["job_id"], Seen(fields["result"]["nonce"])
    error = fields["error"]
    return fields["job_id"], Seen(None, error["code"], error["message"], fields["attempt"], fields["worker"])


def read_executions(folder: Path) -> dict[str, list[Execution]]:
    """The ledger that the tasks write."""
    found: dict[str, list[Execution]] = {}
    for path in folder.glob("executions-*.log"):
        for job_id, execution in _executions(path.read_text().splitlines()):
            found.setdefault(job_id, []).append(execution)
    return found


def _executions(lines: Iterable[str]) -> Iterable[tuple[str, Execution]]:
    """Starts and ends alternate in a child, which runs one job at a time."""
    started: tuple[str, int, int, int] | None = None
    for line in lines:
        mark, job_id, attempt, pid, at = line.split()
        if mark == "E":
            assert started is not None
            yield started[0], Execution(*started[1:], int(at))
            started = None
            continue
        if started is not None:
            yield started[0], Execution(*started[1:], None)
        started = (job_id, int(attempt), int(pid), int(at))
    if started is not None:
        yield started[0], Execution(*started[1:], None)


def repeats(executions: Iterable[Execution]) -> int:
    """How many executions of a job there were beyond one for each of its attempts."""
    return sum(count - 1 for count in Counter(e.attempt for e in executions).values())
