"""`python=`: one worker, two queues, two virtual environments whose libraries could not be in one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import namespace
from tests.helpers.producer import Producer
from tests.helpers.servers import missing
from tests.helpers.two_pythons import SECOND
from tests.helpers.worker import ROOT, WorkerProcess

PINNED = next(
    line.partition("==")[2].split()[0]
    for line in (ROOT / "ops/dev/second.txt").read_text().splitlines()
    if line.startswith("numpy==")
)


@pytest.fixture
def producer(amqp_url: str, tmp_path: Path) -> Iterator[Producer]:
    """A producer beside one worker of both queues."""
    if not (SECOND / "bin/python").exists():
        missing(f"there is no {SECOND.relative_to(ROOT)}; run: make setup-tests")
    queues = ("newer", "older")
    with namespace(amqp_url, queues) as topology, Producer(amqp_url, topology) as made:
        targets = [f"tests.helpers.two_pythons:{queue}" for queue in queues]
        worker = WorkerProcess(tmp_path / "worker.log", *targets, "--namespace", topology.namespace)
        try:
            worker.await_ready()
            yield made
        finally:
            worker.stop()


def test_one_worker_runs_two_queues_with_conflicting_versions_of_a_library(producer: Producer) -> None:
    # Given a job for each queue of the one worker
    jobs = [producer.enqueue(f"{queue}.look", {"values": [3.0, 4.0]}) for queue in ("newer", "older")]

    # When both are answered
    results = [producer.result(job) for job in jobs]

    # Then each has run with the library of its own environment
    assert [result.error for result in results] == [None, None]
    assert len({result.worker for result in results}) == 1
    newer, older = (result.value for result in results)
    assert newer == {"prefix": sys.prefix, "numpy": version("numpy"), "norm": 5.0, "sum": "float32"}
    assert older == {"prefix": str(SECOND), "numpy": PINNED, "norm": 5.0, "sum": "float64"}
    assert (newer["numpy"][:2], older["numpy"][:2]) == ("2.", "1.")
