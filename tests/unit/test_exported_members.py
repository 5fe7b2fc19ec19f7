"""The public names of the package: adding or removing one is a decision, not an accident."""

from __future__ import annotations

import re

import penstock
from penstock.errors import PenstockError

PUBLIC = [
    "Async",
    "Batch",
    "Cancelled",
    "CatalogError",
    "Commands",
    "Confine",
    "ContractError",
    "CurrentJob",
    "DataError",
    "DeclarationError",
    "DeniedError",
    "Limits",
    "PenstockError",
    "Processes",
    "Queue",
    "Recycle",
    "Reject",
    "Retry",
    "RetryAfter",
    "Serial",
    "SoftTimeoutError",
    "Threads",
    "TopologyError",
    "UnavailableError",
    "UsageError",
    "WorkerError",
    "current_job",
]


def test_the_public_names_are_these() -> None:
    assert sorted(penstock.__all__) == PUBLIC


def test_every_public_name_is_there() -> None:
    assert [name for name in penstock.__all__ if not hasattr(penstock, name)] == []


def test_every_error_of_ours_is_public() -> None:
    """A user catches PenstockError or one of its kinds; both are found in one place."""
    kinds = {kind.__name__ for kind in PenstockError.__subclasses__()}
    assert kinds <= set(penstock.__all__)


def test_every_error_ends_a_command_with_a_failure_status() -> None:
    kinds: list[type[PenstockError]] = [PenstockError, *PenstockError.__subclasses__()]
    assert all(kind.exit != 0 for kind in kinds)


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+([.-].+)?", penstock.__version__)
