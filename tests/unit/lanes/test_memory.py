"""Memory: what a process has, and what a worker may use."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from penstock.domain.crowding import Reading
from penstock.lanes.memory import Container, oom_kills, resident, sessions, usable

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_a_process_has_grows_with_what_it_touches() -> None:
    before = resident(os.getpid())
    assert before is not None
    held = mmap.mmap(-1, 64 * MIB)  # fresh from the system, whatever the allocator still has
    held.write(b"x" * (64 * MIB))
    after = resident(os.getpid())
    assert after is not None
    assert after - before > 60 * MIB
    held.close()


def test_a_process_that_is_gone_has_nothing() -> None:
    assert resident(2**22 + 1) is None


def machine(root: Path, membership: str, limits: dict[str, str]) -> int:
    """What is usable on a machine with these control groups."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(membership)
    for path, limit in limits.items():
        file = root / "cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    return usable(root / "proc", root / "cgroup")


@pytest.mark.parametrize(
    ("membership", "limits", "mib"),
    [
        # v2: inside a container, on a host, and where a group further up is the narrowest
        ("0::/\n", {"memory.max": str(300 * MIB)}, 300),
        ("0::/system.slice/worker\n", {"system.slice/worker/memory.max": str(200 * MIB)}, 200),
        (
            "0::/pods/worker\n",
            {"pods/worker/memory.max": "max", "pods/memory.max": str(150 * MIB), "memory.max": str(250 * MIB)},
            150,
        ),
        # v1: on a host, and inside a container, where the path is the host's
        ("4:cpu:/x\n3:memory:/x\n", {"memory/x/memory.limit_in_bytes": str(100 * MIB)}, 100),
        ("3:cpu,memory:/docker/1f\n0::/\n", {"memory/memory.limit_in_bytes": str(90 * MIB)}, 90),
    ],
)
def test_the_narrowest_limit_of_the_container_counts(
    tmp_path: Path, membership: str, limits: dict[str, str], mib: int
) -> None:
    assert machine(tmp_path, membership, limits) == mib * MIB


@pytest.mark.parametrize(
    ("membership", "limits"),
    [
        ("0::/\n", {"memory.max": "max"}),
        ("0::/\n", {}),
        ("3:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}),
        ("3:cpu:/\n", {"cpu/memory.limit_in_bytes": "5"}),
    ],
)
def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path, membership: str, limits: dict[str, str]) -> None:
    assert machine(tmp_path, membership, limits) == PHYSICAL


def test_where_there_are_no_control_groups_it_is_the_machines_memory(tmp_path: Path) -> None:
    assert usable(tmp_path, tmp_path) == PHYSICAL


@pytest.mark.parametrize(
    ("membership", "files", "kills"),
    [
        ("0::/\n", {"memory.events": "low 0\noom 3\noom_kill 2"}, 2),
        ("0::/pods/worker\n", {"pods/worker/memory.events": "oom_kill 1", "memory.events": "oom_kill 9"}, 1),
        ("0::/docker/1f\n", {"memory.events": "oom_kill 4"}, 4),
        ("0::/\n", {}, 0),
        ("0::/\n", {"memory.events": "nonsense"}, 0),
        ("3:memory:/\n", {"memory.events": "oom_kill 4"}, 0),
    ],
)
def test_what_the_system_has_killed_for_memory_is_known(
    tmp_path: Path, membership: str, files: dict[str, str], kills: int
) -> None:
    machine(tmp_path, membership, files)
    assert oom_kills(tmp_path / "proc", tmp_path / "cgroup") == kills


def test_where_there_are_no_control_groups_nothing_is_known(tmp_path: Path) -> None:
    assert oom_kills(tmp_path, tmp_path) == 0


# ── a container ─────────────────────────────────────────────────────────────────────────────────────


def container(root: Path, membership: str, files: dict[str, str]) -> Container:
    """A container as these control groups make it."""
    machine(root, membership, files)
    return Container(root / "proc", root / "cgroup")


@pytest.mark.parametrize("cached", [0, 100])
def test_a_container_tells_what_it_uses_without_the_files_that_can_be_dropped(tmp_path: Path, cached: int) -> None:
    # v2, where the narrowest group is not the closest: the closest with a limit counts
    modern = container(
        tmp_path / "modern",
        "0::/pods/worker/leaf\n",
        {
            "pods/worker/leaf/memory.max": "max",
            "pods/worker/memory.max": str(300 * MIB),
            "pods/worker/memory.current": str(290 * MIB),
            "pods/worker/memory.stat": f"anon 5\ninactive_file {cached * MIB}\nactive_file {MIB}",
            "pods/memory.max": str(250 * MIB),
        },
    )
    assert modern.read() == Reading((289 - cached) * MIB, 300 * MIB)

    # v1
    old = container(
        tmp_path / "old",
        "3:memory:/docker/1f\n0::/\n",
        {
            "memory/memory.limit_in_bytes": str(300 * MIB),
            "memory/memory.usage_in_bytes": str(290 * MIB),
            "memory/memory.stat": f"cache 5\ntotal_inactive_file {cached * MIB}\ntotal_active_file {MIB}",
        },
    )
    assert old.read() == Reading((289 - cached) * MIB, 300 * MIB)


def test_a_container_with_room_is_not_asked_for_its_files(tmp_path: Path) -> None:
    made = container(
        tmp_path, "0::/\n", {"memory.max": str(300 * MIB), "memory.current": str(200 * MIB), "memory.stat": "?"}
    )
    assert made.read() == Reading(200 * MIB, 300 * MIB)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"memory.max": "max", "memory.current": "1", "memory.stat": ""},
        {"memory.max": str(2 * PHYSICAL), "memory.current": "1", "memory.stat": ""},
        {"memory.max": str(300 * MIB)},
        {"memory.max": str(300 * MIB), "memory.current": "many", "memory.stat": ""},
        {"memory.max": str(300 * MIB), "memory.current": str(299 * MIB)},
    ],
)
def test_without_a_limit_or_a_number_there_is_no_reading(tmp_path: Path, files: dict[str, str]) -> None:
    assert container(tmp_path, "0::/\n", files).read() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_session_that_nobody_leads_weighs_nothing_and_ours_does() -> None:
    ours = os.getsid(0)
    sizes = sessions([ours, 2**22 + 1])
    assert sizes[2**22 + 1] == 0
    assert sizes[ours] >= (resident(os.getpid()) or 0) * 0.5
