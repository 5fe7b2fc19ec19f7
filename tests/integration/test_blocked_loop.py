"""A job that blocks the event loop of its lane is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

MODULE = """
import asyncio, time
from penstock import Async, Queue
t = Queue("t", lane=Async(4))

@t.task
async def polite(seconds): await asyncio.sleep(seconds)

@t.task
async def rude(seconds): hold_everybody_up(seconds)

def hold_everybody_up(seconds): time.sleep(seconds)
"""


def test_the_task_that_blocks_the_loop_is_named_once_with_its_stack(
    start_worker: Callable[..., WorkerProcess], producer: Producer, tmp_path: Path
) -> None:
    # Given jobs that wait as they should, and one that does not
    (tmp_path / "app.py").write_text(MODULE)
    worker = start_worker(target="app:t", cwd=tmp_path)
    polite = [producer.enqueue("t.polite", {"seconds": 0.8}) for _ in range(2)]
    rude = producer.enqueue("t.rude", {"seconds": 1.0})

    # When all have ended
    for job in (*polite, rude):
        assert producer.result(job).error is None

    # Then only that one is named, once
    (record,) = until(lambda: worker.records("child.blocked"), "the log")
    assert (record["task"], record["job_id"]) == ("t.rude", rude)
    first, *_, last = record["traceback"].splitlines()
    assert first.endswith("in rude")
    assert "hold_everybody_up" in last
    assert "t.rude has blocked the event loop for" in record["message"]
