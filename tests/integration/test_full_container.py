"""A worker in a real container: a job that fills it costs its child, and neither the worker nor another job."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.container import memory_limit
from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

MIB = 2**20

MODULE = """
import time
from pathlib import Path
from penstock import Processes, Queue
t = Queue("t", lane=Processes(2))

@t.task
def eat():
    eaten = []
    while True:
        eaten.append(b"x" * 2**20)
        time.sleep(0.005)

@t.task
def wait_for(path):
    while not Path(path).exists(): time.sleep(0.005)
    return "there"
"""


def test_a_job_that_fills_the_container_ends_before_the_worker_does(producer: Producer, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(MODULE)
    with memory_limit(400 * MIB) as prefix:
        # Given a worker in a container, with a job that waits
        arguments = ("app:t", "--namespace", producer.topology.namespace)
        worker = WorkerProcess(tmp_path / "worker.log", *arguments, prefix=prefix, cwd=tmp_path)
        try:
            worker.await_ready()
            waits = producer.enqueue("t.wait_for", {"path": str(tmp_path / "go")})

            # When another one eats all the memory that there is
            eats = producer.enqueue("t.eat")
            until(lambda: worker.records("worker.memory_full"), "the guard", 60)

            # Then it is ended in time: the parent lives, and says why
            (record, *_) = worker.records("worker.memory_full")
            assert record["limit"] == 400 * MIB
            assert record["used"] > 0.92 * 400 * MIB
            until(lambda: "memory" in worker.get("/metrics")[1].split("penstock_child_exits_total", 1)[-1], "its end")
            assert worker.process.poll() is None

            # And its neighbour goes on; the job itself runs alone then, until its budget is spent
            (tmp_path / "go").touch()
            assert producer.result(waits).value == "there"
            error = producer.result(eats, 60).error
            assert error is not None
            assert error.code == "CHILD_LOST"
        finally:
            worker.stop()
