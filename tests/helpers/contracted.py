"""Tasks with contracts, some of which keep them and some do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from penstock import Limits, Queue, Retry

bound = Queue("bound")


class EmptyError(Exception):
    """There is nothing."""


class EmptierError(EmptyError):
    """There is even less."""


@dataclass
class Point:
    x: float
    y: float


@bound.task(raises={"EMPTY": EmptyError}, contract="bound.length")
def length(point: Point, scale: Annotated[float, Limits(gt=0)] = 2) -> float:
    """Say how long it is; the arguments are real types."""
    assert isinstance(point, Point)
    assert isinstance(scale, float)
    if point == Point(0, 0):
        raise EmptierError("zero")
    return float(np.hypot(point.x, point.y)) * scale


@bound.task(raises={"EMPTY": EmptyError}, retry=Retry(attempts=2, base=0, share=None))
def again(n: int) -> int:
    """Fail with a code of its own, and be tried again."""
    raise EmptyError(str(n))


@bound.task
def liar(what: str) -> Point:
    """Return something else than is promised."""
    answers: dict[str, Any] = {"nothing": None, "half": {"x": 1.0}, "nan": Point(float("nan"), 0), "good": (1, 2)}
    found: Point = answers.get(what, Point(1, 2))
    return found


@bound.task
def double(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take and give an array."""
    assert not x.flags.writeable
    return x * 2


@bound.task(name="both")
def both_v1(a: int) -> str:
    """Be the old version."""
    return f"old {a}"


@bound.task(name="both", version=2)
def both(b: str) -> str:
    """Be the new version."""
    return f"new {b}"
