"""Memory: what one child has resident, what this worker may use at all, and whether the system has killed for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

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
    physical = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    return min([physical, *_limits(proc, cgroups)])


def oom_kills(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """How many processes of this worker's control group the system has killed because memory ran out (cgroup v2).

    0 where the system does not tell. Arguments as for `usable`.
    """
    for group in _groups(proc, cgroups):
        try:
            events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
            return int(events["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def _groups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """Where this process's group of cgroup v2 may be, the closest first.

    Inside a container the group may be mounted as the root, under a path that only the host knows.
    """
    try:
        memberships = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers == "":
            group = PurePosixPath(path)
            yield from (cgroups / above.relative_to("/") for above in (group, *group.parents))


def _limits(proc: Path, cgroups: Path) -> Iterator[int]:
    """The limits of this process's groups and of all groups above them; `max` is none."""
    try:
        memberships = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers == "":
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Inside a container the group may be mounted as the root, under a path that only the host knows.
        group = PurePosixPath(path)
        for above in (group, *group.parents):
            try:
                yield int((root / above.relative_to("/") / name).read_text())
            except (OSError, ValueError):
                continue
