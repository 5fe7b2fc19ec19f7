"""The protocol between a parent and its child: length-prefixed frames over a socketpair.

    frame   length:u32  kind:u8  number:u32  meta_length:u32  meta  body

Integers are big-endian; `length` counts everything after itself. `meta` is a msgpack array that both sides
know; `body` is opaque. `number` ties an OUTCOME to its JOB.

    parent ──▶ child    BOOT     meta [target, worker, max_body_bytes, contracts]
    child  ──▶ parent   READY    meta []
    child  ──▶ parent   FAILED   meta [what happened]; the child then ends
    parent ──▶ child    JOB      meta [task, job id, attempt, version?, deadline?, fence, failures]  body job.v1
    child  ──▶ parent   OUTCOME  meta [kind, run_us]  body result.v1
                             or  meta [kind, run_us, code, message, retryable, exc_type?, delay_s?, traceback?, tries,
                                       details]
    child  ──▶ parent   CATALOG  meta [queues]; the child then ends
    parent closes                the child finishes the jobs that it has and ends
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgpack

_HEADER: Final = struct.Struct(">IBII")
_AFTER_LENGTH: Final = _HEADER.size - 4
_pack = msgpack.Packer(use_bin_type=True).pack


class Kind(IntEnum):
    """What a frame says."""

    BOOT = 1
    READY = 2
    FAILED = 3
    JOB = 4
    OUTCOME = 5
    CATALOG = 6


class Frame(NamedTuple):
    """One frame, taken apart."""

    kind: int
    number: int
    meta: list[Any]
    body: bytes


def pack(kind: Kind, number: int, meta: list[Any] | tuple[Any, ...], body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    packed: bytes = _pack(meta)
    length = _AFTER_LENGTH + len(packed) + len(body)
    return _HEADER.pack(length, kind, number, len(packed)) + packed + body


class Reader:
    """Cuts a stream of bytes into frames.

    A frame that is larger than one read is collected in pieces and joined once, so that a body of many
    megabytes costs one copy, not one per read.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = _HEADER.size

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with this data, in order."""
        self._pieces.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return []
        buffer = data if len(self._pieces) == 1 else b"".join(self._pieces)
        frames, start = self._cut(buffer)
        rest = buffer[start:]
        self._pieces = [rest] if rest else []
        self._held = len(rest)
        self._wanted = _wanted(rest)
        return frames

    @staticmethod
    def _cut(buffer: bytes) -> tuple[list[Frame], int]:
        frames = []
        start, end = 0, len(buffer)
        while end - start >= _HEADER.size:
            length, kind, number, meta_length = _HEADER.unpack_from(buffer, start)
            after = start + 4 + length
            if after > end:
                break
            meta_start = start + _HEADER.size
            body_start = meta_start + meta_length
            meta = msgpack.unpackb(buffer[meta_start:body_start])
            frames.append(Frame(kind, number, meta, buffer[body_start:after]))
            start = after
        return frames, start


def _wanted(rest: bytes) -> int:
    """How many bytes the next frame needs before it is worth looking."""
    if len(rest) < _HEADER.size:
        return _HEADER.size
    return 4 + int(_HEADER.unpack_from(rest)[0])
