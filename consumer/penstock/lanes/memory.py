"""Memory: what one child has resident, what this worker may use at all, and whether the system has killed for it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from penstock.domain.crowding import Reading

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def resident(pid: int) -> int | None:
    """The bytes that a process has in memory now, without those of its own children.

    None: the process is gone, or the system does not tell (only Linux does).
    """
    try:
        return int((_PROC / str(pid) / "statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return None


def usable(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """The bytes that this worker may use: the machine's, or less where a container's limit (cgroup v1, v2) says so.

    Args:
        proc: Where procfs is mounted.
        cgroups: Where the control groups are mounted.
    """
    limits = (_limit(names, group) for names, group in _directories(proc, cgroups))
    return min([_physical(), *(limit for limit in limits if limit is not None)])


def oom_kills(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """How many processes of this worker's control group the system has killed because memory ran out (cgroup v2).

    0 where the system does not tell. Arguments as for `usable`.
    """
    for names, group in _directories(proc, cgroups):
        if names is not _V2:
            continue
        try:
            events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
            return int(events["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


class Container:
    """The closest of this process's control groups that has a limit: what the system holds a container to.

    Args:
        proc: Where procfs is mounted.
        cgroups: Where the control groups are mounted.
    """

    def __init__(self, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> None:
        groups = _directories(proc, cgroups)
        self._group = next(((names, group) for names, group in groups if _limit(names, group) is not None), None)

    def read(self) -> Reading | None:
        """How full it is now; None: there is no limit below the machine's, or the system does not tell.

        While there is room, `used` has the files in it that can be dropped: to tell them apart costs the system more.
        """
        if self._group is None:
            return None
        names, group = self._group
        if (limit := _limit(names, group)) is None:
            return None  # it was taken away
        try:
            used = int((group / names.used).read_text())
            if not Reading(used, limit).full:
                return Reading(used, limit)
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            return None
        # Files are kept in memory while there is room, up to the limit: to be full of them means nothing.
        cached = sum(int(stat.get(key, 0)) for key in names.cached)
        return Reading(max(0, used - cached), limit)


def sessions(wanted: Collection[int], forked: Collection[int] = (), proc: Path = _PROC) -> dict[int, int]:
    """The bytes that sessions have resident, by the id of the process that leads them, with every process in them.

    A child leads one, and what it starts is in it. Memory that processes share is counted for each of them, but in the
    sessions of `forked`: what these have of their template they all have, so there each process has its share.

    Looks at all processes: some milliseconds, and some thirty more for each GiB of `forked`.

    Args:
        wanted: The leaders.
        forked: Those of them that a template has forked.
        proc: Where procfs is mounted.
    """
    found = dict.fromkeys(wanted, 0)
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            # What follows the name, which may contain anything: the state, three ids, and the session.
            fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
            session, pages = int(fields[3]), int(fields[21])
        except (OSError, ValueError, IndexError):
            continue
        if session in found:
            share = _share(process) if session in forked else None
            found[session] += pages * _PAGE_BYTES if share is None else share
    return found


def _share(process: Path) -> int | None:
    """The bytes that a process has resident, each page divided by how many have it; None: the system does not tell."""
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration, ValueError):
        return None


class _Names(NamedTuple):
    """The files of a control group, by the version of control groups."""

    limit: str
    used: str
    #: The keys in `memory.stat` of what the system can drop.
    cached: tuple[str, str]


_V1: Final = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_V2: Final = _Names("memory.max", "memory.current", ("inactive_file", "active_file"))


def _directories(proc: Path, cgroups: Path) -> Iterator[tuple[_Names, Path]]:
    """Where this process's groups may be, and all above them, the closest first.

    Inside a container the group may be mounted as the root, under a path that only the host knows.
    """
    try:
        memberships = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers == "":
            names, root = _V2, cgroups
        elif "memory" in controllers.split(","):
            names, root = _V1, cgroups / "memory"
        else:
            continue
        group = PurePosixPath(path)
        yield from ((names, root / above.relative_to("/")) for above in (group, *group.parents))


def _limit(names: _Names, group: Path) -> int | None:
    """The limit of a group; None: it has none (`max`, or more than there is), or is not there."""
    try:
        limit = int((group / names.limit).read_text())
    except (OSError, ValueError):
        return None
    return limit if limit < _physical() else None


def _physical() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
