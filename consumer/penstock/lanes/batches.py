"""Which waiting jobs are called together: the jobs of one task, until there are enough of them or the time is up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from penstock.domain.batch import Batch
from penstock.domain.delivery import Delivery
from penstock.domain.task import QueueSpec, TaskSpec


@dataclass(slots=True)
class _Group:
    """The waiting jobs of one task.

    Attributes:
        batch: How they are collected.
        jobs: In their order, each with the moment in which it came.
    """

    batch: Batch
    jobs: deque[tuple[float, Delivery]] = field(default_factory=deque)

    @property
    def due_at(self) -> float:
        """When the first of its jobs has waited long enough; it is due at once when there are enough of them."""
        since = self.jobs[0][0]
        return since if len(self.jobs) >= self.batch.size else since + self.batch.wait


class Batches:
    """Collects jobs.

    A group that is due stays open until `take`: while all children are busy it goes on filling up.

    `due` and `due_in` are to be asked about one moment: a group that became due between two looks at the clock would be
    neither due nor waited for, and its jobs forgotten.

    Args:
        spec: The queue.
        clock: In seconds.
    """

    def __init__(self, spec: QueueSpec, clock: Callable[[], float]) -> None:
        self._spec = spec
        self._clock = clock
        self._groups: dict[tuple[str, int], _Group] = {}
        self._apart: deque[Delivery] = deque()

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._apart) + sum(len(group.jobs) for group in self._groups.values())

    def collects(self, delivery: Delivery) -> bool:
        """Whether the job is one of a task with a batch."""
        return self._batch_of(delivery) is not None

    def add(self, delivery: Delivery) -> None:
        """Have a job wait for others of its task."""
        self._group(delivery).jobs.append((self._clock(), delivery))

    def put_back(self, deliveries: Iterable[Delivery]) -> None:
        """Jobs that have waited before come first, in their order, and wait no longer."""
        for delivery in reversed(list(deliveries)):
            self._group(delivery).jobs.appendleft((float("-inf"), delivery))

    def put_apart(self, deliveries: Iterable[Delivery]) -> None:
        """Have jobs be called next, each alone: one of them did harm, and nobody knows which."""
        self._apart.extend(deliveries)

    def due(self, now: float) -> bool:
        """Whether there is a batch to be called now, by the clock."""
        return bool(self._apart) or any(group.due_at <= now for group in self._groups.values())

    def due_in(self, now: float) -> float | None:
        """Seconds until time makes the next batch due; None: there is none that only has to wait."""
        return min((group.due_at - now for group in self._groups.values() if group.due_at > now), default=None)

    def take(self) -> list[Delivery]:
        """The batch that is due, and whose first job has waited longest; call it when there is one."""
        if self._apart:
            return [self._apart.popleft()]
        key = min(self._groups, key=lambda key: self._groups[key].due_at)
        group = self._groups[key]
        taken = [group.jobs.popleft()[1] for _ in range(min(group.batch.size, len(group.jobs)))]
        if not group.jobs:
            del self._groups[key]
        return taken

    def withdraw(self, job_id: str) -> Delivery | None:
        """Remove and return a job that waits; None: none does by this id."""
        found = next((job for job in self._all() if job.job_id == job_id), None)
        if found is None:
            return None
        if found in self._apart:
            self._apart.remove(found)
        else:
            group = self._group(found)
            group.jobs = deque(entry for entry in group.jobs if entry[1] is not found)
            self._groups = {key: group for key, group in self._groups.items() if group.jobs}
        return found

    def take_all(self) -> list[Delivery]:
        """Every job that waits."""
        taken = list(self._all())
        self._apart.clear()
        self._groups.clear()
        return taken

    def _all(self) -> Iterator[Delivery]:
        yield from self._apart
        for group in self._groups.values():
            yield from (delivery for _, delivery in group.jobs)

    def _batch_of(self, delivery: Delivery) -> TaskSpec | None:
        task = self._spec.find(delivery.task, delivery.version)
        return task if task is not None and task.batch is not None else None

    def _group(self, delivery: Delivery) -> _Group:
        task = self._batch_of(delivery)
        assert task is not None
        assert task.batch is not None
        key = task.name, task.version
        if (group := self._groups.get(key)) is None:
            group = self._groups[key] = _Group(task.batch)
        return group
