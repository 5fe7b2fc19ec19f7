"""Go services call Python library functions through RabbitMQ; this is the Python side.

from penstock import Processes, Queue, Retry
"""

from __future__ import annotations

from importlib.metadata import version as _version

from penstock.domain.batch import Batch
from penstock.domain.confine import Confine
from penstock.domain.context import Cancelled, CurrentJob, SoftTimeoutError, current_job
from penstock.domain.lane import Async, Commands, Processes, Serial, Threads
from penstock.domain.limits import Limits
from penstock.domain.recycle import Recycle
from penstock.domain.retry import Reject, Retry, RetryAfter
from penstock.errors import (
    CatalogError,
    ContractError,
    DataError,
    DeclarationError,
    DeniedError,
    PenstockError,
    TopologyError,
    UnavailableError,
    UsageError,
    WorkerError,
)
from penstock.queue import Queue

__all__ = [
    # declaring
    "Async",
    "Batch",
    "Commands",
    "Confine",
    "Limits",
    "Processes",
    "Queue",
    "Recycle",
    "Retry",
    "Serial",
    "Threads",
    # inside a task
    "Cancelled",
    "CurrentJob",
    "Reject",
    "RetryAfter",
    "SoftTimeoutError",
    "current_job",
    # errors
    "CatalogError",
    "ContractError",
    "DataError",
    "DeclarationError",
    "DeniedError",
    "PenstockError",
    "TopologyError",
    "UnavailableError",
    "UsageError",
    "WorkerError",
]

__version__ = _version("penstock")
