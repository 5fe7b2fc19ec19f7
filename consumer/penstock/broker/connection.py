"""One connection to RabbitMQ that comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import pika
from pika import exceptions

from penstock.broker.raw import RawConnection
from penstock.errors import DeniedError, PenstockError, UnavailableError, UsageError
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: Longest wait between two attempts to connect, in seconds; the first is made at once.
_BACKOFF_CAP_S: Final = 30.0
_BACKOFF_BASE_S: Final = 0.5
#: Seconds after which a publisher's connection that the broker keeps blocked is given up.
_BLOCKED_TIMEOUT_S: Final = 300.0
#: Seconds that an orderly close may take.
_CLOSE_TIMEOUT_S: Final = 3.0


def parameters(url: str, *, name: str) -> pika.URLParameters:
    """Connection parameters from a URL.

    Raises:
        UsageError: The URL is malformed.
    """
    if not url.startswith(("amqp://", "amqps://")):
        raise UsageError(f"AMQP URL {redacted(url)!r} does not begin with amqp:// or amqps://")
    try:
        made = pika.URLParameters(url)
    except OSError as error:  # certificates
        raise UsageError(f"AMQP URL {redacted(url)!r}: {error}") from error
    except (ValueError, TypeError, AttributeError, SyntaxError):
        # The cause is not shown: it may quote a part of the password.
        raise UsageError(
            f"AMQP URL {redacted(url)!r} is malformed; it is amqp://user:password@host:port/vhost, and in user, "
            "password and vhost the characters / # ? @ : % are percent-encoded"
        ) from None
    made.client_properties = {"connection_name": name}
    if made.blocked_connection_timeout is None:
        made.blocked_connection_timeout = _BLOCKED_TIMEOUT_S
    return made


def redacted(url: str) -> str:
    """The URL without its password, however malformed it is: nothing between the user and the last @ is shown."""
    credentials, at, host = url.rpartition("@")
    if not at:
        return url
    scheme, separator, rest = credentials.partition("://")
    if not separator:
        return f"***@{host}"
    user, colon, _ = rest.partition(":")
    return f"{scheme}://{user}{colon and ':***'}@{host}"


class Connection:
    """Keeps a connection open until told to close.

    Args:
        url: Where to connect.
        name: What the broker shows as the connection's name.
        label: `consume` or `publish`, for logs and metrics.
        on_open: Called with each new pika connection, from the loop.
    """

    def __init__(self, url: str, *, name: str, label: str, on_open: Callable[[RawConnection], None]) -> None:
        self._parameters = parameters(url, name=name)
        self._where = redacted(url)
        self.label = label
        self._on_open = on_open
        self._current: RawConnection | None = None
        self._closed: asyncio.Future[BaseException] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.opened = 0

    @property
    def user(self) -> str:
        """The user that the broker knows."""
        return str(self._parameters.credentials.username)

    @property
    def up(self) -> bool:
        """Whether the connection is open."""
        return self._current is not None and self._current.is_open

    @property
    def current(self) -> RawConnection:
        """The open connection.

        Raises:
            UnavailableError: There is none now.
        """
        if self._current is None or not self._current.is_open:
            raise UnavailableError(f"no connection to RabbitMQ at {self._where}")
        return self._current

    async def open(self, timeout_s: float) -> None:
        """Connect, trying again for at most `timeout_s` seconds, and keep the connection from then on.

        Raises:
            UnavailableError: Nobody answered in time.
            DeniedError: The broker refuses the user, its password or the virtual host; not tried again.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        tries = 0
        while True:
            try:
                await self._connect()
                break
            except UnavailableError:
                pause = _backoff(tries)
                tries += 1
                if loop.time() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
        self._keeper = asyncio.create_task(self._keep(), name=f"penstock-{self.label}")

    async def close(self) -> None:
        """Close for good; closing twice is fine."""
        if self._keeper is not None:
            self._keeper.cancel()
        current, self._current = self._current, None
        if current is None or self._closed is None or not current.is_open:
            return
        current.close()
        await asyncio.wait([self._closed], timeout=_CLOSE_TIMEOUT_S)

    async def _keep(self) -> None:
        """Reconnect whenever the connection is lost."""
        while self._closed is not None:
            reason = await self._closed
            _log.warning(
                "connection to RabbitMQ lost; unacknowledged jobs will be redelivered",
                extra={"event": Event.AMQP_DISCONNECTED, "connection": self.label, "reason": str(reason)},
            )
            tries = 0
            while True:
                await asyncio.sleep(_backoff(tries))
                tries += 1
                try:
                    await self._connect()
                    break
                except PenstockError as error:
                    _log.warning(str(error), extra={"event": Event.AMQP_DISCONNECTED, "connection": self.label})

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        closed: asyncio.Future[BaseException] = loop.create_future()

        def on_open(_: Any) -> None:
            if not opened.done():
                opened.set_result(None)

        def on_error(_: Any, error: BaseException | str) -> None:
            if not opened.done():
                opened.set_exception(self._translated(error))

        def on_close(_: Any, reason: BaseException) -> None:
            if not closed.done():
                closed.set_result(reason)

        raw = RawConnection(
            self._parameters,
            on_open_callback=on_open,
            on_open_error_callback=on_error,
            on_close_callback=on_close,
            custom_ioloop=loop,
        )
        await opened
        self._current, self._closed = raw, closed
        self.opened += 1
        _log.info(
            "connected to RabbitMQ",
            extra={
                "event": Event.AMQP_CONNECTED,
                "connection": self.label,
                "broker": server_version(raw),
            },
        )
        self._on_open(raw)

    def _translated(self, error: BaseException | str) -> PenstockError:
        """What pika reports of a failed attempt, as one of ours."""
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
                return DeniedError(f"RabbitMQ at {self._where} refuses the user or the password")
            if isinstance(cause, exceptions.ProbableAccessDeniedError) or (
                isinstance(cause, exceptions.ConnectionClosedByBroker) and cause.reply_code in (403, 530)
            ):
                return DeniedError(
                    f"RabbitMQ at {self._where} refuses the virtual host; it must exist and the user needs "
                    f"permissions on it ({cause})"
                )
        for cause in causes:
            if isinstance(cause, OSError | socket.gaierror | ssl.SSLError):
                return UnavailableError(f"RabbitMQ at {self._where} cannot be reached: {cause}")
        last = causes[-1] if causes else error
        return UnavailableError(f"RabbitMQ at {self._where} cannot be reached: {last!r}")


def _causes(error: BaseException | str | None) -> Any:
    """An error of pika's and everything that it wraps."""
    if not isinstance(error, BaseException):
        return
    yield error
    for inner in (*getattr(error, "exceptions", ()), getattr(error, "exception", None), error.__cause__):
        yield from _causes(inner)
    for argument in error.args:
        yield from _causes(argument)


def _backoff(tries: int) -> float:
    """Seconds before the next attempt, with full jitter: 0 to 0.5 × 2^tries, at most 30."""
    longest = min(_BACKOFF_CAP_S, _BACKOFF_BASE_S * 2.0**tries)
    return random.uniform(0.0, longest)  # noqa: S311 -- spreads load, no secret


def server_version(connection: Any) -> str:
    """The broker's version, for instance `3.10.8`; `?` when it does not say."""
    version = (connection.server_properties or {}).get("version", "?")
    return version.decode() if isinstance(version, bytes) else str(version)
