"""Values of the wire as JSON and back, and text of others made safe for a terminal.

JSON has no bytes and no moments, so they are maps with one key that begins with a dollar: `{"$bytes": "<base64>"}`,
`{"$time": "2026-01-31T12:00:00+00:00"}`, `{"$timestamp": [seconds, nanoseconds]}`, `{"$float": "nan"}`. A key of a map
that begins with a dollar itself gets one more in front.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from datetime import datetime
from typing import Any, Final

from penstock.wire.codec import decode

_BYTES, _TIME, _TIMESTAMP, _FLOAT = "$bytes", "$time", "$timestamp", "$float"
_SPECIAL: Final = (_BYTES, _TIME, _TIMESTAMP, _FLOAT)
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def to_json(value: Any) -> Any:
    """A value of a body or a header as JSON has it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: str(value)}
    if isinstance(value, int):
        return int(value)  # pika's 64-bit integers are a class of their own
    if isinstance(value, bytes | bytearray):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, dict):
        return {f"${key}" if str(key).startswith("$") else str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if hasattr(value, "nanoseconds"):  # msgpack's, finer than a datetime
        return {_TIMESTAMP: [value.seconds, value.nanoseconds]}
    return str(value)


def from_json(value: Any) -> Any:
    """The value that `to_json` made this of.

    Raises:
        ValueError: A special map is malformed, or another key begins with a single dollar.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(key, inner)] = value.items()
        if key in _SPECIAL:
            return _special(key, inner)
    made = {}
    for key, item in value.items():
        if key.startswith("$") and not key.startswith("$$"):
            raise ValueError(f"the key {key!r} is none of {', '.join(_SPECIAL)}; write a dollar as $$")
        made[key.removeprefix("$")] = from_json(item)
    return made


def _special(key: str, inner: Any) -> Any:
    try:
        if key == _BYTES:
            return base64.b64decode(inner, validate=True)
        if key == _TIME:
            return datetime.fromisoformat(inner)
        if key == _FLOAT:
            return float(inner)
        seconds, nanoseconds = inner
        # The timestamp of the profile with 12 bytes: only wire and lanes know msgpack itself.
        return decode(b"\xc7\x0c\xff" + struct.pack(">Iq", nanoseconds, seconds))
    except (ValueError, TypeError, binascii.Error, struct.error) as error:
        raise ValueError(f"{key}: {error}") from error


def printable(text: str) -> str:
    """Text of somebody else for a terminal: it can neither move the cursor nor turn the line around."""
    return _UNSAFE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The same in one line."""
    return printable(" ".join(text.split()))
