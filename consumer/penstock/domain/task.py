"""What the parent knows of a queue and its tasks: the catalog that a short-lived child describes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.domain.batch import Batch
from penstock.domain.lane import LaneSpec
from penstock.domain.retry import Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task without its code.

    Attributes:
        name: `<queue>.<function>`.
        version: Version of its contract.
        timeout_s: Seconds after which its child is killed; None: no limit but the broker's.
        retry: Its policy; the exception classes stay in the child.
        takes: Names of its parameters; None: it takes arguments of any name.
        requires: Those of them that have no default.
        contract: The contract hash, 16 hex digits; None: it has no contract.
        batch: How its jobs are collected; None: each has a call of its own. The prototype stays in the child.
        streams: Whether it yields items.
    """

    name: str
    version: int
    timeout_s: float | None
    retry: Retry
    takes: tuple[str, ...] | None = ()
    requires: tuple[str, ...] = ()
    contract: str | None = None
    batch: Batch | None = None
    streams: bool = False

    @property
    def title(self) -> str:
        """`stats.describe v1 3fa29c41d07b6e58`, with its contract hash if it has a contract."""
        return " ".join([self.name, f"v{self.version}", *([self.contract] if self.contract else [])])

    def to_wire(self) -> dict[str, Any]:
        """The task as the catalog carries it."""
        return {
            "name": self.name,
            "version": self.version,
            "timeout_s": self.timeout_s,
            "retry": self.retry.numbers(),
            "takes": self.takes,
            "requires": self.requires,
            "contract": self.contract,
            "batch": self.batch and self.batch.numbers(),
            "streams": self.streams,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> TaskSpec:
        """The task as the parent reads it."""
        return cls(
            name=wire["name"],
            version=wire["version"],
            timeout_s=wire["timeout_s"],
            retry=Retry.from_numbers(wire["retry"]),
            takes=None if wire["takes"] is None else tuple(wire["takes"]),
            requires=tuple(wire["requires"]),
            contract=wire["contract"],
            batch=wire["batch"] and Batch.from_numbers(wire["batch"]),
            streams=wire["streams"],
        )


def other_version(name: str, asked: int | None, served: Iterable[int]) -> str:
    """That a task is there, but not in the version that was asked for."""
    numbers = ", ".join(map(str, sorted(served)))
    return f"{name}: version {asked} was asked for, this worker serves version {numbers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec:
    """A queue without its code.

    Attributes:
        name: The queue's name.
        target: `MODULE:ATTRIBUTE`, where a child finds it.
        lane: How its jobs run.
        tasks: Its tasks by full name and version.
    """

    name: str
    target: str
    lane: LaneSpec
    tasks: Mapping[str, Mapping[int, TaskSpec]]

    def all(self) -> Iterator[TaskSpec]:
        """Every task in every version."""
        return (task for versions in self.tasks.values() for task in versions.values())

    def find(self, name: str, version: int | None) -> TaskSpec | None:
        """The task of that name and version; a version of None, which only the body tells, is the newest."""
        versions = self.tasks.get(name)
        if versions is None:
            return None
        return versions.get(max(versions) if version is None else version)

    def to_wire(self) -> dict[str, Any]:
        """The queue as the catalog carries it."""
        tasks = [task.to_wire() for task in self.all()]
        return {"name": self.name, "target": self.target, "lane": self.lane.to_wire(), "tasks": tasks}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> QueueSpec:
        """The queue as the parent reads it."""
        tasks: dict[str, dict[int, TaskSpec]] = {}
        for task in map(TaskSpec.from_wire, wire["tasks"]):
            tasks.setdefault(task.name, {})[task.version] = task
        return cls(
            name=wire["name"],
            target=wire["target"],
            lane=LaneSpec.from_wire(wire["lane"]),
            tasks=tasks,
        )
