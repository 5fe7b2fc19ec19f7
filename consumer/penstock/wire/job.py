"""job.v1: one request to run a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from penstock.wire.codec import Body, pack
from penstock.wire.envelope import (
    JOB_ID,
    MAP,
    MOMENT,
    NOTES,
    TASK,
    TASK_VERSION,
    VERSION,
    Field,
    check_fields,
    open_envelope,
)
from penstock.wire.plain import plain
from penstock.wire.registry import MAX_BODY_BYTES

_KIND: Final = "job"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_REQUIRED: Final = frozenset(("id", "task", "tv", "args", "created_at"))
_FIELDS: Final[Mapping[str, Field]] = {
    "id": JOB_ID,
    "task": TASK,
    "tv": TASK_VERSION,
    "args": MAP,
    "created_at": MOMENT,
    "deadline": MOMENT,
    "meta": NOTES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request to run a task. Times are Unix milliseconds."""

    #: UUIDv7 in lower case.
    id: str
    #: `<queue>.<function>`.
    task: str
    #: Version of the task's contract, from 1.
    tv: int
    #: The arguments by name.
    args: Mapping[str, Any]
    created_at: int
    #: After this moment the job is not started and not retried; None: there is no such moment.
    deadline: int | None = None
    #: The caller's own notes.
    meta: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


def encode_job(job: Job, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The canonical job.v1 bytes of a job.

    Raises:
        WireError: `BAD_ENVELOPE` when a field breaks its rule or an argument cannot travel; `TOO_LARGE`.
    """
    fields: dict[str, Any] = {
        "v": VERSION,
        "kind": _KIND,
        "id": job.id,
        "task": job.task,
        "tv": job.tv,
        "args": dict(job.args),
        "created_at": job.created_at,
    }
    if job.deadline is not None:
        fields["deadline"] = job.deadline
    if job.meta:
        fields["meta"] = dict(job.meta)
    check_fields(fields, _FIELDS, _REQUIRED)
    nodes = 1 + 2 * len(fields) + 2 * len(job.meta)
    fields["args"] = plain(fields["args"], max_bytes=max_bytes, name="args", level=2, nodes=nodes)
    if job.meta:
        fields["meta"] = plain(fields["meta"], max_bytes=max_bytes, name="meta", level=2)
    return pack(fields, max_bytes=max_bytes)


def decode_job(body: Body, *, max_bytes: int = MAX_BODY_BYTES) -> Job:
    """The job of a job.v1 body, after every check of PROFILE.md.

    Raises:
        WireError: `TOO_LARGE`, `BAD_ENVELOPE` or `UNSUPPORTED_ENVELOPE`.
    """
    fields = open_envelope(body, _KIND, max_bytes=max_bytes)
    check_fields(fields, _FIELDS, _REQUIRED)
    return Job(
        id=fields["id"],
        task=fields["task"],
        tv=fields["tv"],
        args=fields["args"],
        created_at=fields["created_at"],
        deadline=fields.get("deadline"),
        meta=fields.get("meta", _NOTHING),
    )
