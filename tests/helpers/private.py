"""Servers that a test may stop, kill and bring into trouble: they are its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ops.dev.private import Broker, Janitor, NoSourceError, Redis, new_broker, new_redis
from tests.helpers import management
from tests.helpers.servers import missing


@contextmanager
def private_redis(*, durable: bool = False) -> Iterator[Redis]:
    """A Redis that runs; with `durable` its data outlive a kill."""
    with Janitor() as janitor, _or_skip():
        server = new_redis(None, janitor, durable=durable)
        server.start()
        yield server


@contextmanager
def private_broker() -> Iterator[Broker]:
    """A RabbitMQ that runs, of the same series as the one that all tests share."""
    version = str(management.call("GET", "/api/overview")["rabbitmq_version"])
    with Janitor() as janitor, _or_skip():
        server = new_broker(".".join(version.split(".")[:2]), janitor)
        server.start()
        yield server


@contextmanager
def _or_skip() -> Iterator[None]:
    try:
        yield
    except NoSourceError as error:
        missing(str(error))
