"""Each example task is called from Go through its generated client, with the data that the libraries bring along."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.conftest import namespace
from tests.helpers.worker import ROOT, WorkerProcess

QUEUES = ("algebra", "inference", "learning", "pictures", "frames", "texts", "dates")


def test_every_example_task_can_be_called_from_go(amqp_url: str, redis_url: str, tmp_path: Path) -> None:
    with namespace(amqp_url, QUEUES) as topology:
        # Given a worker of all examples
        targets = [f"examples.tasks.{queue}:{queue}" for queue in QUEUES]
        options = ("--namespace", topology.namespace, "--redis-url", redis_url)
        worker = WorkerProcess(tmp_path / "worker.log", *targets, *options)
        try:
            worker.await_ready()

            # When their Go tests run against it
            done = subprocess.run(
                [ROOT / ".venv/bin/go", "test", "-count=1", "-v", "./clients"],
                cwd=ROOT / "examples",
                env={
                    **os.environ,
                    "PENSTOCK_EXAMPLES_URL": amqp_url,
                    "PENSTOCK_REDIS_URL": redis_url,
                    "PENSTOCK_EXAMPLES_NAMESPACE": topology.namespace,
                },
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        finally:
            worker.stop()

    # Then all pass, and none was skipped
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("^--- PASS", done.stdout, re.MULTILINE)) == 11
    assert "SKIP" not in done.stdout


def test_every_contract_is_called_by_a_go_test() -> None:
    source = (ROOT / "examples/clients/clients_test.go").read_text()
    tasks = {path.name for path in (ROOT / "contracts/tasks").iterdir()}
    called = {
        f"{queue}.{re.sub('(?<!^)(?=[A-Z])', '_', function).lower()}"
        for queue, function in re.findall(r"\b([a-z]+)\.(?!Enqueue)([A-Z]\w+)\(ctx, client", source)
    }
    assert called == tasks
    assert len(tasks) >= 12
