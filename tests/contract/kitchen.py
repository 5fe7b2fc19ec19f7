"""Tasks whose contracts have every type of contracts/DIALECT.md: what both languages are tried on."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal, NotRequired, TypedDict
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from penstock import Limits, Queue

kitchen = Queue("kitchen")


class Mode(enum.StrEnum):
    """How fast it is done."""

    FAST = "fast"
    SLOW = "slow"


class Level(enum.IntEnum):
    """How much of it."""

    LOW = 1
    HIGH = 10
    BELOW = -3


@dataclass(frozen=True)
class Circle:
    """All points at one distance.

    Attributes:
        radius: That distance.
    """

    radius: Annotated[float, Limits(ge=0)]
    kind: Literal["circle"] = "circle"


@dataclass(frozen=True)
class Box:
    """Two sides."""

    width: float
    height: float
    kind: Literal["box"] = "box"


@dataclass(frozen=True)
class Tree:
    """A value, and trees below it."""

    value: int
    children: list[Tree] = field(default_factory=list)
    left: Tree | None = None
    note: str | None = None


class Options(TypedDict):
    """A dict with fixed keys."""

    depth: int
    label: NotRequired[str]


class EmptyError(Exception):
    """There is nothing to cook."""


class TooHotError(Exception):
    """The oven is too hot."""


@kitchen.task(raises={"EMPTY": EmptyError, "TOO_HOT": TooHotError})
def everything(
    flag: bool,
    count: int,
    ratio: float,
    name: str,
    blob: bytes,
    at: dt.datetime,
    price: Decimal,
    user_id: UUID,
    day: dt.date,
    mode: Mode,
    level: Level,
    choice: Literal["a", "b c", "ä"],
    shape: Circle | Box,
    shapes: list[Circle | Box],
    tree: Tree,
    options: Options,
    pair: tuple[int, Circle],
    numbers: list[float],
    names: tuple[str, ...],
    table: dict[str, list[int]],
    matrix: Annotated[NDArray[np.float64], Limits(ndim=2)],
    maybe: int | None,
    maybe_tree: Tree | None,
    maybe_list: list[int] | None,
    nested: list[list[int | None]],
    trim: float = 0.5,
    note: str = "",
    fast: bool = True,  # noqa: FBT002 -- callers name it
    times: int = 3,
    how: Mode = Mode.FAST,
    fee: Decimal = Decimal("1.50"),
    since: dt.date | None = None,
    last: Tree | None = None,
    tags: list[str] | None = None,
    other: Circle | Box | None = None,
    moment: dt.datetime | None = None,
    weights: NDArray[np.float32] | None = None,
) -> Tree | None:
    """Take one of each.

    Args:
        flag: A truth.
        count: How many.
        user_id: Who asks.
    """
    return tree


@kitchen.task
def limits(
    whole: Annotated[int, Limits(ge=-5, le=5)],
    real: Annotated[float, Limits(ge=-1.5, lt=1.5)],
    above: Annotated[float, Limits(gt=0)],
    text: Annotated[str, Limits(min_length=2, max_length=4)],
    data: Annotated[bytes, Limits(min_length=1, max_length=3)],
    items: Annotated[list[int], Limits(min_length=1, max_length=3)],
    keys: Annotated[dict[str, int], Limits(min_length=1, max_length=2)],
    vector: Annotated[NDArray[np.int16], Limits(ndim=1, min_length=1, max_length=4)],
    free: Annotated[float, Limits(nonfinite=True)],
    frees: Annotated[NDArray[np.float32], Limits(nonfinite=True)],
) -> Annotated[list[float], Limits(max_length=2)]:
    """Keep every kind of bound."""
    return [real, above]


@kitchen.task
def arrays(
    i8: NDArray[np.int8],
    i16: NDArray[np.int16],
    i32: NDArray[np.int32],
    i64: NDArray[np.int64],
    u8: NDArray[np.uint8],
    u16: NDArray[np.uint16],
    u32: NDArray[np.uint32],
    u64: NDArray[np.uint64],
    f32: NDArray[np.float32],
    f64: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One of each element type."""
    return f64


@kitchen.task
def nothing() -> None:
    """Take nothing, give nothing."""


@kitchen.task
def weather(city: str) -> Annotated[Literal["sun", "rain"], Limits(open_enum=True)]:
    """Say how it is; there may be other words one day."""
    return "sun"


@dataclass(frozen=True)
class Cooked:
    """What `nothing` became in its second version."""

    type: str
    job_id: str


@kitchen.task(name="nothing", version=2)
def something(validate: bool, func: str = "x") -> Cooked:
    """Have names that Go keeps for itself."""
    return Cooked(func, str(validate))


@dataclass(frozen=True)
class Course:
    """A part of a meal.

    Attributes:
        name: What it is.
        plate: What it is served on.
    """

    name: str
    plate: Circle | Box
    note: str | None = None


@dataclass(frozen=True)
class Bill:
    """What a meal has cost."""

    total: Decimal
    courses: int


@kitchen.task(raises={"EMPTY": EmptyError})
def serve(names: list[str], plate: Circle | Box) -> Generator[Course, None, Bill]:
    """Serve a meal, course after course.

    Args:
        names: The courses.
        plate: What each is served on.
    """
    for name in names:
        yield Course(name, plate)
    return Bill(Decimal(len(names)) * 10, len(names))


@kitchen.task
def heat(start: float, steps: Annotated[int, Limits(ge=0, le=10000)] = 3) -> Iterator[Annotated[float, Limits(le=300)]]:
    """Say how hot the oven is, step by step, and nothing in the end."""
    for step in range(steps):
        yield start + step


@kitchen.task
def stack(shapes: list[Circle | Box]) -> Generator[Circle | Box | None, None, dict[str, list[int]]]:
    """Give the shapes back, and an empty place after each."""
    for shape in shapes:
        yield shape
        yield None
    return {"places": list(range(len(shapes)))}
