"""What went wrong: with bytes (`WireError`) and with a job (`Failure`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from penstock.wire.registry import MAX_ERROR_MESSAGE_BYTES, ErrorCode

_NO_DETAILS: Final[Mapping[str, str | int | float | bool]] = MappingProxyType({})
_BLANKS: Final = re.compile(r"[\t-\r\x85\u2028\u2029]+")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class WireError(ValueError):
    """Bytes that break the profile or the envelope, or a value that the profile cannot carry.

    Args:
        code: The code with which a job is answered: `BAD_ENVELOPE`, `TOO_LARGE` or `UNSUPPORTED_ENVELOPE`.
        message: One sentence: where (a byte offset or a path) and which rule.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job has no answer: the `error` of a result.v1.

    Any text is accepted and made fit to travel: line breaks become blanks, control characters and lone
    surrogates U+FFFD, and what exceeds `MAX_ERROR_MESSAGE_BYTES` is cut off at a character.
    """

    #: A code of the registry or one of the task's own.
    code: str
    #: One sentence for people.
    message: str
    #: Whether the same job might succeed another time.
    retryable: bool
    #: Name of the exception's class; None when it was no exception.
    exc_type: str | None = None
    #: Facts for programs.
    details: Mapping[str, str | int | float | bool] = field(default_factory=lambda: _NO_DETAILS)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", _tidy(self.code))
        object.__setattr__(self, "message", _tidy(self.message))
        if self.exc_type is not None:
            object.__setattr__(self, "exc_type", _tidy(self.exc_type))
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))


def _tidy(text: str) -> str:
    """`text` as one line of at most `MAX_ERROR_MESSAGE_BYTES` bytes of UTF-8."""
    text = str(text[:MAX_ERROR_MESSAGE_BYTES])
    if not text.isprintable():
        text = _UNSAFE.sub("\ufffd", _BLANKS.sub(" ", text))
    return text.encode()[:MAX_ERROR_MESSAGE_BYTES].decode(errors="ignore")
