"""How the items of a job travel and how they lie in Redis, and what progress looks like: contracts/PROFILE.md."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgpack

from penstock.wire.codec import decode, encode

_FENCE: Final = struct.Struct(">Q")
_LENGTH: Final = struct.Struct(">I")
#: Bytes of the fence that precedes everything, and of the length before each item.
FENCE_BYTES: Final = _FENCE.size
LENGTH_BYTES: Final = _LENGTH.size
#: What an item.v1 has besides its item when that is the only one, in bytes: the head of an array.
HEAD_BYTES: Final = 1
#: Level of nesting of an item, and values up to it: it is an element of that array.
LEVEL: Final = 2
NODES: Final = 2


def fence_bytes(fence: int) -> bytes:
    """A fence as it lies before the items; later ones are larger as bytes, too."""
    return _FENCE.pack(fence)


def framed(item: bytes) -> bytes:
    """An item with its length before it."""
    return _LENGTH.pack(len(item)) + item


def fence_of(log: bytes) -> int:
    """The fence of the start whose items, or whose progress, these bytes are.

    Raises:
        struct.error: They are too short.
    """
    fence: int = _FENCE.unpack_from(log)[0]
    return fence


def items_of(log: bytes) -> Iterator[bytes]:
    """The items after the fence, one after the other; what is cut off at the end is left out."""
    at = FENCE_BYTES
    while at + LENGTH_BYTES <= len(log):
        end = at + LENGTH_BYTES + _LENGTH.unpack_from(log, at)[0]
        if end > len(log):
            return
        yield log[at + LENGTH_BYTES : end]
        at = end


def together(items: Sequence[bytes]) -> bytes:
    """The body of an item.v1."""
    head: bytes = msgpack.Packer().pack_array_header(len(items))
    return b"".join((head, *items))


def apart(body: bytes) -> list[bytes]:
    """The items of an item.v1.

    Raises:
        WireError: The body breaks the profile.
        ValueError: It is no array.
    """
    decode(body)
    reader = msgpack.Unpacker(max_buffer_size=len(body))
    reader.feed(body)
    items = []
    for _ in range(reader.read_array_header()):
        start = reader.tell()
        reader.skip()
        items.append(body[start : reader.tell()])
    return items


def encode_progress(fraction: float, text: str) -> bytes:
    """The body of a progress.v1."""
    return encode({"fraction": fraction, "text": text})


def decode_progress(body: bytes) -> tuple[float, str]:
    """Fraction and text of a progress.v1.

    Raises:
        WireError: The body breaks the profile.
        KeyError: It is not the map that it should be.
    """
    fields: dict[str, Any] = decode(body)
    return float(fields["fraction"]), str(fields["text"])
