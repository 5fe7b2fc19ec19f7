"""How a queue's jobs run, and the numbers by which a lane is filled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from penstock.domain.confine import Confine
from penstock.domain.recycle import Recycle
from penstock.errors import DeclarationError, UsageError
from penstock.wire.registry import MAX_SLOTS


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """How a queue's jobs run: what all kinds have in common. A user names one of the kinds below.

    Two signals of a child are penstock's: SIGINT interrupts a job that was cancelled; SIGUSR2 has a job that ran out
    of time write down where it is, before its child is killed.

    Attributes:
        slots: How many jobs run at once. Defaults to the cores that the worker may use.
        python: The interpreter that runs the children, for instance of another virtual environment in which
            penstock and the task module are installed. Defaults to the worker's own.
        memory: The most memory, in bytes, that a child may have resident; above it it is killed before the system
            does that, and the jobs that ran in it have lost their child. Counted without processes that a job
            starts, and on Linux only. Defaults to None: whatever the system gives.
        recycle: When a child is replaced though nothing is wrong with it. Defaults to None: never.
        quarantine_memory: The most memory, in bytes, that a job may have resident that runs alone because it has
            killed a child before; above it its child is killed. Counted without processes that the job starts, and
            on Linux only. Defaults to half of the memory that the worker may use (its container's limit, or the
            machine's memory).
        confine: What the children may have of the machine: cores, files, the network. Defaults to None: what the worker
            may. The child that describes the queue to the worker, at its start, is not confined.
        preload: Whether the module is imported once, by a process that is then forked for each child, instead of by
            each child. Then a start takes milliseconds, and children share the memory of what the import made until
            they change it; `@queue.startup` still runs in each. On Linux, for Processes and Serial. Not for modules
            whose import starts threads, opens connections or initialises a GPU: see docs/lanes.md. Defaults to False.

    Raises:
        DeclarationError: `slots`, `memory` or `quarantine_memory` is below 1, or `confine` is no Confine; or this
            lane has no `preload`.
    """

    #: Its name in the catalog; "": this is no kind of lane.
    kind: ClassVar[str] = ""
    #: Whether one child runs all slots; else each slot has a child of its own.
    shared: ClassVar[bool] = False
    #: Whether there may be more slots or fewer while it is at work.
    resizable: ClassVar[bool] = True
    #: Whether its children can be forked from one that has imported the module.
    forked: ClassVar[bool] = False

    slots: int = field(default_factory=_cores)
    python: str | None = None
    quarantine_memory: int | None = None
    memory: int | None = None
    recycle: Recycle | None = None
    confine: Confine | None = None
    preload: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        name = type(self).__name__
        if not self.kind:
            raise DeclarationError(f"{name} is no lane; take Processes, Threads, Async, Serial or Commands")
        if self.slots < 1:
            raise DeclarationError(f"{name}: slots must be at least 1, not {self.slots}")
        for what, limit in (("memory", self.memory), ("quarantine_memory", self.quarantine_memory)):
            if limit is not None and limit < 1:
                raise DeclarationError(f"{name}: {what} must be at least 1, not {limit}")
        if not isinstance(self.confine, Confine | None):
            raise DeclarationError(f"{name}: confine must be a Confine, not {self.confine!r}")
        if self.preload and not self.forked:
            raise DeclarationError(f"{name}: only Processes and Serial have preload=True")

    @property
    def children(self) -> int:
        """How many child processes there are, without the one in quarantine."""
        return 1 if self.shared else self.slots

    @property
    def width(self) -> int:
        """How many jobs one child runs at once."""
        return self.slots if self.shared else 1

    def resized(self, slots: int) -> LaneSpec:
        """The lane with another number of slots, as an operator wants it while it is at work.

        Raises:
            UsageError: It cannot have that many; the text says why.
        """
        if not self.resizable:
            raise UsageError(f"{type(self).__name__} runs one job at a time and cannot be resized")
        if not 1 <= slots <= MAX_SLOTS:
            raise UsageError(f"{slots} slots: there can be 1 to {MAX_SLOTS}")
        return replace(self, slots=slots)

    def to_wire(self) -> dict[str, Any]:
        """The lane as the catalog carries it."""
        return {
            "kind": self.kind,
            "slots": self.slots,
            "python": self.python,
            "quarantine_memory": self.quarantine_memory,
            "memory": self.memory,
            "recycle": self.recycle and self.recycle.to_wire(),
            "confine": self.confine and self.confine.to_wire(),
            "preload": self.preload,
        }

    @staticmethod
    def from_wire(wire: Mapping[str, Any]) -> LaneSpec:
        """The lane as the parent reads it from the catalog."""
        kind = next(kind for kind in KINDS if kind.kind == wire["kind"])
        return kind(
            wire["slots"],
            python=wire["python"],
            quarantine_memory=wire["quarantine_memory"],
            memory=wire["memory"],
            recycle=wire["recycle"] and Recycle.from_wire(wire["recycle"]),
            confine=wire["confine"] and Confine.from_wire(wire["confine"]),
            preload=wire["preload"],
        )


class Processes(LaneSpec):
    """`slots` children that run one job each at a time.

    For CPU-bound and native libraries: no GIL is shared, and a crash costs one job.
    """

    __slots__ = ()
    kind = "processes"
    forked = True


class Threads(LaneSpec):
    """One child that runs its jobs in `slots` threads.

    For calls that wait: for a disk, a database, another service. The GIL is shared, so Python code does not run in
    parallel. A crash, or the kill after a timeout, is the end of the child: see LaneSpec and docs/lanes.md for what
    becomes of the other jobs.
    """

    __slots__ = ()
    kind = "threads"
    shared = True


class Async(LaneSpec):
    """One child that runs its jobs, which are coroutines, in one event loop, `slots` at once.

    For many calls that wait by `await`. As with Threads, the jobs share the child's fate.
    """

    __slots__ = ()
    kind = "async"
    shared = True


@dataclass(frozen=True, slots=True)
class Serial(LaneSpec):
    """One child that runs one job at a time.

    For libraries that bear one caller at a time, and for state that all jobs share: what a global lock would be for.
    Another worker of the same queue has a child of its own.
    """

    kind = "serial"
    resizable = False
    forked = True

    slots: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        LaneSpec.__post_init__(self)
        if self.slots != 1:
            raise DeclarationError("Serial: it runs one job at a time; for more take Processes or Threads")


class Commands(LaneSpec):
    """`slots` children, each of which runs one program after the other: see `Queue.command`.

    For what is no Python library. The program is in its child's process group and ends with it.
    """

    __slots__ = ()
    kind = "commands"


KINDS: Final[tuple[type[LaneSpec], ...]] = (Processes, Threads, Async, Serial, Commands)


# ── filling ─────────────────────────────────────────────────────────────────────────────────────────
#
# A job in a child's socket saves the round trip to the parent between two jobs, but it waits behind the one
# that runs. So jobs are sent ahead only while everything ahead of them in that child is expected to be over
# within AHEAD_S. The same holds between the broker and the worker: a long backlog in a worker keeps jobs from
# other replicas, so the large prefetch is used for short jobs only.

#: Expected work, in seconds, that may wait in a child's socket.
AHEAD_S: Final = 0.005
#: Most jobs in one child, the running one included.
AHEAD_JOBS: Final = 64
#: Prefetch per slot that is always granted: one running, one at hand. A task with a batch counts as so many jobs.
PREFETCH_PER_SLOT: Final = 2
#: Largest prefetch that AMQP can say.
MAX_PREFETCH: Final = 65_535
#: Additional prefetch of a queue while its jobs are short.
PREFETCH_SHORT_JOBS: Final = 512
#: Jobs shorter than the first are short; they stop being short above the second. In seconds.
SHORT_JOB_S: Final = (0.002, 0.005)
#: Weight of the newest observation in a moving mean.
MEAN_WEIGHT: Final = 0.1


def moving_mean(mean: float | None, observed: float) -> float:
    """Exponentially weighted mean; the first observation is the mean."""
    return observed if mean is None else mean + MEAN_WEIGHT * (observed - mean)


def is_short(mean_s: float | None, *, already: bool) -> bool:
    """Whether a queue's jobs are short, with hysteresis; unknown is not short."""
    return mean_s is not None and mean_s < SHORT_JOB_S[1 if already else 0]
