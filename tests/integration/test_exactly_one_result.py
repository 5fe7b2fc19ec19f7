"""Ten thousand jobs from Go: each has exactly one result, also when the worker is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from penstock.domain.topology import Topology
from penstock.wire.result import decode_result
from tests.helpers.go import build
from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

JOBS = 10_000


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "worker killed with SIGKILL"])
def test_every_job_has_exactly_one_result(
    killed: bool,
    topology: Topology,
    producer: Producer,
    redis_url: str,
    start_worker: Callable[..., WorkerProcess],
    tmp_path: Path,
) -> None:
    program = build("bench", tmp_path)
    worker = start_worker()
    arguments = [
        "through",
        "-count",
        str(JOBS),
        "-stored",
        "-task",
        "t.sum",
        "-namespace",
        topology.namespace,
    ]
    with (
        redis.Redis.from_url(redis_url) as store,
        subprocess.Popen([str(program), *arguments], stdout=subprocess.PIPE, text=True, env=os.environ) as caller,
    ):
        try:
            if killed:
                until(lambda: stored(store, topology) > JOBS // 10, "the worker is in the middle", 60)
                worker.signal(signal.SIGKILL)
                worker.wait()
                assert stored(store, topology) < JOBS
                start_worker()
            # The caller checks every value against its job; it fails if one is missing or wrong.
            output, _ = caller.communicate(timeout=240)
        finally:
            caller.kill()
        assert caller.returncode == 0, output
        assert json.loads(output.splitlines()[-1])["jobs"] == JOBS
        # Exactly one result under each key, none beyond, nothing left in the broker.
        keys = list(store.scan_iter(f"{topology.namespace}:result:*", count=1000))
        assert len(keys) == JOBS
        ids = {decode_result(body).job_id for body in store.mget(keys) if body is not None}
        assert len(ids) == JOBS
        until(lambda: producer.depth("q.t") == 0, "the queue is empty")
        assert producer.depth("dead.t") == 0
        assert producer.depth("lost") == 0
        for first in range(0, JOBS, 1000):
            store.delete(*keys[first : first + 1000])


def stored(store: redis.Redis, topology: Topology) -> int:
    """How many results there are."""
    return sum(1 for _ in store.scan_iter(f"{topology.namespace}:result:*", count=1000))
