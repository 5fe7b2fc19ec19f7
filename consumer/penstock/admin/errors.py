"""What a command of an operator says when it cannot do what it was told."""

from __future__ import annotations

from typing import ClassVar

from penstock.errors import PenstockError
from penstock.wire.registry import Exit


class DataError(PenstockError):
    """What a command reads, or finds, is not what it needs."""

    exit: ClassVar[Exit] = Exit.DATA
