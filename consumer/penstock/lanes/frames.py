"""The protocol between a parent and its child: length-prefixed frames over a socketpair.

    frame   length:u32  kind:u8  number:u32  meta_length:u32  meta  body

Integers are big-endian; `length` counts everything after itself. `meta` is a msgpack array that both sides
know; `body` is opaque. `number` is that of the JOB which a frame is about. A body too long for a frame lies in a file
in memory: its descriptor comes with the frame (SCM_RIGHTS), whose kind has the highest bit set, and `body` is empty.

    parent ──▶ child    BOOT     meta [target, worker, max_body_bytes, contracts, max_blob_bytes, width]; to a child
                                 with one job at a time with a file in which the parent says which one is to end
                                 (runner/stop)
    child  ──▶ parent   READY    meta []
    child  ──▶ parent   FAILED   meta [what happened, it is about a contract]; the child then ends
    parent ──▶ child    JOB      meta [task, job id, attempt, version?, deadline?, fence, failures,
                                       max_result_bytes, sha256 of the file?, items are stored]  body job.v1
    parent ──▶ child    BATCH    meta [count]; the next so many JOBs are one batch
    child  ──▶ parent   OUTCOME  meta [kind, run_us]  body result.v1
                             or  meta [kind, run_us, sha256 of the file]
                             or  meta [kind, run_us, code, message, retryable, exc_type?, delay_s?, traceback?, tries,
                                       details]
    child  ──▶ parent   ITEM     meta [seq]  body one value of the profile; seq counts from 0
    parent ──▶ child    GRANT    meta [upto]; items with a seq below it may be sent, None: all. STREAM_WINDOW at first
    child  ──▶ parent   PROGRESS meta [fraction, text]
    child  ──▶ parent   BLOCKED  meta [seconds, stack]; number is that of the JOB which keeps the others of an async
                             child from going on, 0: it is none of them
    parent ──▶ child    CANCEL   meta []; the job of this number is to end. To a child with several jobs only: one that
                                 runs its job does not read
    child  ──▶ parent   CATALOG  meta [queues]; the child then ends
    parent ──▶ template STACK    meta []; with the file for the last stack of the child that is forked next
    parent ──▶ template FORK     meta of its Start; with the child's end of its line. One at a time
    template ─▶ parent  FORKED   meta [None], or [why not]
    child  ──▶ parent   BORN     meta [pid]; the first frame of a child that was forked
    parent closes                the child finishes the jobs that it has and ends
"""

from __future__ import annotations

import array
import socket
import struct
from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgpack

_HEADER: Final = struct.Struct(">IBII")
_AFTER_LENGTH: Final = _HEADER.size - 4
#: Bit of a frame's kind: a descriptor comes with it.
_WITH_FD: Final = 0x80
#: Most descriptors that one read takes; more than one write sends.
_MAX_FDS: Final = 8
_FD_BYTES: Final = array.array("i").itemsize
_ANCILLARY: Final = socket.CMSG_SPACE(_MAX_FDS * _FD_BYTES)
#: A descriptor is not for what user code starts; macOS has no such flag. A plain int, because the `|` of the
#: enum costs microseconds with each read.
_CLOSE_ON_EXEC: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_pack = msgpack.Packer(use_bin_type=True).pack


class Kind(IntEnum):
    """What a frame says."""

    BOOT = 1
    READY = 2
    FAILED = 3
    JOB = 4
    OUTCOME = 5
    CATALOG = 6
    BLOCKED = 7
    CANCEL = 8
    BATCH = 9
    ITEM = 10
    GRANT = 11
    PROGRESS = 12
    STACK = 13
    FORK = 14
    FORKED = 15
    BORN = 16


class Frame(NamedTuple):
    """One frame, taken apart."""

    kind: int
    number: int
    meta: list[Any]
    body: bytes
    #: What came with it; None: nothing, or this process had no descriptor left. Whoever takes it closes it.
    fd: int | None = None


def pack(
    kind: Kind, number: int, meta: list[Any] | tuple[Any, ...], body: bytes = b"", *, with_fd: bool = False
) -> bytes:
    """The bytes of one frame; `with_fd`: they are sent with a descriptor."""
    packed: bytes = _pack(meta)
    length = _AFTER_LENGTH + len(packed) + len(body)
    return _HEADER.pack(length, kind | _WITH_FD if with_fd else kind, number, len(packed)) + packed + body


def receive(line: socket.socket, most: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """Bytes from the line, b"" at its end, and the descriptors that came with them.

    Raises:
        BlockingIOError: There is nothing yet, and the line or the flags say not to wait.
        OSError: The line is broken.
    """
    data, ancillary, _, _ = line.recvmsg(most, _ANCILLARY, flags | _CLOSE_ON_EXEC)
    fds: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = array.array("i")
            whole.frombytes(content[: len(content) - len(content) % _FD_BYTES])
            fds += whole
    return data, fds


def send_with(line: socket.socket, data: bytes, fd: int) -> int:
    """Send bytes with a descriptor, which goes with the first of them; returns how many were taken.

    Raises:
        BlockingIOError: The line takes none now.
        OSError: The line is broken.
    """
    return line.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


class Reader:
    """Cuts a stream of bytes into frames.

    A frame that is larger than one read is collected in pieces and joined once, so that a body of many
    megabytes costs one copy, not one per read.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._fds: deque[int] = deque()
        self._held = 0
        self._wanted = _HEADER.size

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> list[Frame]:
        """The frames that are complete with this data and these descriptors, in order."""
        self._pieces.append(data)
        self._fds.extend(fds)
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

    def _cut(self, buffer: bytes) -> tuple[list[Frame], int]:
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
            body = buffer[body_start:after]
            if kind & _WITH_FD:
                # The line keeps the order of descriptors as it keeps that of bytes.
                fd = self._fds.popleft() if self._fds else None
                frames.append(Frame(kind & ~_WITH_FD, number, meta, body, fd))
            else:
                frames.append(Frame(kind, number, meta, body))
            start = after
        return frames, start


def _wanted(rest: bytes) -> int:
    """How many bytes the next frame needs before it is worth looking."""
    if len(rest) < _HEADER.size:
        return _HEADER.size
    return 4 + int(_HEADER.unpack_from(rest)[0])
