"""Which dead jobs died of the same thing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from penstock.admin.dead_job import DeadJob

_FRAME: Final = re.compile(r'File "([^"\n]*)", line \d+(?:,? in ([^\n]*))?')
#: What differs from job to job within one message, in the order in which it is taken out.
_VARYING: Final = (
    (re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|`[^`]*`|«[^»]*»"), "'…'"),
    (re.compile(r"\b(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|0x[0-9a-fA-F]+)\b"), "#"),
    (re.compile(r"\b(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"), "#"),
    (re.compile(r"\d+(?:[.,:_]\d+)*"), "#"),
)


def fingerprint(job: DeadJob) -> str:
    """Twelve hex digits that are the same for jobs of one task that died of the same thing.

    They are a hash of task, code, class of the exception, its message without what varies, and the innermost frame.
    """
    parts = (job.task or "", job.code, job.exc_type or "", pattern(job.message), innermost(job.trace))
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def pattern(message: str) -> str:
    """A message with every number, id and quoted part made the same."""
    for varying, same in _VARYING:
        message = varying.sub(same, message)
    return message


def innermost(trace: str) -> str:
    """File and function in which it happened, without the line, which moves with every edit; "" without a trace.

    A traceback names it last, a stack of faulthandler first.
    """
    frames = _FRAME.findall(trace)
    if not frames:
        return ""
    file, function = frames[0 if "most recent call first" in trace else -1]
    return f"{file.rpartition('/')[2]}:{function}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Jobs with one fingerprint.

    Attributes:
        fingerprint: Theirs.
        count: How many they are.
        first_ms: When the first of them was given up, Unix ms; None: not known.
        last_ms: When the last of them was.
        example: One of them: the last one.
    """

    fingerprint: str
    count: int
    first_ms: int | None
    last_ms: int | None
    example: DeadJob


def groups(jobs: Iterable[DeadJob]) -> list[Group]:
    """The jobs by fingerprint, the largest group first."""
    found: dict[str, list[DeadJob]] = {}
    for job in jobs:
        found.setdefault(fingerprint(job), []).append(job)
    made = [_group(key, members) for key, members in found.items()]
    return sorted(made, key=lambda group: (-group.count, group.fingerprint))


def _group(key: str, members: list[DeadJob]) -> Group:
    times = [job.failed_at_ms for job in members if job.failed_at_ms is not None]
    return Group(
        fingerprint=key,
        count=len(members),
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        example=max(members, key=lambda job: job.failed_at_ms or 0),
    )
