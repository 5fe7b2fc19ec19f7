"""Servers that the user names: `PENSTOCK_AMQP_URL`, `PENSTOCK_REDIS_URL`. Nothing is started for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from ops.dev.private.installed import is_series
from ops.dev.private.probe import NotReadyError, amqp_version, redis_version, wait_until_ready
from ops.dev.private.server import ServerFailedError
from ops.dev.say import say

#: How long a server that should be running already may take to answer. Seconds.
ANSWER_S = 5.0


def given_broker(environ: Mapping[str, str], wanted: str | None) -> bool:
    """Say whether the environment names a broker, having checked that it answers.

    Raises:
        ServerFailedError: it does not answer, or is not of the wanted series.
    """
    version = _check(environ, "PENSTOCK_AMQP_URL", "rabbitmq", 5672, amqp_version)
    if version is not None and version != "?" and not is_series(version, wanted):
        msg = f"PENSTOCK_AMQP_URL is RabbitMQ {version}, but BROKER={wanted} was asked for; unset one of them"
        raise ServerFailedError(msg)
    return version is not None


def given_redis(environ: Mapping[str, str]) -> bool:
    """Say whether the environment names a Redis, having checked that it answers.

    Raises:
        ServerFailedError: it does not answer.
    """
    return _check(environ, "PENSTOCK_REDIS_URL", "redis", 6379, redis_version) is not None


def _check(
    environ: Mapping[str, str], variable: str, name: str, port: int, ask: Callable[[str, int], str]
) -> str | None:
    """Return the version of the server that a variable names, `?` under TLS; None when it is not set."""
    if not environ.get(variable):
        return None
    host, port, scheme = _address(variable, environ[variable], port)
    version = "?"
    if scheme in {"amqp", "redis"}:
        try:
            version = wait_until_ready(lambda: ask(host, port), alive=lambda: True, timeout_s=ANSWER_S)
        except NotReadyError as error:
            msg = f"{variable} names {host}:{port}, but {error}"
            raise ServerFailedError(msg) from error
    say(name, f"{version} at {host}:{port}, given by {variable}")
    return version


def _address(variable: str, text: str, default_port: int) -> tuple[str, int, str]:
    """Return host, port and scheme of a URL. Errors never show it: it may hold a password."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port or default_port
    except ValueError as error:
        msg = f"{variable} is not a URL: {error}"
        raise ServerFailedError(msg) from error
    if not host:
        msg = f"{variable} is not a URL such as amqp://user:password@host:5672/ or redis://host:6379/0"
        raise ServerFailedError(msg)
    return host, port, url.scheme
