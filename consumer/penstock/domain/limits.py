"""Bounds of a value, as an annotation says them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from penstock.errors import DeclarationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a value, inside `Annotated`; they go into the task's contract.

        ratio: Annotated[float, Limits(ge=0, le=1)]
        names: Annotated[list[str], Limits(max_length=100)]

    What `annotated_types` and `msgspec.Meta` have by the same names is understood, too.

    Attributes:
        ge: Least number. Defaults to none, like all of them.
        gt: Number that all are above.
        le: Greatest number.
        lt: Number that all are below.
        min_length: Least length: of a str in code points, of bytes, of a list or dict, of an array all elements.
        max_length: Greatest length.
        nonfinite: Whether NaN and infinity may occur, in a float or in an array of floats. Defaults to False.
        ndim: Dimensions of an array. Defaults to any number.
        open_enum: Whether a result may one day have other values than the enum. Defaults to False.

    Raises:
        DeclarationError: A bound is not a number, or bounds leave no value.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    nonfinite: bool = False
    ndim: int | None = None
    open_enum: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without knowing the type."""
        for name in ("ge", "gt", "le", "lt"):
            value = getattr(self, name)
            if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
                raise DeclarationError(f"Limits: {name} must be a finite number, not {value!r}")
        for name in ("min_length", "max_length", "ndim"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                raise DeclarationError(f"Limits: {name} must be a number from 0, not {value!r}")
        low, high = self.min_length or 0, math.inf if self.max_length is None else self.max_length
        if low > high:
            raise DeclarationError("Limits: min_length is above max_length")
