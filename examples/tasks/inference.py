"""Tests and regressions with scipy and statsmodels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from penstock import Limits, Processes, Queue

inference = Queue("inference", lane=Processes(2))

Sample = Annotated[NDArray[np.float64], Limits(ndim=1, min_length=2)]


@dataclass(frozen=True)
class TTest:
    """The outcome of a t-test.

    Attributes:
        statistic: The t statistic.
        p_value: Probability of one at least as extreme if the means are equal.
        degrees: Degrees of freedom.
    """

    statistic: float
    p_value: float
    degrees: float


@inference.task(contract="inference.compare")
def compare(first: Sample, second: Sample, alternative: Literal["two-sided", "less", "greater"] = "two-sided") -> TTest:
    """Welch's t-test: whether two samples have the same mean.

    Args:
        first: One sample.
        second: The other; it may have another size and variance.
        alternative: What the first mean is held to be instead.
    """
    found = stats.ttest_ind(first, second, equal_var=False, alternative=alternative)
    return TTest(found.statistic, found.pvalue, found.df)


@dataclass(frozen=True)
class Coefficient:
    """One term of a regression, with its 95 % confidence interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Regression:
    """A fitted linear model.

    Attributes:
        terms: The constant first, then one for each column.
        r_squared: Share of the variance that is explained.
    """

    terms: list[Coefficient]
    r_squared: float


@inference.task(contract="inference.regress")
def regress(
    y: Sample,
    x: Annotated[NDArray[np.float64], Limits(ndim=2)],
    names: Annotated[list[str], Limits(min_length=1, max_length=100)],
) -> Regression:
    """Ordinary least squares with a constant.

    Args:
        y: What is to be explained.
        x: A row for each of them, a column for each name.
        names: What the columns are called.
    """
    fitted = sm.OLS(y, sm.add_constant(x)).fit()
    bounds = fitted.conf_int()
    terms = [
        Coefficient(name, value, low, high)
        for name, value, (low, high) in zip(["constant", *names], fitted.params, bounds, strict=True)
    ]
    return Regression(terms, fitted.rsquared)


@dataclass(frozen=True)
class Table:
    """Rows of numbers with named columns."""

    names: list[str]
    rows: NDArray[np.float64]


@inference.task(contract="inference.longley")
def longley() -> Table:
    """The Longley data of 1967, with which regressions have been tried ever since."""
    frame = sm.datasets.longley.load_pandas().data
    return Table(list(frame.columns), frame.to_numpy(dtype=np.float64))
