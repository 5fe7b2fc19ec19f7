"""A lane with batches and real children, in what callers do not see: drains, and jobs of other versions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.domain.batch import Batch
from penstock.domain.delivery import Delivery
from penstock.domain.lane import Processes
from penstock.domain.task import QueueSpec
from tests.unit.builders import job_body, job_id, make_delivery, make_task
from tests.unit.lanes.observed import Observed, values
from tests.unit.waiting import alive, until, within_deadline

TIMEOUT_S = 0.25
MODULE = """
import os, time
from pathlib import Path
from penstock import Batch, Processes, Queue
q = Queue("q", lane=Processes(1))

def of(number, action=""): ...

@q.task(name="act", timeout=0.25, batch=Batch(size=2, wait=0, of=of))
def act(jobs):
    for job in jobs:
        if job["action"] == "hang":
            Path("begun").touch()
            time.sleep(60)
    return [[os.getpid(), job["number"]] for job in jobs]
"""


@pytest.fixture(autouse=True)
def batch_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "batch_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def job(number: int, action: str = "") -> Delivery:
    body = job_body(id=job_id(number), task="q.act", args={"number": number, "action": action})
    return make_delivery(task="q.act", queue="q", job_id=job_id(number), tag=number, body=body)


@asynccontextmanager
async def running() -> AsyncIterator[Observed]:
    task = make_task("q.act", timeout_s=TIMEOUT_S, batch=Batch(size=2, wait=0))
    spec = QueueSpec(name="q", target="batch_tasks:q", lane=Processes(1), tasks={"q.act": {1: task}})
    observed = Observed(spec)
    pids: list[int] = []
    try:
        await observed.lane.start()
        pids = observed.pids
        yield observed
    finally:
        pids += observed.pids
        observed.lane.kill()
        await until(lambda: not observed.pids)
        assert not [pid for pid in pids if alive(pid)]


def test_a_call_that_hangs_is_ended_and_its_jobs_are_called_apart_in_the_next_child() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a call with two jobs, of which one hangs
            outcomes = await observed.run(job(1), job(2, "hang"))

            # Then it alone has timed out, and nobody has to wait in the broker
            assert outcomes[2].kind == "timed_out"
            assert values(outcomes) == {1: 1}
            assert observed.unstarted == []
            assert observed.lane.exits == {"timeout": 2}

    within_deadline(test())


def test_a_call_that_hangs_while_the_lane_drains_is_handed_back() -> None:
    async def test() -> None:
        async with running() as observed:
            # Given a call that hangs, and a job behind it
            observed.submit(job(1), job(2, "hang"), job(3))
            await until(lambda: Path("begun").exists())

            # When the lane stops and the call's time runs out meanwhile
            cut_off = await observed.lane.stop(20)

            # Then both of its jobs are handed back as begun, and the third as never sent
            assert sorted(delivery.tag for delivery in cut_off) == [1, 2]
            assert [delivery.tag for delivery in observed.lane.take_waiting()] == [3]
            assert observed.outcomes == []

    within_deadline(test())


def test_a_job_in_quarantine_is_a_call_of_its_own() -> None:
    async def test() -> None:
        async with running() as observed:
            outcome = await observed.run_alone(job(1))
            assert values({1: outcome}) == {1: 1}

    within_deadline(test())


def test_jobs_that_wait_for_others_can_be_taken_back() -> None:
    async def test() -> None:
        async with running() as observed:
            observed.submit(job(1, "hang"), job(2))
            await until(lambda: Path("begun").exists())
            observed.submit(job(3))
            await asyncio.sleep(0)
            assert observed.lane.in_progress == 3
            assert [delivery.tag for delivery in observed.lane.take_waiting()] == [3]

    within_deadline(test())
