"""Holds bytes against the profile before anything is built from them: the twin of Go's `wire.Check`.

It allocates nothing that grows with the body, so a hostile length costs nothing; afterwards every count is
known to be honest and msgpack may decode. Left to the decoder: UTF-8 (P6) and equal keys (P5).
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

from penstock.wire.failure import WireError
from penstock.wire.registry import MAX_DEPTH, MAX_NODES, ErrorCode

#: The moments that a timestamp may name: years 1 to 9999, in Unix seconds.
MIN_SECONDS: Final = -62_135_596_800
MAX_SECONDS: Final = 253_402_300_799
MAX_NANOSECONDS: Final = 999_999_999

#: First bytes that the scan tells apart by itself.
_FIXARRAY: Final = 0x90
_FIXSTR, _FIXSTR_31 = 0xA0, 0xBF
_ILLEGAL: Final = 0xC1
_UINT_64: Final = 0xCF
_FIXEXT_1, _FIXEXT_16 = 0xD4, 0xD8
_STR_8, _STR_32 = 0xD9, 0xDB
#: An array with more elements than this may be numeric data and is looked at as a whole.
_FEW: Final = 8

_TIMESTAMP: Final = 0xFF  # extension type -1
_SECONDS, _WORD, _FULL = 4, 8, 12  # its sizes
_U8, _U16, _U32 = struct.Struct(">B"), struct.Struct(">H"), struct.Struct(">I")
_TIMESTAMP_12: Final = struct.Struct(">Iq")
_STR, _BIN, _EXT, _ARRAY, _MAP = "str", "bin", "ext", "array", "map"

#: Formats with a length or count in 1, 2 or 4 bytes.
_COUNTED: Final = {
    0xD9: (_STR, _U8), 0xDA: (_STR, _U16), 0xDB: (_STR, _U32),
    0xC4: (_BIN, _U8), 0xC5: (_BIN, _U16), 0xC6: (_BIN, _U32),
    0xC7: (_EXT, _U8), 0xC8: (_EXT, _U16), 0xC9: (_EXT, _U32),
    0xDC: (_ARRAY, _U16), 0xDD: (_ARRAY, _U32),
    0xDE: (_MAP, _U16), 0xDF: (_MAP, _U32),
}  # fmt: skip


def _sizes() -> tuple[int, ...]:
    """By first byte: the size of a value that needs no further look; 0 for all others."""
    sizes = [1] * 256  # fixint, nil, false, true
    for first in (*range(0x80, _FIXSTR), _ILLEGAL, _UINT_64, *range(_FIXEXT_1, _STR_8), *_COUNTED):
        sizes[first] = 0
    for first in range(_FIXSTR, _FIXSTR_31 + 1):
        sizes[first] = 1 + first - _FIXSTR
    for first, size in ((0xCA, 5), (0xCB, 9), (0xCC, 2), (0xCD, 3), (0xCE, 5)):
        sizes[first] = size
    for first, size in ((0xD0, 2), (0xD1, 3), (0xD2, 5), (0xD3, 9)):
        sizes[first] = size
    return tuple(sizes)


_SIZES: Final = _sizes()


def scan(body: bytes | mmap.mmap) -> Scan:
    """Check everything but UTF-8 and equal keys.

    Raises:
        WireError: `BAD_ENVELOPE`, naming the byte and the rule of the profile.
    """
    found = Scan(body)
    try:
        end = found.elements(0, 1, 0)  # as if the body were the content of an array of one
    except (IndexError, struct.error):
        end = len(body) + 1
    if end > len(body):
        raise _broken(len(body), "the body ends before its value does", "P2")
    if end < len(body):
        raise _broken(end, f"{len(body) - end} bytes follow the value", "P2")
    return found


class Scan:
    """One pass over a body, and what it found.

    A value that runs over the end is noticed by the next read or by `scan`: both fail on it.
    """

    __slots__ = ("_body", "_nodes", "finer_than_us", "pairs")

    def __init__(self, body: bytes | mmap.mmap) -> None:
        self._body = body
        self._nodes = 0
        #: Pairs of all maps together; the decoded maps hold fewer when keys are equal.
        self.pairs = 0
        #: Whether a timestamp has nanoseconds that a datetime cannot hold.
        self.finer_than_us = False

    def elements(self, at: int, count: int, level: int) -> int:
        """Pass `count` values that start at byte `at` inside a container of this level; return their end."""
        body = self._body
        self._nodes += count
        if count > len(body) - at or level > MAX_DEPTH or self._nodes > MAX_NODES:
            raise self._beyond_limits(at, count, level)
        if count > _FEW and body[at : at + 9 * count : 9] == b"\xcb" * count:
            return at + 9 * count  # numeric data: all float 64
        for _ in range(count):
            size = _SIZES[body[at]]
            at = at + size if size else self._value(at, level)
        return at

    def _map(self, at: int, count: int, level: int) -> int:
        body = self._body
        self.pairs += count
        self._nodes += 2 * count
        if 2 * count > len(body) - at or level > MAX_DEPTH or self._nodes > MAX_NODES:
            raise self._beyond_limits(at, 2 * count, level)
        for _ in range(count):
            first = body[at]
            if _FIXSTR <= first <= _FIXSTR_31:
                at += 1 + first - _FIXSTR
            elif _STR_8 <= first <= _STR_32:
                at = self._value(at, level)
            else:
                raise _broken(at, "a map key is not a str", "P5")
            size = _SIZES[body[at]]
            at = at + size if size else self._value(at, level)
        return at

    def _beyond_limits(self, at: int, count: int, level: int) -> WireError:
        remaining = len(self._body) - at
        if count > remaining:
            return _broken(at, f"{count} values cannot fit in {remaining} bytes", "P2")
        if level > MAX_DEPTH:
            return _broken(at, f"arrays and maps nest deeper than {MAX_DEPTH} levels", "P3")
        return _broken(at, f"the body has more than {MAX_NODES} values", "P4")

    def _value(self, at: int, level: int) -> int:
        """Pass one value whose size is not in its first byte."""
        body = self._body
        first = body[at]
        if first == _STR_8:  # a str of 32 to 255 bytes, such as every job's id
            return at + 2 + body[at + 1]
        if first < _FIXARRAY:
            return self._map(at + 1, first & 15, level + 1)
        if first < _FIXSTR:
            return self.elements(at + 1, first & 15, level + 1)
        if first == _UINT_64:
            if body[at + 1] & 0x80:
                raise _broken(at, "an integer is larger than 2^63-1", "P7")
            return at + 9
        if first == _ILLEGAL:
            raise _broken(at, "c1 is not a format", "P9")
        if _FIXEXT_1 <= first <= _FIXEXT_16:
            return self._timestamp(at + 1, 1 << (first - _FIXEXT_1))
        return self._counted(at, level)

    def _counted(self, at: int, level: int) -> int:
        body = self._body
        kind, number = _COUNTED[body[at]]
        count: int = number.unpack_from(body, at + 1)[0]
        start = at + 1 + number.size
        if kind is _ARRAY:
            return self.elements(start, count, level + 1)
        if kind is _MAP:
            return self._map(start, count, level + 1)
        if count > len(body) - start:
            raise _broken(at, f"{kind} of {count} bytes, but {len(body) - start} remain", "P2")
        return self._timestamp(start, count) if kind is _EXT else start + count

    def _timestamp(self, at: int, size: int) -> int:
        """Pass an extension whose type is at byte `at`: only timestamps in range may."""
        body = self._body
        kind = body[at]
        if kind != _TIMESTAMP or size not in (_SECONDS, _WORD, _FULL):
            what = f"extension {(kind ^ 0x80) - 0x80} of {size} bytes"
            raise _broken(at, f"{what}: only timestamps (-1; 4, 8 or 12 bytes) travel", "P8")
        end = at + 1 + size
        if size == _SECONDS or end > len(body):
            return end
        if size == _WORD:
            word = int.from_bytes(body[at + 1 : end])
            nanoseconds, seconds = word >> 34, word & (2**34 - 1)
        else:
            nanoseconds, seconds = _TIMESTAMP_12.unpack_from(body, at + 1)
        if nanoseconds > MAX_NANOSECONDS or not MIN_SECONDS <= seconds <= MAX_SECONDS:
            raise _broken(at, f"timestamp of {seconds} s and {nanoseconds} ns is out of range", "P8")
        self.finer_than_us |= nanoseconds % 1000 != 0
        return end


def _broken(at: int, what: str, rule: str) -> WireError:
    return WireError(ErrorCode.BAD_ENVELOPE, f"byte {at}: {what} (rule {rule} of the profile)")
