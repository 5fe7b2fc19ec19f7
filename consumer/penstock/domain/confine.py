"""What a child may have of the machine, and what is particular to the start of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from penstock.errors import DeclarationError

#: Fewest descriptors with which a child can start and import something.
_LEAST_FILES: Final = 32
_MOST_NICE: Final = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Confine:
    """Confines each child of a lane, and what it starts, before any of the user's code is imported there.

        Queue("images", lane=Processes(4, confine=Confine(network=False, tempdir=True, file_size=2**30)))

    What the system cannot do is refused: the child says so and does not start. This fences in code that errs; it is
    no wall against code that attacks, which runs as the worker's user and may do to its files what that user may.
    There is no limit of the address space (RLIMIT_AS), which libraries reserve without using it: take the lane's
    `memory`. There is none of CPU time, which would count all jobs of a child: take a task's `timeout`.

    Attributes:
        cores: The numbers of the cores on which a child may run, from 0; on Linux only. Defaults to None: those of
            the worker.
        spread: Whether each child has one core of these for itself, the one that the fewest children of its lane
            have; on Linux only. Libraries that start a thread per core then start one. Defaults to False.
        nice: By how much a child's priority is lower than the worker's, 0 to 19. Defaults to 0.
        open_files: The most file descriptors, at least 32 (RLIMIT_NOFILE). Defaults to None: as the worker.
        file_size: The most bytes of a file that is written (RLIMIT_FSIZE), also of the one in memory by which a
            result too long for a message goes to the worker, and of the one to which the worker's output is
            redirected. Beyond it Python gets an OSError, a program SIGXFSZ. Defaults to None: as the worker.
        processes: With how many processes and threads of the worker's user, on the whole machine and the worker's own
            included, a child can start no more of them (RLIMIT_NPROC): a guard against fork bombs. The system does
            not hold root to it, so a child that runs as root refuses to start. Defaults to None: as the worker.
        core_dumps: Whether a crash may leave a core dump. Defaults to False.
        network: Whether there is a network. Without it, sockets other than those of AF_UNIX are refused with EACCES,
            and so is io_uring; setuid programs gain nothing. On Linux on x86-64 and arm64 only (seccomp). Defaults to
            True.
        tempdir: Whether each child has a temporary directory of its own (TMPDIR and `tempfile`), which is removed with
            all that is in it when the child is gone, however it ended. Defaults to False: the worker's.

    Raises:
        DeclarationError: A number is none, or out of its range.
    """

    cores: tuple[int, ...] | None = None
    spread: bool = False
    nice: int = 0
    open_files: int | None = None
    file_size: int | None = None
    processes: int | None = None
    core_dumps: bool = False
    network: bool = True
    tempdir: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if problems := list(self._problems()):
            raise DeclarationError("Confine: " + "; ".join(problems))

    def _problems(self) -> Iterator[str]:
        cores = self.cores
        if cores is not None and not (type(cores) is tuple and cores and all(_whole(core, 0) for core in cores)):
            yield f"cores must be a tuple of whole numbers from 0, at least one, not {cores!r}"
        if not (_whole(self.nice, 0) and self.nice <= _MOST_NICE):
            yield f"nice must be a whole number from 0 to {_MOST_NICE}, not {self.nice!r}"
        for name, least in (("open_files", _LEAST_FILES), ("file_size", 0), ("processes", 1)):
            limit = getattr(self, name)
            if limit is not None and not _whole(limit, least):
                yield f"{name} must be a whole number from {least}, not {limit!r}"

    def to_wire(self) -> dict[str, Any]:
        """The options as the catalog carries them, and the child's command line."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Confine:
        """The options as the parent, and the child, read them."""
        return replace(cls(**{**wire, "cores": None}), cores=wire["cores"] and tuple(wire["cores"]))


def _whole(number: object, least: int) -> bool:
    return type(number) is int and number >= least


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What one child is started with.

    Attributes:
        confine: The options of its lane; None: there are none.
        core: The one core that it has; None: those of `confine`.
        tempdir: Its temporary directory; None: it has none of its own.
    """

    confine: Confine | None = None
    core: int | None = None
    tempdir: str | None = None

    @property
    def cores(self) -> tuple[int, ...] | None:
        """The cores on which it may run; None: those of the worker."""
        if self.core is not None:
            return (self.core,)
        return None if self.confine is None else self.confine.cores

    def to_wire(self) -> list[Any]:
        """It as the child is told."""
        return [self.confine and self.confine.to_wire(), self.core, self.tempdir]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> Start:
        """It as the child reads it."""
        confine, core, tempdir = wire
        return cls(confine=confine and Confine.from_wire(confine), core=core, tempdir=tempdir)
