"""A child takes its place: what Confine says is done here, before any user code is imported."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock.domain.confine import Confine, Start
from penstock.errors import DeclarationError
from penstock.lanes.runner.network import leave_network

#: The capabilities that free a process from RLIMIT_NPROC: CAP_SYS_ADMIN, CAP_SYS_RESOURCE.
_UNBOUND: Final = 1 << 21 | 1 << 24


def confine(start: Start) -> None:
    """Do all that a child is started with; what it starts itself inherits it.

    Raises:
        DeclarationError: The system cannot do it, and what and why.
    """
    settle(start)
    if (limits := start.confine) is not None:
        os.nice(limits.nice)
        for name, limit in _limits(limits):
            _limit(name, limit)
        if not limits.network:
            leave_network()


def settle(start: Start) -> None:
    """Take what one child has for itself: its cores and its temporary directory.

    Raises:
        DeclarationError: The system cannot do it, and what and why.
    """
    if start.tempdir is not None:
        os.environ["TMPDIR"] = start.tempdir
        tempfile.tempdir = start.tempdir
    if start.cores is not None:
        _pin(set(start.cores))


def _pin(cores: set[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise DeclarationError("Confine: cores and spread need Linux")
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise DeclarationError(f"Confine: cores {sorted(cores)}: {error.strerror}") from None
    # The system leaves out silently what there is not, or what its container does not have.
    if missing := cores - os.sched_getaffinity(0):
        raise DeclarationError(f"Confine: there are no cores {sorted(missing)} for this worker")


def _limits(limits: Confine) -> Iterator[tuple[str, int]]:
    if limits.open_files is not None:
        yield "RLIMIT_NOFILE", limits.open_files
    if limits.file_size is not None:
        yield "RLIMIT_FSIZE", limits.file_size
    if not limits.core_dumps:
        yield "RLIMIT_CORE", 0
    if limits.processes is not None:
        _must_be_bound()
        yield "RLIMIT_NPROC", limits.processes


def _limit(name: str, limit: int) -> None:
    """Set the limit and the most to which it could be raised again."""
    import resource  # here: most children start without it, and Windows does not have it

    try:
        resource.setrlimit(getattr(resource, name), (limit, limit))
    except (OSError, ValueError) as error:
        raise DeclarationError(f"Confine: {name} of {limit}: {error}") from None


def _must_be_bound() -> None:
    """Processes of root, and those with some capabilities, may start as many others as they like."""
    if os.getuid() == 0 or _capabilities() & _UNBOUND:
        raise DeclarationError(
            "Confine: the system does not hold root, or a process with CAP_SYS_ADMIN or CAP_SYS_RESOURCE, to a number "
            "of processes; run the worker as another user, or leave processes= out"
        )


def _capabilities() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0  # not Linux
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
