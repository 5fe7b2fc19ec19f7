"""Tables, times and sizes for people."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from penstock.admin.view import one_line

#: Width where there is no terminal; long enough that a program's log loses little.
_WIDTH: Final = 200
_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table whose last column is cut to fit the terminal."""
    safe = [[one_line(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in safe) for column in range(len(heads))]
    total = shutil.get_terminal_size((_WIDTH, 0)).columns
    last = max(20, total - sum(widths[:-1]) - 2 * (len(heads) - 1))
    for row in safe:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        yield "  ".join([*cells, cut(row[-1], last)]).rstrip()


def cut(text: str, length: int) -> str:
    """The text, at most so long; what was cut off is shown by an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def moment(ms: int | None) -> str:
    """A time in UTC, to the second; `-` when it is not known."""
    if ms is None:
        return "-"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ms)


def age(ms: int | None) -> str:
    """How long ago that was: `3 h ago`; `in 3 h` when it is yet to come; "" when it is not known."""
    if ms is None:
        return ""
    seconds = time.time() - ms / 1000
    for unit, size in _UNITS:
        if abs(seconds) >= size:
            text = f"{int(abs(seconds) // size)} {unit}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "now"


def megabytes(size: int) -> str:
    """A size in bytes, readable."""
    return f"{size / 2**20:.1f} MiB"
