"""The command line: wrong input gets a clear sentence and a named exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from penstock import __version__
from penstock.cli import main
from penstock.domain.topology import Topology
from penstock.settings import WorkerSettings
from penstock.wire.registry import EXCHANGES, LADDER, QUEUES


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address comes from the environment."""
    monkeypatch.delenv("PENSTOCK_AMQP_URL", raising=False)
    monkeypatch.delenv("PENSTOCK_REDIS_URL", raising=False)


def run(*arguments: str) -> int:
    """The exit status of `penstock ...`, however it ends."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


BROKER = ("--amqp-url", "amqp://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "COMMAND"),
        (("nosuch",), "nosuch"),
        (("worker",), "MODULE:QUEUE"),
        (("worker", "--nosuch", "app:q"), "--nosuch"),
        (("worker", "app:q", "--drain", "soon"), "--drain"),
        (("worker", "app:q", "--max-body", "1MB"), "--max-body"),
        (("worker", "app:q", "--log", "xml"), "--log"),
        (("worker", "app:q"), "no broker: set PENSTOCK_AMQP_URL or --amqp-url, for instance amqp://"),
        (("worker", "app:q", *BROKER, "--http", "9464"), "--http 9464: not HOST:PORT"),
        (("worker", "app:q", *BROKER, "--http", "x:http"), "--http x:http: not HOST:PORT"),
        (("worker", "app:q", *BROKER, "--http", "x:65536"), "--http x:65536: not HOST:PORT"),
        (("worker", "app:q", *BROKER, "--http", "x:²"), "--http x:²: not HOST:PORT"),
        (("worker", "app:q", *BROKER, "--namespace", "a.b"), "namespace 'a.b'"),
        (("worker", "app:q", *BROKER, "--name", "a b"), "name 'a b'"),
        (("worker", "app:q", *BROKER, "--drain", "-1"), "drain time -1"),
        (("worker", "app:q", *BROKER, "--result-ttl", "nan"), "result lifetime nan"),
        (("worker", "app:q", *BROKER, "--max-body", "1"), "longest body 1 is not between"),
        (("dev",), "MODULE:QUEUE"),
        (("dev", "app:q", "--strict"), "--strict"),
        (("dev", "app:q", "--watch", "nowhere"), "--watch nowhere: there is no such directory"),
        (("dev", "app:q", "--http", "9464"), "--http 9464: not HOST:PORT"),
        (("cancel",), "JOB_ID"),
        (("cancel", "42"), "no broker: set PENSTOCK_AMQP_URL"),
        (("cancel", "42", *BROKER, "--namespace", "a.b"), "not a namespace: 'a.b'"),
        (("cancel", "42", *BROKER, "--wait", "soon"), "--wait"),
        (("topology",), "ACTION"),
        (("topology", "nosuch"), "nosuch"),
        (("topology", "show", "stats"), "no broker: set PENSTOCK_AMQP_URL"),
        (("topology", "apply", "stats.norm", *BROKER), "not a queue's name: stats.norm (a task is QUEUE.FUNCTION"),
        (("topology", "export", "a b", "c d"), "not a queue's name: a b, c d"),
        (("topology", "export", "--namespace", "a.b"), "not a namespace: 'a.b'"),
        (("topology", "show", "--amqp-url", "http://shop:hunter2@rabbit"), "does not begin with amqp://"),
    ],
)
def test_wrong_usage_ends_with_64_and_says_what_is_wrong(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a command line with a mistake
    # When it is run
    status = run(*arguments)

    # Then one sentence on stderr names it, nothing is on stdout, and no password is anywhere
    shown = capsys.readouterr()
    assert status == 64
    assert words in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert "hunter2" not in shown.err
    assert shown.err.splitlines()[-1].startswith("penstock")


def test_all_problems_of_a_worker_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("worker", "app:q", *BROKER, "--namespace", "a.b", "--drain", "-1", "--max-body", "1") == 64
    shown = capsys.readouterr().err
    assert [word for word in ("namespace", "drain time", "longest body") if word not in shown] == []


def test_an_empty_address_in_the_environment_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_AMQP_URL", "")
    assert run("worker", "app:q") == 64
    assert "no broker" in capsys.readouterr().err


def test_a_broker_that_is_not_there_ends_with_69(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an address at which nobody listens, and no patience
    monkeypatch.setattr("penstock.cli.topology._CONNECT_S", 0.0)

    # When the broker is asked
    status = run("topology", "show", "--amqp-url", "amqp://shop:hunter2@127.0.0.1:1/")

    # Then the sentence names the address and not the password
    shown = capsys.readouterr().err
    assert status == 69
    assert "penstock: RabbitMQ at amqp://shop:***@127.0.0.1:1/ cannot be reached" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--help",), ("worker", "topology")),
        (("worker", "--help"), ("MODULE:QUEUE", "--strict", "--redis-url")),
        (("topology", "--help"), ("apply", "show", "export")),
    ],
)
def test_help_goes_to_stdout_and_ends_well(
    arguments: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 0
    shown = capsys.readouterr().out
    assert [word for word in words if word not in shown] == []


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"penstock {__version__}\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"penstock {__version__}\n"


# ── what a worker is told ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings with which workers would have run, and the options of their logs."""
    noted: list[Any] = []

    async def run_worker(settings: WorkerSettings) -> int:
        noted.append(settings)
        return 75

    monkeypatch.setattr("penstock.cli.worker.run", run_worker)
    monkeypatch.setattr("penstock.cli.worker.telemetry.configure", lambda **options: noted.append(options))
    return noted


