"""Which servers a command gets: those that are given, else the first source that has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ops.dev.private import debian, docker, installed
from ops.dev.private.broker import Broker
from ops.dev.private.given import given_broker, given_redis
from ops.dev.private.janitor import Janitor
from ops.dev.private.redis import Redis
from ops.dev.private.server import Server
from ops.dev.say import step


class Source(Protocol):
    """A place from which servers may come."""

    def broker(self, wanted: str | None, janitor: Janitor) -> Broker | None:
        """Return a broker of the wanted series, or None when this source cannot have it."""

    def redis(self, wanted: str | None, janitor: Janitor, *, durable: bool = False) -> Redis | None:
        """Return a Redis, or None when this source cannot have it."""


SOURCES: tuple[Source, ...] = (installed, docker, debian)


class NoSourceError(Exception):
    """No source has the server; the message says what to install or to set."""


def new_broker(wanted: str | None, janitor: Janitor) -> Broker:
    """Return a private RabbitMQ, not yet started, of a series such as `4.3` (None: any).

    Raises:
        NoSourceError: there is none to be had on this machine.
        ServerFailedError: there is a source, and it failed.
    """
    for source in SOURCES:
        broker = source.broker(wanted, janitor)
        if broker is not None:
            return broker
    server = f"RabbitMQ {wanted}" if wanted else "RabbitMQ"
    raise NoSourceError(_advice(server, "rabbitmq-server", "PENSTOCK_AMQP_URL"))


def new_redis(wanted: str | None, janitor: Janitor, *, durable: bool = False) -> Redis:
    """Return a private Redis, not yet started; `wanted` is the broker's series, to share its source.

    With `durable` its data outlive `kill`; without, a restarted Redis is empty.

    Raises:
        NoSourceError: there is none to be had on this machine.
        ServerFailedError: there is a source, and it failed.
    """
    for source in SOURCES:
        redis = source.redis(wanted, janitor, durable=durable)
        if redis is not None:
            return redis
    raise NoSourceError(_advice("Redis", "redis-server or valkey-server", "PENSTOCK_REDIS_URL"))


def start_servers(environ: Mapping[str, str], wanted: str | None, janitor: Janitor) -> dict[str, str]:
    """Start what is not given; return the variables by which commands find it."""
    found: dict[str, str] = {}
    has_redis, has_broker = given_redis(environ), given_broker(environ, wanted)
    if not has_redis:
        found |= _started(new_redis(wanted, janitor))
    if not has_broker:
        found |= _started(new_broker(wanted, janitor))
    return found


def _started(server: Server) -> dict[str, str]:
    with step(server.name, f"starting, {server.source}") as done:
        server.start()
        done(f"{server.version} on port {server.port}, {server.source}")
    return server.environment()


def _advice(server: str, package: str, variable: str) -> str:
    return (
        f"no {server} to be had on this machine. Install {package}, or start a Docker engine, or set "
        f"{variable} to a running one. (As root on Debian this command would fetch a private one itself.)"
    )
