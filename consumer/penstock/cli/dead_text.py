"""What `penstock dead` says: tables, one job in full, the report of a replay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from penstock.admin.dead_job import DeadJob
from penstock.admin.dead_letters import Findings, Found, decoded_body, summary
from penstock.admin.fingerprint import Group, fingerprint
from penstock.admin.report import Report
from penstock.admin.view import one_line, printable, to_json
from penstock.broker.dead_queue import MAX_KEPT_BYTES
from penstock.cli.tables import age, megabytes, moment, table
from penstock.domain.topology import Topology
from penstock.wire.headers import queue_of

#: Longest text of a body, in characters, that `show` prints, and most lines of one kind in a report.
_BODY_CHARACTERS: Final = 4096
_LINES: Final = 20


def job_table(jobs: Sequence[DeadJob]) -> Iterator[str]:
    """One line for each job."""
    rows = [
        (
            job.name,
            job.task or "-",
            job.code,
            str(job.attempt or "-"),
            moment(job.first_at_ms),
            moment(job.failed_at_ms),
            job.worker or "-",
            str(job.replays),
            job.message,
        )
        for job in jobs
    ]
    heads = ("JOB", "TASK", "CODE", "ATTEMPTS", "FIRST", "LAST", "WORKER", "REPLAYS", "MESSAGE")
    return table(heads, rows)


def group_table(groups: Sequence[Group]) -> Iterator[str]:
    """One line for each group."""
    rows = [
        (
            group.fingerprint,
            str(group.count),
            group.example.task or "-",
            group.example.code,
            moment(group.first_ms),
            moment(group.last_ms),
            group.example.name,
            group.example.message,
        )
        for group in groups
    ]
    return table(("FINGERPRINT", "COUNT", "TASK", "CODE", "FIRST", "LAST", "EXAMPLE", "MESSAGE"), rows)


def group_record(group: Group) -> dict[str, Any]:
    """A group for programs."""
    return {**asdict(group), "example": summary(group.example)}


def whole_job(found: Found, topology: Topology) -> Iterator[str]:
    """Everything of one job."""
    job = found.job
    for name, text in _facts(job, topology):
        if text:
            yield f"{name:<12}{one_line(text)}"
    yield from _body(found)
    if job.trace:
        yield "trace"
        yield from (f"    {line}" for line in printable(job.trace).splitlines())


def _facts(job: DeadJob, topology: Topology) -> Iterator[tuple[str, str]]:
    version = f"version {job.version}" if job.version else "version not said"
    yield "job", job.name
    yield (
        "task",
        f"{job.task or 'none that is of this queue'} ({version}{f', contract {job.contract}' * bool(job.contract)})",
    )
    yield "error", f"{job.code}: {job.message}"
    yield "exception", job.exc_type or ""
    yield "attempts", f"{job.attempt or '?'} ({job.crashes} crashed, {job.hangs} ran out of time)"
    yield "made", _when(job.made_at_ms)
    yield "first error", _when(job.first_at_ms)
    yield "given up", _when(job.failed_at_ms)
    if job.run_ms is not None:
        yield "time spent", f"{job.run_ms / 1000:g} s running, {(job.backoff_ms or 0) / 1000:g} s between attempts"
    yield "worker", job.worker or "none: the broker gave it up"
    peak = f", at most {megabytes(job.peak_rss)} resident" if job.peak_rss else ""
    yield "child", f"{job.exit}{peak}" if job.exit else ""
    origin = (
        f"{topology.name('jobs')} to {topology.work_queue(job.task.partition('.')[0])}" if job.task else "not known"
    )
    yield "origin", f"{origin}, from user {job.user or '(not said)'}"
    yield "result", str(job.mode)
    yield "deadline", _when(job.deadline_ms)
    yield "replays", str(job.replays)
    yield "edited", _when(job.edited_at_ms)
    yield "trace id", job.traceparent or ""
    yield "fingerprint", fingerprint(job)


def _origin(job: DeadJob, topology: Topology) -> str:
    if job.task is None:
        return "not known"
    return f"{topology.name('jobs')} to {topology.work_queue(queue_of(job.task))}"


def _when(ms: int | None) -> str:
    return f"{moment(ms)} UTC, {age(ms)}" if ms is not None else ""


def _body(found: Found) -> Iterator[str]:
    value, problem = decoded_body(found)
    size = f"{found.job.size} bytes"
    if problem is not None:
        yield f"body        {size}, which cannot be read: {one_line(problem)}"
        return
    args = value["args"] if isinstance(value, dict) and "args" in value else value
    yield f"arguments   {size} with the envelope"
    text = json.dumps(to_json(args), indent=2, ensure_ascii=False)
    yield from (f"    {line}" for line in printable(text[:_BODY_CHARACTERS]).splitlines())
    if len(text) > _BODY_CHARACTERS:
        yield f"    … {len(text) - _BODY_CHARACTERS} characters more: penstock dead export shows them"


def caveats(findings: Findings, scan: int) -> Iterator[str]:
    """What a look did not see, one sentence each."""
    look = findings.look
    if findings.more:
        yield f"{findings.more} more match; --limit takes more"
    if look.full:
        kept = megabytes(MAX_KEPT_BYTES)
        yield f"looked at {look.looked} of {look.ready} messages: their bodies are {kept} already; take them in parts"
    elif look.looked < min(look.ready, scan):
        yield f"saw {look.looked} of {look.ready} messages: somebody else is looking at the others"
    elif look.looked < look.ready:
        yield f"looked at the first {look.looked} of {look.ready} messages; --scan looks further"
    if look.others:
        yield "somebody else is looking at this queue now; what he holds is not shown here"


# ── the report of a replay ──────────────────────────────────────────────────────────────────────────


def report_lines(report: Report) -> Iterator[str]:
    """What a replay did."""
    yield str(report)
    failed = [f"  {job} {failure.code}: {one_line(failure.message)}" for job, failure in report.failed.items()]
    yield from _some(failed)
    yield from _some([f"  {job} was taken or not: it is still dead and may run" for job in report.unknown])
    yield from refusals(report.refused)
    if report.stopped:
        yield f"stopped: {report.stopped}; {report.left} left dead"


def refusals(refused: Mapping[str, str]) -> Iterator[str]:
    """Which jobs are not replayed, and why."""
    if refused:
        yield f"not replayed {len(refused)}:"
        yield from _some([f"  {job}: {why}" for job, why in refused.items()])


def _some(rows: list[str]) -> Iterator[str]:
    yield from rows[:_LINES]
    if len(rows) > _LINES:
        yield f"  … {len(rows) - _LINES} more"


def report_record(report: Report) -> dict[str, Any]:
    """A report for programs."""
    return {
        "replayed": report.replayed,
        "succeeded": sorted(report.succeeded),
        "failed": {job: {"code": failure.code, "message": failure.message} for job, failure in report.failed.items()},
        "running": report.running,
        "unknown": report.unknown,
        "refused": report.refused,
        "left": report.left,
        "stopped": report.stopped,
    }
