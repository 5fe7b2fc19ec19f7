"""What a worker says when it cannot start, and its exit status."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from penstock.domain.topology import Topology
from tests.helpers import management
from tests.helpers.producer import Producer, new_id
from tests.helpers.wait import until
from tests.helpers.worker import ROOT, WorkerProcess, run_worker

TARGET = "tests.helpers.tasks:t"


def penstock(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_password_is_refused_at_once(amqp_url: str) -> None:
    host = amqp_url.rpartition("@")[2]
    ended = run_worker(TARGET, "--amqp-url", f"amqp://guest:wrong@{host}")
    assert ended.returncode == 77
    assert "refuses the user or the password" in ended.stderr
    assert "wrong" not in ended.stderr


def test_a_virtual_host_that_is_not_there_is_named(amqp_url: str) -> None:
    ended = run_worker(TARGET, "--amqp-url", amqp_url.rstrip("/") + "/nowhere")
    assert ended.returncode == 77
    assert "virtual host" in ended.stderr


def test_a_broker_that_is_down_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended = run_worker(TARGET, "--amqp-url", f"amqp://guest:guest@127.0.0.1:{port}/")
    assert ended.returncode == 69
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "guest:guest" not in ended.stderr


def test_a_redis_that_is_down_is_unavailable(amqp_url: str, topology: Topology) -> None:
    ended = run_worker(
        TARGET,
        "--amqp-url",
        amqp_url,
        "--namespace",
        topology.namespace,
        "--redis-url",
        "redis://127.0.0.1:1/0",
    )
    assert ended.returncode == 69
    assert "Redis cannot be reached" in ended.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "amqp://guest:secret@127.0.0.1:port/"])
def test_a_malformed_url_is_a_usage_error(url: str) -> None:
    ended = run_worker(TARGET, "--amqp-url", url)
    assert ended.returncode == 64
    assert "AMQP URL" in ended.stderr
    assert "secret" not in ended.stderr


def test_an_import_error_shows_the_users_traceback_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import penstock\nimport no_such_library\n")
    ended = run_worker("broken:queue", "--amqp-url", "amqp://127.0.0.1/", environment={"PYTHONPATH": str(tmp_path)})
    assert ended.returncode == 78
    assert 'broken.py", line 2' in ended.stderr
    assert "No module named 'no_such_library'" in ended.stderr
    assert "cannot import broken:queue" in ended.stderr


def test_a_start_up_hook_that_fails_ends_the_worker(tmp_path: Path, amqp_url: str, topology: Topology) -> None:
    (tmp_path / "cold.py").write_text(
        "from penstock import Queue, Processes\nt = Queue('t', lane=Processes(1))\n"
        "@t.task\ndef f() -> None: ...\n@t.startup\ndef load() -> None: raise OSError('no model file')\n"
    )
    ended = run_worker(
        "cold:t",
        "--amqp-url",
        amqp_url,
        "--namespace",
        topology.namespace,
        environment={"PYTHONPATH": str(tmp_path)},
    )
    assert ended.returncode == 78
    assert "no model file" in ended.stderr


def test_strict_mode_declares_nothing_and_says_what_is_missing(topology: Topology, amqp_url: str) -> None:
    ended = run_worker(TARGET, "--strict", "--amqp-url", amqp_url, "--namespace", topology.namespace)
    assert ended.returncode == 78
    assert f"exchange {topology.name('jobs')}" in ended.stderr
    assert "penstock topology apply t" in ended.stderr
    assert "MISSING" in penstock("topology", "show", "t", "--namespace", topology.namespace).stdout


def test_a_queue_with_other_arguments_is_named(topology: Topology, amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().queue_declare(topology.work_queue("t"), durable=True, arguments={"x-queue-type": "quorum"})
    ended = run_worker(TARGET, "--amqp-url", amqp_url, "--namespace", topology.namespace)
    assert ended.returncode == 78
    assert f"queue {topology.work_queue('t')} exists with other arguments" in ended.stderr


def test_the_topology_is_applied_and_shown(topology: Topology, amqp_url: str) -> None:
    applied = penstock("topology", "apply", "t", "solo", "--namespace", topology.namespace, "--amqp-url", amqp_url)
    assert applied.returncode == 0, applied.stderr
    shown = penstock("topology", "show", "t", "solo", "--namespace", topology.namespace, "--amqp-url", amqp_url)
    assert shown.returncode == 0
    assert "MISSING" not in shown.stdout
    assert len(shown.stdout.splitlines()) == 7 + 12 + 1 + 2 * 2


@pytest.fixture
def limited_user(topology: Topology, amqp_url: str) -> str:
    """The URL of a user with the least permissions that a worker of queue t needs, and none to configure."""
    user = f"w{secrets.token_hex(4)}"
    space = topology.namespace
    management.call("PUT", f"/api/users/{user}", {"password": "pw", "tags": ""})
    management.call(
        "PUT",
        f"/api/permissions/%2F/{user}",
        {
            "configure": "^$",
            "write": rf"^{space}\.(retry|dead|replies)$",
            "read": rf"^{space}\.q\.t$",
        },
    )
    return f"amqp://{user}:pw@{amqp_url.rpartition('@')[2]}"


def test_a_worker_that_may_not_hear_commands_says_so_and_works_until_it_may(
    limited_user: str,
    topology: Topology,
    amqp_url: str,
    producer: Producer,
    start_worker: Callable[..., WorkerProcess],
) -> None:
    # Given a worker without permission for its queue of commands
    penstock("topology", "apply", "t", "--namespace", topology.namespace, "--amqp-url", amqp_url)
    worker = start_worker("--strict", "--amqp-url", limited_user)
    assert producer.call("t.add", {"a": 1}).value == 11
    (deaf,) = worker.records("control.deaf")
    assert "ACCESS_REFUSED" in deaf["reason"]

    # When it gets the permissions of docs/troubleshooting.md
    user = limited_user.removeprefix("amqp://").partition(":")[0]
    space, own = topology.namespace, rf"control\.{user}\.[A-Za-z0-9_-]+"
    management.call(
        "PUT",
        f"/api/permissions/%2F/{user}",
        {
            "configure": rf"^{space}\.{own}$",
            "write": rf"^{space}\.(retry|dead|replies|{own})$",
            "read": rf"^{space}\.(q\.t|control|{own})$",
        },
    )

    # Then it hears, without having been started again
    until(lambda: worker.records("control.listening"), "it hears commands", 60)
    job_id = new_id()
    producer.cancel(job_id)
    assert [step for _, step in producer.acknowledged(job_id)] == ["unknown_here"]


def test_production_needs_no_permission_to_configure(
    limited_user: str,
    topology: Topology,
    amqp_url: str,
    producer: Producer,
    start_worker: Callable[..., WorkerProcess],
) -> None:
    penstock("topology", "apply", "t", "--namespace", topology.namespace, "--amqp-url", amqp_url)
    start_worker("--strict", "--amqp-url", limited_user)
    assert producer.call("t.add", {"a": 1}).value == 11
    assert producer.call("t.flaky", {"succeed_at": 2}).attempt == 2
    # A job whose sender is in doubt is kept, and nobody is answered
    for doubtful in ({"user_id": None}, {"reply_to": "stranger.x"}):
        job_id = producer.enqueue("t.add", {"a": 1}, **doubtful)
        _, properties, _ = until(lambda: producer.take("dead.t"), "the dead job")
        assert properties.message_id == job_id
        assert producer.replies(job_id) == []


def test_an_exported_topology_is_imported_by_the_broker(topology: Topology, amqp_url: str) -> None:
    exported = json.loads(penstock("topology", "export", "t", "--namespace", topology.namespace).stdout)
    management.call("POST", "/api/definitions", exported)
    shown = penstock("topology", "show", "t", "--namespace", topology.namespace, "--amqp-url", amqp_url)
    assert shown.returncode == 0, shown.stdout
    # Declaring the same again would fail if an argument differed.
    applied = penstock("topology", "apply", "t", "--namespace", topology.namespace, "--amqp-url", amqp_url)
    assert applied.returncode == 0, applied.stderr
