"""Compressed bodies: one gzip member without optional fields, told by its first byte, with which no map begins."""

from __future__ import annotations

import zlib
from typing import Final

from penstock.wire.codec import Body
from penstock.wire.failure import WireError
from penstock.wire.registry import COMPRESS_FROM_BYTES, ErrorCode

#: The first bytes of a gzip member (RFC 1952, section 2.3.1).
_GZIP: Final = b"\x1f\x8b"
#: Position of the byte that says which optional fields there are; not all readers skip the same ones.
_FLAGS: Final = 3
#: zlib's name for "a gzip header and trailer around a window of 32 KiB".
_GZIP_BITS: Final = 31
#: A tenth longer than the best, in a quarter of the time.
_LEVEL: Final = 1


def is_compressed(body: Body) -> bool:
    """Whether a body is compressed."""
    return bytes(body[:2]) == _GZIP


def compressed(body: bytes) -> bytes:
    """The body, compressed if it is long enough and becomes shorter; the same bytes every time."""
    if len(body) < COMPRESS_FROM_BYTES:
        return body
    short = zlib.compress(body, _LEVEL, _GZIP_BITS)
    return short if len(short) < len(body) else body


def inflated(body: Body, *, max_bytes: int) -> Body:
    """The bytes that a compressed body stands for, at most `max_bytes`; a body that is not compressed as it is.

    Raises:
        WireError: `TOO_LARGE` as soon as there are more; `BAD_ENVELOPE` when it is not one whole gzip member.
    """
    if not is_compressed(body):
        return body
    if bytes(body[_FLAGS : _FLAGS + 1]) > b"\0":
        raise WireError(ErrorCode.BAD_ENVELOPE, "the gzip body has optional fields")
    reader = zlib.decompressobj(_GZIP_BITS)
    try:
        made = reader.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise WireError(ErrorCode.BAD_ENVELOPE, f"the gzip body is broken: {error}") from None
    if len(made) > max_bytes:
        text = f"the gzip body inflates to more than {max_bytes} bytes, the limit"
        raise WireError(ErrorCode.TOO_LARGE, text)
    if not reader.eof:
        raise WireError(ErrorCode.BAD_ENVELOPE, "the gzip body ends before its end")
    if reader.unused_data:
        raise WireError(ErrorCode.BAD_ENVELOPE, "bytes follow the gzip body")
    return made
