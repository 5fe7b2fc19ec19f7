"""Linear algebra with numpy."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from penstock import Limits, Processes, Queue

algebra = Queue("algebra", lane=Processes(2))

Matrix = Annotated[NDArray[np.float64], Limits(ndim=2)]
Vector = Annotated[NDArray[np.float64], Limits(ndim=1)]

# A library call without a wrapper: numpy has no annotations, so its contract is written by hand.
algebra.expose("numpy.linalg:norm", contract="algebra.norm")


@algebra.task(raises={"SINGULAR": np.linalg.LinAlgError}, contract="algebra.solve")
def solve(a: Matrix, b: Vector) -> Vector:
    """Solve the linear equations a x = b.

    Args:
        a: The coefficients, a square matrix.
        b: The right-hand sides.
    """
    return np.linalg.solve(a, b).astype(np.float64)


@algebra.task(raises={"SINGULAR": np.linalg.LinAlgError}, contract="algebra.inverse")
def inverse(a: Matrix) -> Matrix:
    """Invert a matrix. A large one goes both ways through Redis, and nobody has to say so.

    Args:
        a: A square matrix.
    """
    return np.linalg.inv(a).astype(np.float64)
