"""A lane with real children for tests: the module that they import, jobs for it, and all that it reports."""

from __future__ import annotations

import ast
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from penstock.domain.confine import Confine
from penstock.domain.delivery import Delivery
from penstock.domain.lane import Processes, Threads
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.recycle import Recycle
from penstock.domain.retry import Retry
from penstock.domain.task import QueueSpec
from penstock.lanes.supervisor import Lane
from penstock.wire.result import decode_result
from tests.unit.builders import job_body, job_id, make_delivery, make_queue, make_task
from tests.unit.waiting import alive, until, within_deadline

#: All tasks do what their argument says; `quick` has a timeout and a policy.
MODULE = """
import os, signal, sys, time
from penstock import Processes, Queue, Retry, current_job
q = Queue("q", lane=Processes(1))

def await_file(name):
    while not os.path.exists(name):
        time.sleep(0.002)

@q.task
def step(action="", answer=None):
    exec(action)
    return [os.getpid(), answer]

q.task(name="slow")(step)

@q.task(timeout=0.25, retry=Retry(attempts=3, base=8, jitter="none"))
def quick(action="", answer=None):
    exec(action)
    return [os.getpid(), answer]
"""

QUICK_RETRY = Retry(attempts=3, base=8, jitter="none")
CRASH = "os.kill(os.getpid(), signal.SIGKILL)"
HANG = "time.sleep(60)"


def spec(
    slots: int,
    target: str = "lane_tasks:q",
    python: str | None = None,
    memory: int | None = None,
    timeout_s: float = 0.25,
    hard_memory: int | None = None,
    recycle: Recycle | None = None,
    confine: Confine | None = None,
    *,
    preload: bool = False,
) -> QueueSpec:
    tasks = (make_task("q.step"), make_task("q.slow"), make_task("q.quick", timeout_s=timeout_s, retry=QUICK_RETRY))
    made = make_queue(*tasks, name="q", target=target)
    lane = Processes(slots, python, memory, hard_memory, recycle, confine, preload)
    return QueueSpec(name="q", target=target, lane=lane, tasks=made.tasks)


def job(number: int, action: str = "", *, task: str = "q.step") -> Delivery:
    body = job_body(id=job_id(number), task=task, args={"action": action, "answer": number})
    return make_delivery(task=task, queue="q", job_id=job_id(number), tag=number, body=body)


class Observed:
    """A lane, and everything that it has reported."""

    def __init__(self, lane_spec: QueueSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self.outcomes: list[tuple[int, Outcome]] = []
        self.unstarted: list[Delivery] = []
        self.broken: list[str] = []
        self.items: list[tuple[Delivery, int, bytes]] = []
        self.said: list[tuple[Delivery, float, str]] = []
        self._others = children()
        self.lane = Lane(
            lane_spec,
            worker="shop.worker-1",
            max_body_bytes=1024 * 1024,
            max_blob_bytes=4 * 1024 * 1024,
            contracts="contracts/tasks",
            on_outcome=self._note,
            on_unstarted=self.unstarted.append,
            on_broken=self.broken.append,
            on_item=lambda *item: self.items.append(item),
            on_progress=lambda *said: self.said.append(said),
            clock=clock,
        )

    def _note(self, delivery: Delivery, outcome: Outcome) -> None:
        self.outcomes.append((delivery.tag, outcome))

    def submit(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            self.lane.submit(delivery)

    async def reported(self, count: int) -> dict[int, Outcome]:
        """The outcomes of so many jobs, by tag; no job is reported twice."""
        await until(lambda: len(self.outcomes) >= count)
        assert len(self.outcomes) == count
        assert len({tag for tag, _ in self.outcomes}) == count
        return dict(self.outcomes)

    async def run(self, *deliveries: Delivery) -> dict[int, Outcome]:
        self.outcomes.clear()
        self.submit(*deliveries)
        return await self.reported(len(deliveries))

    async def looked(self) -> None:
        """Wait until the lane has held its jobs against their limits by the clock as it is now."""
        now = self.lane._clock()
        await until(lambda: self.lane._watch.looked_at > now)

    async def run_alone(self, delivery: Delivery) -> Outcome:
        """The outcome of a job in quarantine, when its child is gone."""
        self.outcomes.clear()
        assert self.lane.quarantine(delivery)
        outcomes = await self.reported(1)
        await until(lambda: self.alone is None)
        return outcomes[delivery.tag]

    @property
    def alone(self) -> int | None:
        """The process in quarantine."""
        child = self.lane._quarantine.place.child
        return child.pid if child is not None else None

    @property
    def pids(self) -> list[int]:
        return [place.child.pid for place in self.lane._all_places() if place.child is not None]

    @property
    def unknown(self) -> set[int]:
        """Processes that came with the lane and are none of its children, zombies included."""
        templates = {template.pid for template in self.lane._starts._templates}
        return children() - self._others - {*self.pids} - templates


@asynccontextmanager
async def running(
    slots: int = 1, *, clock: Callable[[], float] = time.monotonic, **changes: Any
) -> AsyncIterator[Observed]:
    """A lane whose children are ready and know how short `step` is; all of them are gone afterwards."""
    observed = Observed(spec(slots, **changes), clock)
    pids: list[int] = []
    try:
        await observed.lane.start()
        pids = observed.pids
        for task in ("q.step", "q.quick"):
            await observed.run(job(900, task=task))
        observed.outcomes.clear()
        yield observed
    finally:
        pids += observed.pids
        observed.lane.kill()
        await until(lambda: not observed.pids and observed.lane._starts.idle)
        assert not [pid for pid in pids if pid and alive(pid)]  # 0: it was to be forked
        await until(lambda: not observed.unknown)


@asynccontextmanager
async def sharing(width: int) -> AsyncIterator[Observed]:
    """A lane with one child that runs so many jobs at once."""
    observed = Observed(replace(spec(1), lane=Threads(width)))
    try:
        await observed.lane.start()
        yield observed
    finally:
        observed.lane.kill()
        await until(lambda: not observed.pids)


def children() -> set[int]:
    """The children of this process, zombies included; none where the system does not list them."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.add(int(process.name))
    return found


class Clock:
    """The monotonic clock, which the test can put forward."""

    def __init__(self) -> None:
        self.forward_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.forward_s


def allow() -> None:
    """Let the jobs go on that await the file."""
    Path("go").touch()


def read(path: str) -> str:
    """What a job has written."""
    return Path(path).read_text()


def values(outcomes: dict[int, Outcome]) -> dict[int, Any]:
    """The answers by tag, without the process ids."""
    return {tag: decode_result(outcome.body).value[1] for tag, outcome in outcomes.items() if outcome.body}


async def told(observed: Observed, expression: str, *, number: int = 1) -> Any:
    """What an expression is in a child, in which os, signal, subprocess and sys are known."""
    path = f"told-{number}"
    action = f"import subprocess\nfound = repr({expression})\nopen({path!r}, 'w').write(found)"
    outcomes = await observed.run(job(number, action))
    assert outcomes[number].kind is OutcomeKind.SUCCEEDED, outcomes[number].trace
    return ast.literal_eval(read(path))


def child_says(confine: Confine | None, expression: str) -> Any:
    """What an expression is in a child that is so confined."""

    async def test() -> Any:
        async with running(confine=confine) as observed:
            return await told(observed, expression)

    return within_deadline(test())
