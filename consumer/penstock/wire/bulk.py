"""Large bins: they are copied once, from where they lie into the body, while the packer would copy them twice."""

from __future__ import annotations

import secrets
from typing import Final

#: Shorter ones cost the packer less than they cost here.
_LARGE: Final = 64 * 1024
_INDEX_BYTES: Final = 8
#: What stands in for a large bin; that a value has it by chance is as likely as guessing a key of 128 bits.
_SIGN: Final = secrets.token_bytes(16)
_STAND_IN_BYTES: Final = 2 + len(_SIGN) + _INDEX_BYTES
_HEADER_BYTES: Final = 5  # of a bin 32
_SIGN_PACKED: Final = bytes([0xC4, len(_SIGN) + _INDEX_BYTES]) + _SIGN


class Bulk:
    """The large bins of one body."""

    def __init__(self) -> None:
        self._bins: list[memoryview] = []

    def stand_in(self, data: memoryview) -> memoryview | bytes:
        """What to pack in place of a bin, the bin itself if it is short.

        Args:
            data: Its bytes, one by one, which nobody changes until the body is made.
        """
        if len(data) < _LARGE:
            return data
        self._bins.append(data)
        return _SIGN + (len(self._bins) - 1).to_bytes(_INDEX_BYTES)

    def grown(self, packed: bytes) -> int:
        """How long the body becomes that was packed with stand-ins."""
        return len(packed) + sum(_HEADER_BYTES + len(data) - _STAND_IN_BYTES for data in self._bins)

    def put_in(self, packed: bytes) -> bytes:
        """The body, with the bins in their places."""
        if not self._bins:
            return packed
        first, *rest = packed.split(_SIGN_PACKED)
        pieces: list[bytes | memoryview] = [first]
        for piece in rest:
            data = self._bins[int.from_bytes(piece[:_INDEX_BYTES])]
            pieces += (b"\xc6" + len(data).to_bytes(4), data, piece[_INDEX_BYTES:])
        return b"".join(pieces)
