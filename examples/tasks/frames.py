"""Tables and time series with pandas."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import sklearn.datasets
from numpy.typing import NDArray

from penstock import Limits, Processes, Queue, current_job

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


@dataclass(frozen=True)
class Piece:
    """Some rows of a table, one after the other.

    Attributes:
        first: Number of the first of them, from 0.
        points: A row each.
        labels: The class of each row.
    """

    first: int
    points: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Whole:
    """What a table was like.

    Attributes:
        rows: How many there were.
        means: The mean of each column.
    """

    rows: int
    means: list[float]


@frames.task(contract="frames.read")
def read(
    table: Literal["breast_cancer", "iris", "wine_data"], rows: Annotated[int, Limits(ge=1, le=10_000)] = 100
) -> Generator[Piece, None, Whole]:
    """Read a table that scikit-learn brings along, piece by piece; memory has room for one of them.

    Args:
        table: Its name.
        rows: How many rows make a piece.
    """
    done, sums = 0, np.zeros(1)
    with (Path(sklearn.datasets.__file__).parent / "data" / f"{table}.csv").open() as file:
        size = int(file.readline().partition(",")[0])
        for piece in pd.read_csv(file, header=None, chunksize=rows):
            points = piece.iloc[:, :-1].to_numpy(float)
            yield Piece(done, points, piece.iloc[:, -1].to_numpy("int64"))
            done, sums = done + len(piece), sums + points.sum(axis=0)
            current_job().progress(done / size, f"{done} of {size} rows")
    return Whole(done, list(sums / done))
