"""Tables and time series with pandas."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal

import pandas as pd

from penstock import Limits, Processes, Queue

frames = Queue("frames", lane=Processes(2))


@dataclass(frozen=True)
class Group:
    """Rows that have something in common.

    Attributes:
        name: What they have in common.
        rows: How many there are.
        means: The mean of each column.
    """

    name: str
    rows: int
    means: dict[str, float]


@frames.task(contract="frames.group")
def group(
    columns: Annotated[dict[str, list[float]], Limits(min_length=1, max_length=100)],
    by: Annotated[list[str], Limits(min_length=1)],
) -> list[Group]:
    """Mean of each column for each group of rows, the groups in order of their names.

    Args:
        columns: The table by columns, all of one length.
        by: The group of each row.
    """
    frame = pd.DataFrame(columns)
    return [Group(str(name), len(rows), dict(rows.mean())) for name, rows in frame.groupby(pd.Series(by))]


@dataclass(frozen=True)
class Reading:
    """A value at a time; nil where there is none."""

    at: dt.datetime
    value: float | None


@frames.task(contract="frames.resample")
def resample(
    readings: Annotated[list[Reading], Limits(min_length=1, max_length=50_000)], every: Literal["hour", "day"] = "hour"
) -> list[Reading]:
    """Mean of the readings in each hour or day; nil for one without any.

    Args:
        readings: In any order.
        every: How long the spans are.
    """
    series = pd.Series(
        [each.value for each in readings], index=pd.DatetimeIndex([each.at for each in readings]), dtype=float
    )
    means = series.sort_index().resample({"hour": "h", "day": "D"}[every]).mean()
    return [Reading(at, None if pd.isna(value) else value) for at, value in means.items()]
