"""Machine learning with scikit-learn."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.svm import SVC

from penstock import Limits, Processes, Queue

learning = Queue("learning", lane=Processes(2))
_models: dict[str, Any] = {}


class Dataset(enum.StrEnum):
    """Data that scikit-learn brings along."""

    IRIS = "iris"
    WINE = "wine"
    DIGITS = "digits"


@learning.startup
def train() -> None:
    """Once per child, before its first job."""
    digits = datasets.load_digits()
    _models["digits"] = SVC(gamma=0.001).fit(digits.data[:1000], digits.target[:1000])


@dataclass(frozen=True)
class Labelled:
    """Points and what they are.

    Attributes:
        points: A row each.
        labels: The index of each row's class.
        classes: What the classes are called.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: list[str]


@learning.task(contract="learning.sample")
def sample(dataset: Dataset) -> Labelled:
    """Give real data to try the other tasks with."""
    data = {"iris": datasets.load_iris, "wine": datasets.load_wine, "digits": datasets.load_digits}[dataset]()
    return Labelled(data.data, data.target, [str(name) for name in data.target_names])


@learning.task(contract="learning.read_digits")
def read_digits(images: Annotated[NDArray[np.float64], Limits(ndim=2, max_length=1_000_000)]) -> NDArray[np.int64]:
    """Read handwritten digits.

    Args:
        images: An image of 8 by 8 pixels in each row, from 0 (white) to 16.
    """
    found: NDArray[np.int64] = _models["digits"].predict(images)
    return found


@dataclass(frozen=True)
class Clusters:
    """Points in groups.

    Attributes:
        labels: The group of each point.
        centers: The middle of each group.
        inertia: Sum of the squared distances to them.
    """

    labels: NDArray[np.int32]
    centers: NDArray[np.float64]
    inertia: float


@learning.task(contract="learning.cluster")
def cluster(
    points: Annotated[NDArray[np.float64], Limits(ndim=2)],
    groups: Annotated[int, Limits(ge=1, le=100)],
    seed: int = 0,
) -> Clusters:
    """Find groups of points that lie together, by k-means.

    Args:
        points: A row each.
        groups: How many groups.
        seed: Equal seeds give equal groups.
    """
    found = KMeans(groups, n_init=10, random_state=seed).fit(points)
    return Clusters(found.labels_, found.cluster_centers_, found.inertia_)
