"""Importing user code: once to describe it, once in every child to run it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import replace

from penstock.domain.task import QueueSpec
from penstock.errors import DeclarationError
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.outlet import Outlet
from penstock.queue import Queue, resolve
from penstock.schema.binding import bound
from penstock.schema.library import Library


class StartUpError(Exception):
    """A start-up hook has raised, which is the cause: unlike an import, it may succeed another time."""


def load(target: str) -> Queue:
    """Import the queue at `MODULE:QUEUE`.

    Raises:
        DeclarationError: There is no queue. Whatever the import raises is passed on.
    """
    queue = resolve(target)
    if not isinstance(queue, Queue):
        raise DeclarationError(f"{target!r} is {type(queue).__name__}, not a penstock.Queue")
    return queue


def boot(
    target: str, worker: str, max_body_bytes: int, contracts: str, max_blob_bytes: int, width: int, *, outlet: Outlet
) -> Executor:
    """Import the queue and warm it up, in a child that is to run it; the first arguments are those of a BOOT frame.

    Raises:
        DeclarationError: As `load`. Whatever the import raises is passed on.
        StartUpError: A start-up hook has raised.
    """
    queue = load(target)
    with _warming_up():
        for hook in queue.startup_hooks:
            hook()
    return Executor(
        queue,
        Library(contracts),
        worker=worker,
        max_body_bytes=max_body_bytes,
        max_blob_bytes=max_blob_bytes,
        width=width,
        outlet=outlet,
    )


async def boot_async(
    target: str, worker: str, max_body_bytes: int, contracts: str, max_blob_bytes: int, width: int, *, outlet: Outlet
) -> Executor:
    """As `boot`, for start-up hooks that may be coroutine functions."""
    queue = load(target)
    with _warming_up():
        for hook in queue.startup_hooks:
            if inspect.isawaitable(waiting := hook()):
                await waiting
    return Executor(
        queue,
        Library(contracts),
        worker=worker,
        max_body_bytes=max_body_bytes,
        max_blob_bytes=max_blob_bytes,
        width=width,
        outlet=outlet,
    )


@contextlib.contextmanager
def _warming_up() -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        raise StartUpError from error


def describe(targets: Iterable[str], contracts: str) -> Iterator[QueueSpec]:
    """The queues at these targets, without their code; their tasks fit the contracts that lie in the directory.

    Raises:
        DeclarationError: A target is no queue, or one without tasks, or lacks a contract that it wants.
        ContractError: A contract is none, or a task has drifted from it.
    """
    library = Library(contracts)
    for target in targets:
        queue = load(target)
        if not queue.tasks:
            raise DeclarationError(f"queue {queue.name!r} ({target}) has no task")
        for versions in queue.tasks.values():
            for task in versions.values():
                bound(task, library)
        spec = queue.spec(target)
        tasks = {
            name: {version: replace(task, contract=library.digest(name, version)) for version, task in versions.items()}
            for name, versions in spec.tasks.items()
        }
        yield replace(spec, tasks=tasks)
