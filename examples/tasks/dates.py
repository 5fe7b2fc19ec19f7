"""Dates, rules of recurrence and money: dateutil and the standard library."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_DOWN, Decimal
from typing import Annotated

from dateutil import parser, rrule, tz

from penstock import Limits, Queue, Threads

dates = Queue("dates", lane=Threads(4))


class UnknownZoneError(Exception):
    """There is no such time zone."""


class BadRuleError(Exception):
    """The rule is none of RFC 5545."""


@dates.task(raises={"NOT_A_DATE": parser.ParserError, "UNKNOWN_ZONE": UnknownZoneError}, contract="dates.parse")
def parse(text: Annotated[str, Limits(min_length=1, max_length=100)], zone: str = "UTC") -> dt.datetime:
    """Read a date as people write it.

    Args:
        text: For instance `3 May 2024, 2:30 pm`.
        zone: The time zone that is meant if the text names none, as in `Europe/Berlin`.
    """
    meant = tz.gettz(zone)
    if meant is None:
        raise UnknownZoneError(zone)
    found: dt.datetime = parser.parse(text)
    return found if found.tzinfo else found.replace(tzinfo=meant)


@dates.task(raises={"BAD_RULE": BadRuleError}, contract="dates.occurrences")
def occurrences(rule: str, start: dt.datetime, most: Annotated[int, Limits(ge=1, le=1000)] = 10) -> list[dt.datetime]:
    """List when something happens again.

    Args:
        rule: As RFC 5545 writes it: `FREQ=MONTHLY;BYDAY=-1FR` is the last Friday of each month.
        start: Nothing before this.
        most: How many.
    """
    try:
        found = rrule.rrulestr(rule, dtstart=start)
    except ValueError as error:
        raise BadRuleError(str(error)) from error
    return [at for at, _ in zip(found, range(most), strict=False)]


@dates.task(contract="dates.split")
def split(total: Decimal, parts: Annotated[int, Limits(ge=1, le=1000)]) -> list[Decimal]:
    """Split an amount into parts of whole cents that add up to it, the larger ones first.

    Args:
        total: The amount.
        parts: How many.
    """
    cent = Decimal("0.01")
    least = (total / parts).quantize(cent, ROUND_DOWN)
    rest = int((total - least * parts) / cent)
    return [least + cent if index < rest else least for index in range(parts)]
