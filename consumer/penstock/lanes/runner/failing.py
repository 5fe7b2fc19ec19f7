"""What is said of an exception: to the caller its class and text, to the log the traceback from the task on."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

from penstock.schema.misfit import Misfit
from penstock.wire.failure import Failure, WireError
from penstock.wire.registry import ErrorCode

_TRACEBACK_BYTES: Final = 8192
#: Where tasks are called from.
_CALLERS: Final = frozenset(
    str(Path(__file__).with_name(name)) for name in ("execute.py", "attempt.py", "together.py", "items.py")
)


def text(error: BaseException) -> str:
    """`ValueError: what it says`; an exception that cannot say anything is named at least."""
    kind = type(error).__name__
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 -- an exception's __str__ is user code, too
        said = ""
    return f"{kind}: {said}" if said else kind


def trace(error: BaseException) -> str:
    """The traceback from the task's own frame on."""
    frames = traceback.extract_tb(error.__traceback__)
    # Tries within the slot go through tenacity: what lies before the call of the task is ours.
    called = max((i for i, frame in enumerate(frames) if frame.filename in _CALLERS), default=-1)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames[called + 1 :])]
    return "".join([*lines, *traceback.format_exception_only(error)])[-_TRACEBACK_BYTES:].rstrip()


def unfit(error: BaseException, what: str = "result") -> Failure:
    """Why a value cannot be the result, or an item."""
    if isinstance(error, Misfit):
        details = error.details(what)
        return Failure(code=ErrorCode.RESULT_INVALID, message=error.text(what), retryable=False, details=details)
    if isinstance(error, WireError) and error.code is ErrorCode.TOO_LARGE:
        return Failure(code=ErrorCode.RESULT_TOO_LARGE, message=str(error), retryable=False)
    said = str(error) if isinstance(error, WireError) else f"reading the {what} failed: {text(error)}"
    return Failure(code=ErrorCode.RESULT_INVALID, message=said, retryable=False)