def test_a_worker_is_told_what_the_command_line_says_and_ends_with_its_status(told: list[Any]) -> None:
    # Given a command line with every option
    status = run(
        *("worker", "app:a", "app:b", "--amqp-url", "amqp://rabbit", "--redis-url", "redis://store"),
        *("--namespace", "acme", "--strict", "--name", "w-1", "--http", "0.0.0.0:65535", "--drain", "3"),
        *("--max-body", "4096", "--result-ttl", "60", "--log", "json", "--log-level", "ERROR"),
    )

    # When the worker runs, then it has all of it
    log, settings = told
    assert status == 75
    assert log == {"service": "w-1", "style": "json", "level": "ERROR"}
    assert settings == WorkerSettings(
        targets=("app:a", "app:b"),
        amqp_url="amqp://rabbit",
        redis_url="redis://store",
        namespace="acme",
        strict=True,
        instance="w-1",
        http_host="0.0.0.0",
        http_port=65535,
        drain_s=3,
        max_body_bytes=4096,
        result_ttl_s=60,
    )


def test_what_the_command_line_does_not_say_is_as_the_settings_have_it(
    told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given addresses in the environment, one of them empty
    monkeypatch.setenv("PENSTOCK_AMQP_URL", "amqp://rabbit")
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "")

    # When a worker runs with nothing but its name
    run("worker", "app:q", "--name", "w-1")

    # Then command line and settings have the same defaults
    assert told[1] == WorkerSettings(targets=("app:q",), amqp_url="amqp://rabbit", instance="w-1")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("off", "127.0.0.1", None),
        ("127.0.0.1:0", "127.0.0.1", 0),
        (":9464", "0.0.0.0", 9464),
        ("[::1]:9464", "::1", 9464),
        ("localhost:9464", "localhost", 9464),
    ],
)
def test_an_address_for_probes_is_host_and_port_or_off(told: list[Any], text: str, host: str, port: int | None) -> None:
    run("worker", "app:q", *BROKER, "--http", text)
    assert (told[1].http_host, told[1].http_port) == (host, port)


# ── topology export ─────────────────────────────────────────────────────────────────────────────────


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run("topology", "export", *arguments) == 0
    definitions: dict[str, Any] = json.loads(capsys.readouterr().out)
    return definitions


def named(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


def test_the_export_has_every_exchange_of_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    # Given the definitions of one queue
    exchanges = named(exported(capsys, "stats")["exchanges"])

    # When they are held against the registry, then nothing is missing, added or changed
    assert exchanges == {
        f"penstock.{row.name}": {
            "name": f"penstock.{row.name}",
            "vhost": "/",
            "type": row.type,
            "durable": True,
            "auto_delete": False,
            "internal": row.internal,
            "arguments": {"alternate-exchange": f"penstock.{row.alternate}"} if row.alternate else {},
        }
        for row in EXCHANGES
    }


def test_the_export_has_every_queue_of_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    # Given the definitions of two queues
    queues = named(exported(capsys, "stats", "images")["queues"])

    # When they are held against the registry, then the shared ones are there once and the others per queue
    expected = {
        "penstock.lost",
        *(f"penstock.wait.{level.level}" for level in LADDER),
        *(f"penstock.{kind}.{queue}" for kind in ("q", "dead") for queue in ("stats", "images")),
    }
    assert set(queues) == expected
    assert all(queue["durable"] and not queue["auto_delete"] for queue in queues.values())
    by_kind = {row.name.partition(".")[0]: row for row in QUEUES}
    for name, queue in queues.items():
        assert set(queue["arguments"]) == set(by_kind[name.split(".")[1]].arguments)
    assert queues["penstock.q.stats"]["arguments"]["x-dead-letter-routing-key"] == "stats"
    assert [queues[f"penstock.wait.{row.level}"]["arguments"]["x-message-ttl"] for row in LADDER] == [
        row.ttl_ms for row in LADDER
    ]


def test_the_export_binds_what_it_declares(capsys: pytest.CaptureFixture[str]) -> None:
    # Given the definitions of one queue
    definitions = exported(capsys, "stats")
    exchanges, queues = named(definitions["exchanges"]), named(definitions["queues"])

    # When the bindings are followed
    bindings = {(row["source"], row["destination"], row["routing_key"]) for row in definitions["bindings"]}

    # Then both ends are there, every queue has one, and they are those of the topology
    assert {source for source, _, _ in bindings} <= set(exchanges)
    assert {destination for _, destination, _ in bindings} == set(queues)
    assert bindings == {
        (source, queue.name, key) for queue in Topology().queues(["stats"]) for source, key in queue.bindings
    }
    assert ("penstock.jobs", "penstock.q.stats", "stats.#") in bindings
    assert ("penstock.return", "penstock.q.stats", "*.stats.#") in bindings


def test_the_export_is_for_the_virtual_host_and_namespace_that_were_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given another virtual host and namespace
    definitions = exported(capsys, "stats", "--vhost", "live", "--namespace", "acme")

    # When, then
    rows = [row for kind in ("exchanges", "queues", "bindings") for row in definitions[kind]]
    assert {row["vhost"] for row in rows} == {"live"}
    assert "penstock" not in json.dumps(definitions)
