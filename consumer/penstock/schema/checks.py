"""The rules that arguments and results share: bounds, lengths, formats. Each raises Misfit or returns nothing."""

from __future__ import annotations

import math
from typing import Any

from penstock.schema.lint import has_format
from penstock.schema.misfit import Misfit
from penstock.schema.model import Enum, Float, Formatted, Int

FORMAT_TEXT = {
    "decimal": "must be a decimal number such as -12.50",
    "uuid": "must be a UUID in lower case",
    "date": "must be a date, YYYY-MM-DD",
}


def in_bounds(value: float, low: float | None, high: float | None, kind: str) -> None:
    """Inclusive bounds."""
    if low is not None and value < low:
        raise Misfit("minimum", f"must be at least {low}", kind)
    if high is not None and value > high:
        raise Misfit("maximum", f"must be at most {high}", kind)


def check_int(type_: Int, value: int) -> None:
    """The bounds of an int."""
    in_bounds(value, type_.minimum, type_.maximum, "int")


def check_float(type_: Float, value: float, kind: str) -> None:
    """The bounds of a float, NaN and infinity."""
    if not type_.nonfinite and not math.isfinite(value):
        raise Misfit("finite", "must be finite", kind)
    in_bounds(value, type_.minimum, type_.maximum, kind)
    if type_.exclusive_minimum is not None and value <= type_.exclusive_minimum:
        raise Misfit("exclusiveMinimum", f"must be above {type_.exclusive_minimum}", kind)
    if type_.exclusive_maximum is not None and value >= type_.exclusive_maximum:
        raise Misfit("exclusiveMaximum", f"must be below {type_.exclusive_maximum}", kind)


def counted(size: int, low: int | None, high: int | None, *, unit: str, rules: str, kind: str) -> None:
    """A length or a count; `rules` is `Length`, `Items` or `Properties`."""
    if low is not None and size < low:
        raise Misfit(f"min{rules}", f"must have at least {low} {unit}", kind)
    if high is not None and size > high:
        raise Misfit(f"max{rules}", f"must have at most {high} {unit}", kind)


def check_enum(type_: Enum, value: Any, kind: str) -> None:
    """One of the values."""
    if value not in type_.values:
        names = ", ".join(map(str, type_.values[:10])) + (", ..." if len(type_.values) > 10 else "")
        raise Misfit("enum", f"must be one of {names}", kind)


def check_format(type_: Formatted, value: str) -> None:
    """A str that is written as its format wants."""
    if not has_format(value, type_.format):
        raise Misfit("format", FORMAT_TEXT[type_.format], "str")
