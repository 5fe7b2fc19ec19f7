"""Signatures become contract files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from penstock.errors import ContractError
from penstock.queue import Queue, Task
from penstock.schema.derive import derive, in_order_of
from penstock.schema.library import Library
from penstock.schema.writer import text


class Written(StrEnum):
    """What became of a task's file."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    #: It names a callable: somebody wrote it, for what has no annotations.
    BY_HAND = "by hand"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One task's file.

    Attributes:
        task: The task's name.
        path: Where its contract lies.
        became: What became of it.
        why: Why it was refused; else "".
    """

    task: str
    path: Path
    became: Written
    why: str = ""


def export(queue: Queue, library: Library, only: str | None = None) -> Iterator[Exported]:
    """Write the contracts of a queue's tasks, one after the other.

    Properties keep the order that a committed contract has, for it is that of the bytes; new ones come last.

    Args:
        queue: The queue.
        library: Where contracts lie.
        only: The name of the one task to write; None: all.

    Raises:
        ContractError: The queue has no such task.
    """
    found = False
    for name, versions in queue.tasks.items():
        if only in (None, name):
            found = True
            for task in versions.values():
                yield _one(task, library)
    if not found:
        raise ContractError(f"queue {queue.name} has no task {only} (it has: {', '.join(sorted(queue.tasks))})")


def _one(task: Task, library: Library) -> Exported:
    name, version = task.spec.name, task.spec.version
    path = library.path(name, version)
    try:
        committed = library.find(name, version)
        if committed is not None and committed.callable is not None:
            return Exported(task=name, path=path, became=Written.BY_HAND)
        if task.signature is None:
            if committed is not None:
                return Exported(task=name, path=path, became=Written.BY_HAND)
            why = f"{name}: a batch says nothing of its jobs; give it a prototype, Batch(of=...)"
            return Exported(task=name, path=path, became=Written.REFUSED, why=why)
        contract = derive(task.signature, name=name, version=version, raises=task.raises)
    except ContractError as error:
        return Exported(task=name, path=path, became=Written.REFUSED, why=str(error))
    if committed is not None:
        contract = in_order_of(contract, committed)
    return Exported(task=name, path=path, became=write(path, text(contract)))


def write(path: Path, content: str) -> Written:
    """Write a file, unless it is there already as it should be."""
    if path.exists() and path.read_bytes() == content.encode():
        return Written.UNCHANGED
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return Written.WRITTEN
