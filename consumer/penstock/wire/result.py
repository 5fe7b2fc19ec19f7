"""result.v1: a job's final answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.wire.bulk import Bulk
from penstock.wire.codec import Body, pack
from penstock.wire.envelope import (
    ATTEMPT,
    FLAG,
    JOB_ID,
    MOMENT,
    TASK,
    TASK_VERSION,
    TEXT,
    VERSION,
    Field,
    bad,
    check_fields,
    open_envelope,
)
from penstock.wire.failure import Failure
from penstock.wire.plain import plain
from penstock.wire.registry import MAX_BODY_BYTES

_KIND: Final = "result"
_OK: Final = "ok"
_ERROR: Final = "error"
_SCALARS: Final = frozenset((str, int, float, bool))
_DETAILS: Final = Field(
    "a map of str, int, float or bool",
    dict,
    lambda details: all(type(item) in _SCALARS for item in details.values()),
)
_FIELDS: Final[Mapping[str, Field]] = {
    "job_id": JOB_ID,
    "task": TASK,
    "tv": TASK_VERSION,
    "status": Field("'ok' or 'error'", str, lambda status: status in (_OK, _ERROR)),
    "attempt": ATTEMPT,
    "started_at": MOMENT,
    "finished_at": MOMENT,
    "worker": TEXT,
    "items": ATTEMPT,
}
_REQUIRED: Final = frozenset(_FIELDS) - {"started_at", "items"}
_ERROR_FIELDS: Final[Mapping[str, Field]] = {
    "code": TEXT,
    "message": TEXT,
    "retryable": FLAG,
    "exc_type": TEXT,
    "details": _DETAILS,
}
_ERROR_REQUIRED: Final = frozenset(("code", "message", "retryable"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A job's final answer. Times are Unix milliseconds."""

    job_id: str
    task: str
    tv: int
    #: Number of the attempt that ended the job; 0 when it was refused before it was tried.
    attempt: int
    finished_at: int
    #: Name of the worker that answered.
    worker: str
    #: None: the attempt never started, or its child died.
    started_at: int | None = None
    #: The task's answer; None, too, when there is an error.
    value: Any = None
    #: None: the job succeeded.
    error: Failure | None = None
    #: How many items the task has yielded in that attempt; None: it yields none, or there is an error.
    items: int | None = None


def encode_result(
    result: Result,
    *,
    max_bytes: int = MAX_BODY_BYTES,
    convert: Callable[[Any, int, int], tuple[Any, Bulk]] | None = None,
) -> bytes:
    """The canonical result.v1 bytes of a result.

    The worker vouches for the fields of the envelope; only `value` and the details of `error` are checked.

    Args:
        result: The result.
        max_bytes: Longest body; defaults to `MAX_BODY_BYTES` (1 MiB).
        convert: What makes the value one of the profile's, given its level of nesting and the number of values in
            the body up to it, and the large bins for which something else stands in it. Defaults to what `codec.encode`
            does.

    Raises:
        WireError: `BAD_ENVELOPE` when the value cannot travel; `TOO_LARGE`.
    """
    fields: dict[str, Any] = {
        "v": VERSION,
        "kind": _KIND,
        "job_id": result.job_id,
        "task": result.task,
        "tv": result.tv,
    }
    bulk = None
    if result.error is None:
        fields["status"] = _OK
        nodes = 23 if result.items is None else 25
        if convert is None:
            fields["result"] = plain(result.value, max_bytes=max_bytes, name="result", level=2, nodes=nodes)
        else:
            fields["result"], bulk = convert(result.value, 2, nodes)
    else:
        fields["status"] = _ERROR
        fields["error"] = _error_fields(result.error, max_bytes)
    fields["attempt"] = result.attempt
    if result.started_at is not None:
        fields["started_at"] = result.started_at
    fields["finished_at"] = result.finished_at
    fields["worker"] = result.worker
    if result.items is not None and result.error is None:
        fields["items"] = result.items
    return pack(fields, max_bytes=max_bytes, bulk=bulk)


def _error_fields(failure: Failure, max_bytes: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "code": failure.code,
        "message": failure.message,
        "retryable": failure.retryable,
    }
    if failure.exc_type is not None:
        fields["exc_type"] = failure.exc_type
    if failure.details:
        details = plain(failure.details, max_bytes=max_bytes, name="error.details", level=3, nodes=33)
        check_fields({"details": details}, _ERROR_FIELDS, frozenset(), where="error.")
        fields["details"] = details
    return fields


def decode_result(body: Body, *, max_bytes: int = MAX_BODY_BYTES) -> Result:
    """The result of a result.v1 body, after every check of PROFILE.md.

    Raises:
        WireError: `TOO_LARGE`, `BAD_ENVELOPE` or `UNSUPPORTED_ENVELOPE`.
    """
    fields = open_envelope(body, _KIND, max_bytes=max_bytes)
    check_fields(fields, _FIELDS, _REQUIRED)
    succeeded = fields["status"] == _OK
    if succeeded and "result" not in fields:
        raise bad("result is missing though status is 'ok'")
    return Result(
        job_id=fields["job_id"],
        task=fields["task"],
        tv=fields["tv"],
        attempt=fields["attempt"],
        started_at=fields.get("started_at"),
        finished_at=fields["finished_at"],
        worker=fields["worker"],
        value=fields["result"] if succeeded else None,
        error=None if succeeded else _failure(fields.get("error")),
        items=fields.get("items") if succeeded else None,
    )


def _failure(fields: Any) -> Failure:
    if type(fields) is not dict:
        raise bad("error must be a map when status is 'error'")
    check_fields(fields, _ERROR_FIELDS, _ERROR_REQUIRED, where="error.")
    return Failure(
        code=fields["code"],
        message=fields["message"],
        retryable=fields["retryable"],
        exc_type=fields.get("exc_type"),
        details=fields.get("details", {}),
    )
