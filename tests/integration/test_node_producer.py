"""A producer in a third language: Node calls Python, knowing nothing but contracts/."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import node
from tests.helpers.forwarder import Direction, Forwarder
from tests.helpers.producer import Producer
from tests.helpers.wait import until
from tests.helpers.worker import ROOT, WorkerProcess

EXAMPLE = ROOT / "examples/node"

Ended = subprocess.CompletedProcess[str]
Call = Callable[..., Ended]

#: Exit statuses, by contracts/registry/errors.json.
OK, REMOTE, UNROUTABLE, TEMPFAIL = 0, 1, 68, 75


@pytest.fixture
def call(running: Producer, amqp_url: str) -> Call:
    """`node call.mjs` beside a running worker of queue `t`."""

    def run(task: str, args: object = None, seconds: float = 30) -> Ended:
        return subprocess.run(
            [node.node(EXAMPLE), "call.mjs", task, json.dumps(args or {}), str(seconds)],
            cwd=EXAMPLE,
            env=node.environment(PENSTOCK_AMQP_URL=amqp_url, PENSTOCK_NAMESPACE=running.topology.namespace),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    "value",
    [None, True, -(2**53), 1.5, "é𝄞", [1, [2.5, []]], {"b": 1, "a": {"10": None, "9": None, "__proto__": 3}}],
)
def test_a_value_comes_back_as_it_was(call: Call, value: object) -> None:
    ended = call("t.echo", {"value": value})
    assert (ended.returncode, ended.stderr) == (OK, "")
    assert json.loads(ended.stdout) == value


def test_a_library_function_is_called_from_node(call: Call) -> None:
    ended = call("t.sqrt", {"x": 2})
    assert json.loads(ended.stdout) == pytest.approx(2**0.5)


def test_an_error_result_is_shown_with_its_code(call: Call) -> None:
    ended = call("t.add", {"c": 1})
    assert (ended.returncode, ended.stdout) == (REMOTE, "")
    assert ended.stderr.startswith("INVALID_ARGS: ")


def test_a_task_that_its_worker_does_not_have_is_an_error_result(call: Call) -> None:
    ended = call("t.nowhere")
    assert (ended.returncode, ended.stderr.split(":")[0]) == (REMOTE, "UNSUPPORTED_TASK")


def test_a_task_whose_queue_is_not_there_is_not_accepted(call: Call) -> None:
    ended = call("nowhere.add")
    assert (ended.returncode, ended.stderr) == (UNROUTABLE, "UNROUTABLE: no queue takes nowhere.add\n")


def test_a_full_queue_refuses_the_job(call: Call, running: Producer) -> None:
    # given a queue that takes one job and has it
    exchange = f"{running.topology.namespace}.jobs"
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = running.channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    running.channel.queue_bind(queue, exchange, "full.#")
    running.channel.basic_publish(exchange, "full.up", b"")
    # when a second one comes
    ended = call("full.up")
    # then it is not accepted, and said to be so
    assert (ended.returncode, ended.stderr) == (TEMPFAIL, "REFUSED: the broker refused the job\n")


def test_a_job_that_nobody_runs_in_time_has_an_unknown_end(call: Call, running: Producer) -> None:
    queue = running.channel.queue_declare("", exclusive=True).method.queue
    running.channel.queue_bind(queue, f"{running.topology.namespace}.jobs", "idle.#")
    ended = call("idle.hands", seconds=0.1)
    assert (ended.returncode, ended.stderr) == (TEMPFAIL, "UNKNOWN: no result came in time\n")


LOST_CONFIRM = """
import { Client, Unknown } from "./client.mjs";
const [forwarder, direct, namespace, path] = process.argv.slice(1);
const first = await Client.open(forwarder, { namespace, instance: "node" });
console.log("open");
await new Promise((resolve) => process.stdin.once("data", resolve));
const job = first.job("t.count", { path });
try {
  await first.enqueue(job);
} catch (error) {
  console.log(error instanceof Unknown ? "unknown" : `no: ${error}`);
}
const second = await Client.open(direct, { namespace, instance: "node" });
await second.enqueue(job);
console.log(`count ${await second.result(job)}`);
await second.close();
process.exit();
"""


def test_an_outcome_that_is_not_known_is_said_to_be_unknown_and_the_job_can_be_published_again(
    producer: Producer, worker: WorkerProcess, amqp_url: str, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    with Forwarder(amqp_url) as forwarder:
        # given a client that is connected, to which nothing comes back any more
        command = [node.node(EXAMPLE), "--input-type=module", "--eval", LOST_CONFIRM]
        process = subprocess.Popen(
            [*command, forwarder.url, amqp_url, producer.topology.namespace, str(runs)],
            cwd=EXAMPLE,
            env=node.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            try:
                assert process.stdout.readline() == "open\n"
                forwarder.stall([Direction.TO_CLIENT])
                # when its job has arrived and the connection breaks
                process.stdin.write("go\n")
                process.stdin.flush()
                until(runs.exists, "the job runs", 20)
                forwarder.cut()
                # then it knows that it does not know, and the same job, published again, has its result
                said, _ = process.communicate(timeout=30)
            finally:
                process.kill()
    assert said in {"unknown\ncount 1\n", "unknown\ncount 2\n"}
    assert worker.process.poll() is None
