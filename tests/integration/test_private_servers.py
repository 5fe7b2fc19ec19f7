"""The private servers are there when asked for, and gone whatever happens to who asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from ops.dev.private import Redis
from tests.helpers.private import private_redis
from tests.helpers.servers import missing
from tests.helpers.wait import until

ROOT = Path(__file__).resolve().parents[2]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def client(server: Redis) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=5)


def test_a_killed_server_comes_back_on_the_same_port_with_its_data() -> None:
    with private_redis(durable=True) as server:
        with client(server) as link:
            link.set("a", "1")
        port = server.port

        server.kill()
        assert not server.alive()
        server.start()

        assert server.port == port
        with client(server) as link:
            assert link.get("a") == b"1"


def test_stop_kill_and_start_may_be_called_in_any_state() -> None:
    with private_redis() as server:
        for act in (server.start, server.kill, server.kill, server.stop, server.start, server.restart):
            act()
        assert server.alive()


def test_a_crash_from_outside_is_noticed() -> None:
    with private_redis() as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.alive(), "the server has ended")
        server.start()
        assert server.alive()


OWNER = """
import sys, time
from ops.dev.private import Janitor, NoSourceError, new_redis
with Janitor() as janitor:
    try:
        server = new_redis(None, janitor)
    except NoSourceError:
        sys.exit(69)
    server.start()
    print(server.pid, server.folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_servers_and_their_folder_go_with_their_owner(number: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert owner.stdout is not None
    with owner.stdout:
        words = owner.stdout.readline().split()
        if not words:
            assert owner.wait(30) == 69
            missing("no Redis to be had on this machine")
        pid, folder = int(words[0]), Path(words[1].decode())
        assert folder.exists()

        owner.send_signal(number)

        owner.wait(30)
        until(lambda: gone(pid) and not folder.exists(), "process and folder are gone", 30)


def run_servers(*command: str, **variables: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "ops/dev/servers.py", "--", *command]
    return subprocess.Popen(
        argv, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, start_new_session=True
    )


CLEANS_UP = """
import signal, sys
try:
    print("running", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("cleaned", flush=True)
    sys.exit(9)
"""

needs_servers = pytest.mark.skipif(
    not (os.environ.get("PENSTOCK_AMQP_URL") and os.environ.get("PENSTOCK_REDIS_URL")),
    reason="run by make test",
)


@needs_servers
def test_the_exit_code_is_the_command_s() -> None:
    with run_servers("sh", "-c", "exit 7") as process:
        assert process.wait(60) == 7


@needs_servers
def test_an_interrupted_command_may_finish_its_own_clean_up() -> None:
    with run_servers(sys.executable, "-c", CLEANS_UP) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"

        os.killpg(process.pid, signal.SIGINT)  # what a terminal does

        assert process.wait(30) == 9
        assert process.stdout.read() == b"cleaned\n"


def test_a_given_server_that_does_not_answer_is_named_without_its_password() -> None:
    argv = [sys.executable, "ops/dev/servers.py", "--", "true"]
    env = {**os.environ, "PENSTOCK_REDIS_URL": "redis://:secret@127.0.0.1:1/0"}

    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 69
    assert "PENSTOCK_REDIS_URL names 127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr
