"""`penstock worker`: run the tasks of one or more queues."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

from penstock.cli.options import add_broker, amqp_url
from penstock.errors import UsageError
from penstock.settings import DEFAULT_CONTRACTS, WorkerSettings, default_instance
from penstock.telemetry import logging as telemetry
from penstock.wire.registry import CONSUMER_TIMEOUT_MS, MAX_BLOB_BYTES, MAX_BODY_BYTES, RESULT_TTL_MS
from penstock.worker.worker import run


def add(verbs: Any) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "worker",
        help="run the tasks of one or more queues",
        description="Run the tasks of one or more queues until SIGTERM or Ctrl-C, which drain; a second one is fast.",
    )
    add_options(parser)
    parser.add_argument(
        "--strict", action="store_true", help="production: declare nothing, require a user_id on every job"
    )
    parser.set_defaults(run=serve)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `penstock worker` and `penstock dev` can both be told."""
    parser.add_argument("targets", nargs="+", metavar="MODULE:QUEUE", help="for instance myproject.tasks:stats")
    add_broker(parser)
    parser.add_argument(
        "--redis-url",
        metavar="URL",
        default=os.environ.get("PENSTOCK_REDIS_URL"),
        help="Redis for stored results and long bodies (default: $PENSTOCK_REDIS_URL; without it there are none)",
    )
    parser.add_argument("--name", default=default_instance(), help="this worker's name (default: host, pid, random)")
    parser.add_argument(
        "--http",
        metavar="HOST:PORT",
        default="127.0.0.1:9464",
        help="where /livez, /readyz and /metrics are served, or off (default: %(default)s; port 0: any)",
    )
    parser.add_argument(
        "--drain",
        metavar="SECONDS",
        type=float,
        default=25.0,
        help="time for running jobs at the end (default: %(default)g)",
    )
    parser.add_argument(
        "--consumer-timeout",
        metavar="SECONDS",
        type=float,
        default=CONSUMER_TIMEOUT_MS / 1000,
        help="how long a job may stay unacknowledged before RabbitMQ 4.3 hands it out again (default: an hour)",
    )
    parser.add_argument(
        "--max-body",
        metavar="BYTES",
        type=int,
        default=MAX_BODY_BYTES,
        help="longest body in a message (default: 1 MiB)",
    )
    parser.add_argument(
        "--max-blob",
        metavar="BYTES",
        type=int,
        default=MAX_BLOB_BYTES,
        help="longest body in Redis beside its message (default: 64 MiB)",
    )
    parser.add_argument(
        "--result-ttl",
        metavar="SECONDS",
        type=float,
        default=RESULT_TTL_MS / 1000,
        help="lifetime of stored results (default: a day)",
    )
    parser.add_argument(
        "--on-broken",
        choices=("stay", "exit"),
        default="stay",
        help="when every child of a queue has failed too often: pause the queue and try one now and then, or end",
    )
    parser.add_argument(
        "--contracts",
        metavar="DIR",
        default=os.environ.get("PENSTOCK_CONTRACTS", DEFAULT_CONTRACTS),
        help="the directory of contracts (default: $PENSTOCK_CONTRACTS, or contracts/tasks if it is there)",
    )
    parser.add_argument(
        "--log", choices=("auto", "json", "text"), default="auto", help="format of log lines (default: %(default)s)"
    )
    parser.add_argument(
        "--log-level",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        default="INFO",
        help="lowest level shown",
    )


def settings_of(options: argparse.Namespace) -> WorkerSettings:
    """The settings that the options make.

    Raises:
        UsageError: Some option is wrong.
    """
    host, port = _address(options.http)
    return WorkerSettings(
        targets=tuple(options.targets),
        amqp_url=amqp_url(options),
        redis_url=options.redis_url or None,
        namespace=options.namespace,
        strict=options.strict,
        instance=options.name,
        http_host=host,
        http_port=port,
        consumer_timeout_s=options.consumer_timeout,
        drain_s=options.drain,
        max_body_bytes=options.max_body,
        max_blob_bytes=options.max_blob,
        result_ttl_s=options.result_ttl,
        on_broken=options.on_broken,
        contracts=options.contracts,
    )


def log_as(options: argparse.Namespace) -> None:
    """Send the log where and how the options say."""
    telemetry.configure(service=options.name, style=options.log, level=options.log_level)


def serve(options: argparse.Namespace) -> int:
    """Run a worker with these options until it is told to stop; returns its exit status.

    Raises:
        PenstockError: It cannot start or cannot go on.
    """
    settings = settings_of(options)
    log_as(options)
    return asyncio.run(run(settings))


def _address(text: str) -> tuple[str, int | None]:
    if text == "off":
        return "127.0.0.1", None
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"--http {text}: not HOST:PORT, for instance 0.0.0.0:9464, nor off")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 -- ":9464" means every interface
