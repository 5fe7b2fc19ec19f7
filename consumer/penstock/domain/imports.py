"""What to show of an import of user code that failed."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path

from penstock.errors import ContractError, DeclarationError

_TRACEBACK_BYTES = 8192
#: Where the frames come from that lie between penstock and the user's module.
_NOT_THE_USERS = (
    str(Path(__file__).parents[1]) + os.sep,
    str(Path(importlib.__file__).parent) + os.sep,
    "<frozen importlib",
)


def failure_text(error: BaseException) -> str:
    """What to show of an import that failed: the traceback from the user's first line on, or one sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    user = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS)]
    if isinstance(error, ContractError):
        return str(error)
    if isinstance(error, DeclarationError):
        return f"{error} ({user[-1].filename}, line {user[-1].lineno})" if user else str(error)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(user)] if user else []
    lines += traceback.format_exception_only(error)
    return "".join(lines)[-_TRACEBACK_BYTES:].rstrip()
