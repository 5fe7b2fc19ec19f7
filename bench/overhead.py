"""What a Processes lane costs for a job that does nothing: CPU time of the parent and of the children.

    .venv/bin/python bench/overhead.py [JOBS]

No broker: a lane is given JOBS (30,000 unless said otherwise) as a worker would give them: first under load, with as
many in hand as its prefetch allows, then one at a time, when no read or write serves more than one job. Beside it stand
the same attempts made in this process, without a child and without frames: what is more than those is the price of the
process boundary.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from bench.tasks import bench  # noqa: E402
from penstock.domain.delivery import Delivery  # noqa: E402
from penstock.domain.lane import PREFETCH_PER_SLOT, PREFETCH_SHORT_JOBS  # noqa: E402
from penstock.domain.outcome import Outcome, OutcomeKind  # noqa: E402
from penstock.domain.spent import NOTHING  # noqa: E402
from penstock.domain.task import QueueSpec  # noqa: E402
from penstock.lanes.catalog import describe  # noqa: E402
from penstock.lanes.runner.execute import Executor  # noqa: E402
from penstock.lanes.supervisor import Lane  # noqa: E402
from penstock.schema.library import Library  # noqa: E402
from penstock.wire.job import Job, encode_job  # noqa: E402
from penstock.wire.registry import MAX_BODY_BYTES, ResultMode  # noqa: E402

CONTRACTS = str(ROOT / "contracts/tasks")
TASK = "bench.nothing"
JOB_ID = "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"
#: A result goes back, as it does for most jobs.
BODY = encode_job(Job(id=JOB_ID, task=TASK, tv=1, args={}, created_at=1_730_000_000_000, deadline=None))
META = [TASK, JOB_ID, 1, 1, None, 10_000, 0, 0, None]
ROUNDS = 5
DEADLINE_S = 120.0
#: CPU time that a job may cost more than in-process, in the parent and in its child, in microseconds.
TARGET_US = 25.0


def main(jobs: int) -> int:
    """Measure and print."""
    os.chdir(ROOT)
    return asyncio.run(_main(jobs))


async def _main(jobs: int) -> int:
    (spec,) = await describe(["bench.tasks:bench"], CONTRACTS)
    print(f"{jobs:,} jobs that do nothing, {spec.lane.slots} children, {os.cpu_count()} cores; us of CPU time a job\n")
    print(f"  {'':<14}{'in-process':>12}{'child':>10}{'more':>8}{'ratio':>8}{'parent':>12}{'ratio':>8}{'jobs/s':>12}")
    prefetch = PREFETCH_PER_SLOT * spec.lane.slots + PREFETCH_SHORT_JOBS
    async with asyncio.timeout(DEADLINE_S):
        rounds = [await measured("under load", spec, jobs, prefetch) for _ in range(ROUNDS)]
        for _ in range(ROUNDS):
            await measured("one at a time", spec, jobs // 3, 1)
    inside, child, parent = (statistics.median(figures) for figures in zip(*rounds, strict=True))
    met = "met" if max(parent, child - inside) <= TARGET_US else "missed"
    print(
        f"\nunder load, medians: {parent:.1f} us in the parent, {child - inside:.1f} us more in the child"
        f" (the target is {TARGET_US:g} each: {met})"
    )
    return 0


async def measured(what: str, spec: QueueSpec, jobs: int, in_hand: int) -> tuple[float, float, float]:
    """Print one line; returns what a job costs in this process, in a child, and in a child's parent."""
    inside = in_process(jobs)
    parent, child, per_s = await in_lane(spec, jobs, in_hand)
    print(
        f"  {what:<14}{inside:>12.1f}{child:>10.1f}{child - inside:>8.1f}{child / inside:>8.2f}"
        f"{parent:>12.1f}{parent / inside:>8.2f}{per_s:>12,.0f}",
        flush=True,
    )
    return inside, child, parent


def in_process(jobs: int) -> float:
    """CPU microseconds of an attempt in this process: decode, bind, call, encode."""
    executor = Executor(bench, Library(CONTRACTS), worker="bench", max_body_bytes=MAX_BODY_BYTES)
    began = time.process_time()
    for _ in range(jobs):
        answer, _, _ = executor.run(META, BODY)
    used = time.process_time() - began
    assert answer[0] == OutcomeKind.SUCCEEDED.value
    return used / jobs * 1e6


async def in_lane(spec: QueueSpec, jobs: int, in_hand: int) -> tuple[float, float, float]:
    """CPU microseconds of a job in the parent, in its child, and jobs per second."""
    ended = asyncio.get_running_loop().create_future()
    warm = jobs // 10
    left, waiting = jobs + warm, deliveries(jobs + warm)
    begun: tuple[float, float, float] | None = None

    def readings() -> tuple[float, float, float]:
        return time.process_time(), sum(map(cpu_s, children(lane))), time.perf_counter()

    def on_outcome(delivery: Delivery, outcome: Outcome) -> None:
        nonlocal left, begun
        if outcome.kind is not OutcomeKind.SUCCEEDED:
            ended.set_exception(RuntimeError(f"{delivery.tag}: {outcome}"))
            return
        left -= 1
        if left == jobs:
            # What the lane has learned by now is that its jobs are short.
            begun = readings()
        if (following := next(waiting, None)) is not None:
            lane.submit(following)
        elif left == 0:
            ended.set_result(readings())

    lane = Lane(
        spec,
        worker="bench",
        max_body_bytes=MAX_BODY_BYTES,
        max_blob_bytes=MAX_BODY_BYTES,
        contracts=CONTRACTS,
        on_outcome=on_outcome,
        on_unstarted=lambda delivery: ended.set_exception(RuntimeError(f"{delivery.tag} was not started")),
        on_broken=lambda text: ended.set_exception(RuntimeError(text)),
        on_item=lambda *_: None,
        on_progress=lambda *_: None,
    )
    await lane.start()
    try:
        for _ in range(in_hand):
            lane.submit(next(waiting))
        after = await ended
    finally:
        await lane.stop(5)
    assert begun is not None
    parent, child, took = (now - then for now, then in zip(after, begun, strict=True))
    return parent / jobs * 1e6, child / jobs * 1e6, jobs / took


def deliveries(count: int) -> Iterator[Delivery]:
    """Jobs as the intake makes them; made beforehand, because making them is not the lane's work."""
    common: dict[str, Any] = {
        "task": TASK,
        "queue": "bench",
        "type": "job.v1",
        "attempt": 1,
        "returns": 0,
        "fence": 10_000,
        "again": False,
        "spent": NOTHING,
        "repeat": 0,
        "replays": 0,
        "version": 1,
        "deadline_ms": None,
        "not_before_ms": None,
        "mode": ResultMode.REPLY,
        "reply_to": None,
        "user": None,
        "priority": None,
        "kept": {},
        "channel": None,
    }
    return iter([Delivery(job_id=JOB_ID, body=BODY, tag=tag, **common) for tag in range(count)])


def children(lane: Lane) -> list[int]:
    """The process ids of a lane's children."""
    return [place.child.pid for place in lane._places if place.child is not None]  # noqa: SLF001 -- to read their CPU time


def cpu_s(pid: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000))
