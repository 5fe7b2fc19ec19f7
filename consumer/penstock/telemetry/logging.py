"""Log records as one JSON object a line, or as text for a terminal.

Every record has `timestamp`, `level`, `service`, `message`; penstock's own add `event` (see the registry), the job's
`job_id`, `task`, `queue`, `attempt`, and `traceId` where a trace came along.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
#: Attributes that every record has: what is not among them came as `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(*, service: str, style: str, level: str) -> None:
    """Send the records of this process to stderr.

    Args:
        service: Value of the field `service`.
        style: `json`, `text`, or `auto`: text on a terminal, else JSON.
        level: Lowest level that is shown, for instance `INFO`.
    """
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # pika reports every step of every connection, and each error several times; broker/ says it once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, Any] = {
            "timestamp": _timestamp(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "message": record.getMessage(),
            **_fields(record),
        }
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`12:00:01 warning job.retry_scheduled  message  key=value ...`, and what is long on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        fields = _fields(record)
        event = fields.pop("event", record.name)
        long = [fields.pop(key) for key in ("traceback", "said") if key in fields]
        pairs = " ".join(f"{key}={value}" for key, value in fields.items())
        clock = _timestamp(record)[11:19]
        head = f"{clock} {record.levelname.lower():<8} {event}  {record.getMessage()}  {pairs}".rstrip()
        return "\n".join([head, *(_indented(text) for text in long)])


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {k: v for k, v in vars(record).items() if k not in _STANDARD and v is not None}
    if trace := _TRACEPARENT.fullmatch(str(fields.pop("traceparent", ""))):
        fields["traceId"] = trace[1]
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in str(text).splitlines())
