"""What job.v1 and result.v1 have in common: the order of the checks, and fields with their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from penstock.wire.codec import Body, decode
from penstock.wire.compression import inflated
from penstock.wire.failure import WireError
from penstock.wire.headers import is_job_id, is_task
from penstock.wire.registry import MAX_TASK_BYTES, ErrorCode

VERSION: Final = 1
_MAX_INT32: Final = 2**31 - 1


class Field(NamedTuple):
    """The type of one field."""

    #: Completes the sentence "`field` must be ...".
    wanted: str
    kind: type
    #: What a value of this kind must hold besides; None: nothing.
    holds: Callable[[Any], object] | None = None


TEXT: Final = Field("a str", str)
FLAG: Final = Field("a bool", bool)
MAP: Final = Field("a map", dict)
NOTES: Final = Field("a map of str", dict, lambda notes: all(type(note) is str for note in notes.values()))
JOB_ID: Final = Field("a UUIDv7 in lower case", str, is_job_id)
TASK: Final = Field(f"<queue>.<function> of at most {MAX_TASK_BYTES} bytes", str, is_task)
TASK_VERSION: Final = Field("an int of 1 to 2^31-1", int, lambda number: 1 <= number <= _MAX_INT32)
ATTEMPT: Final = Field("an int of 0 to 2^31-1", int, lambda number: 0 <= number <= _MAX_INT32)
MOMENT: Final = Field("an int of Unix milliseconds", int, lambda number: number >= 0)


def open_envelope(body: Body, kind: str, *, max_bytes: int) -> dict[str, Any]:
    """The fields of a body, after the profile, `v` and `kind` have been checked in this order.

    Raises:
        WireError: `TOO_LARGE`, `BAD_ENVELOPE`, or `UNSUPPORTED_ENVELOPE` for a version other than 1.
    """
    fields = decode(inflated(body, max_bytes=max_bytes), max_bytes=max_bytes)
    if type(fields) is not dict:
        raise bad("the body is no map")
    version = fields.get("v")
    if type(version) is not int:
        raise bad("v must be an int" if "v" in fields else "v is missing")
    if version != VERSION:
        text = f"the envelope has version {version}; this reader knows version {VERSION} only"
        raise WireError(ErrorCode.UNSUPPORTED_ENVELOPE, text)
    if fields.get("kind") != kind:
        raise bad(f"kind must be {kind!r}")
    return fields


def check_fields(
    fields: Mapping[str, Any], known: Mapping[str, Field], required: frozenset[str], *, where: str = ""
) -> None:
    """Hold every known field against its type; unknown fields pass.

    Raises:
        WireError: `BAD_ENVELOPE`: a required field is missing or a field has the wrong type.
    """
    if not required <= fields.keys():
        raise bad(f"{where}{min(required - fields.keys())} is missing")
    for name, value in fields.items():
        if name in known:
            wanted, kind, holds = known[name]
            if type(value) is not kind or (holds is not None and not holds(value)):
                raise bad(f"{where}{name} must be {wanted}")


def bad(what: str) -> WireError:
    """`what`, as a `BAD_ENVELOPE`."""
    return WireError(ErrorCode.BAD_ENVELOPE, what)
