"""Encodes and decodes one value of the penstock msgpack profile."""

from __future__ import annotations

import mmap
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from msgpack import Timestamp, packb, unpackb

from penstock.wire.bulk import Bulk
from penstock.wire.failure import WireError
from penstock.wire.plain import plain
from penstock.wire.registry import MAX_BODY_BYTES, ErrorCode
from penstock.wire.scan import scan

#: What a body may lie in.
Body: TypeAlias = bytes | bytearray | memoryview | mmap.mmap

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def encode(value: Any, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The canonical bytes of a value.

    Besides None, bool, int, float, str, bytes, list and dict it takes what library calls return: a tuple
    becomes an array; a dataclass a map in the order of its fields; another mapping a map sorted by key; an
    enum member its value; a bytearray or memoryview a bin; a datetime with a time zone and a
    `msgpack.Timestamp` a timestamp; what has `tolist()` or `item()`, such as numpy's arrays and scalars,
    what that returns. Sets, Decimal, UUID, complex numbers, datetimes without a zone and everything else
    are refused.

    Args:
        value: What to encode.
        max_bytes: Longest result; defaults to `MAX_BODY_BYTES` (1 MiB).

    Raises:
        WireError: `BAD_ENVELOPE` when the profile cannot carry a part of the value, which the message
            names; `TOO_LARGE` when the bytes would be too many.
    """
    return pack(plain(value, max_bytes=max_bytes), max_bytes=max_bytes)


def pack(value: Any, *, max_bytes: int, bulk: Bulk | None = None) -> bytes:
    """The bytes of a value that `plain` has made, in the order that it has. Raises as `encode`.

    `bulk` has the large bins for which something else stands in the value.
    """
    try:
        body: bytes = packb(value)
    except UnicodeEncodeError:
        where = (_lone_surrogate(value) or "").lstrip(".") or "the value"
        text = f"{where}: the str holds a lone surrogate, which UTF-8 cannot carry; send it as bytes"
        raise WireError(ErrorCode.BAD_ENVELOPE, text) from None
    size = len(body) if bulk is None else bulk.grown(body)
    if size > max_bytes:
        text = f"the body would be {size} bytes long; the limit is {max_bytes}"
        raise WireError(ErrorCode.TOO_LARGE, text)
    return body if bulk is None else bulk.put_in(body)


def decode(body: Body, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The value of a body, after every rule of the profile has been checked.

    A timestamp is an aware datetime in UTC, or a `msgpack.Timestamp` when its nanoseconds are no whole
    number of microseconds, so that encoding gives back what was decoded.

    Args:
        body: The bytes; they are not kept.
        max_bytes: Longest body; defaults to `MAX_BODY_BYTES` (1 MiB).

    Raises:
        WireError: `TOO_LARGE`, or `BAD_ENVELOPE` naming the byte and the rule.
    """
    size = len(body) if type(body) is bytes else memoryview(body).nbytes
    if size > max_bytes:
        text = f"the body is {size} bytes long; the limit is {max_bytes} (rule P1 of the profile)"
        raise WireError(ErrorCode.TOO_LARGE, text)
    if not isinstance(body, bytes | mmap.mmap):
        body = bytes(body)
    found = scan(body)
    keys = 0

    def count_keys(decoded: dict[str, Any]) -> dict[str, Any]:
        nonlocal keys
        keys += len(decoded)
        return decoded

    try:
        value = unpackb(body, object_hook=count_keys, timestamp=0 if found.finer_than_us else 3)
    except UnicodeDecodeError as error:
        text = f"byte {body.find(error.object) + error.start}: a str is not UTF-8 (rule P6 of the profile)"
        raise WireError(ErrorCode.BAD_ENVELOPE, text) from None
    if keys != found.pairs:
        unpackb(body, object_pairs_hook=_refuse_equal_keys)
    return _with_datetimes(value) if found.finer_than_us else value


def _refuse_equal_keys(pairs: list[tuple[str, Any]]) -> None:
    """Name the key; called for map after map of a body in which some key is not unique."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            text = f"a map has the key {key[:60]!a} twice (rule P5 of the profile)"
            raise WireError(ErrorCode.BAD_ENVELOPE, text)
        seen.add(key)


def _with_datetimes(value: Any) -> Any:
    """Replace each Timestamp that a datetime can hold."""
    if isinstance(value, Timestamp):
        if value.nanoseconds % 1000:
            return value
        return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanoseconds // 1000)
    if isinstance(value, list):
        return [_with_datetimes(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_datetimes(item) for key, item in value.items()}
    return value


def _lone_surrogate(value: Any) -> str | None:
    """The path to the first str that UTF-8 cannot carry; None when all can."""
    if isinstance(value, str):
        return None if _is_utf8(value) else ""
    if isinstance(value, dict):
        steps = [(f".{key}" if _is_utf8(key) else f"[{key[:40]!a}]", key, item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        steps = [(f"[{index}]", "", item) for index, item in enumerate(value)]
    else:
        return None
    for step, key, item in steps:
        if (below := "" if not _is_utf8(key) else _lone_surrogate(item)) is not None:
            return step + below
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
