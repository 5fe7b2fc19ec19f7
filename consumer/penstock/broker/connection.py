"""One connection to RabbitMQ that comes back by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import pika
from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorSocketConnectError, AMQPConnectorStackTimeout

from penstock.broker.backoff import backoff
from penstock.broker.ports import ConnectionState
from penstock.broker.raw import RawConnection
from penstock.errors import DeniedError, PenstockError, UnavailableError, UsageError
from penstock.wire.registry import Event

_log = logging.getLogger(__name__)

#: Longest wait between two attempts to connect, in seconds.
_BACKOFF_CAP_S: Final = 10.0
#: AMQP's heartbeat timeout in seconds: each side speaks at least twice in this time, and is taken for dead when it was
#: silent for up to twice this long (see raw.Heartbeats). `?heartbeat=` in the URL comes first; 0 there: never noticed.
HEARTBEAT_S: Final = 10
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
    if made.heartbeat is None:
        made.heartbeat = HEARTBEAT_S
    # No blocked_connection_timeout of our own: a broker in an alarm is alive and sends heartbeats, and a new connection
    # would be blocked as well. What is unconfirmed would be published twice for nothing.
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
        self._why = "not connected yet"
        self._blocked: str | None = None
        self._opened = 0
        #: The broker's version, for instance `3.10.8`; `?` while it is not known.
        self.version = "?"

    @property
    def user(self) -> str:
        """The user that the broker knows."""
        return str(self._parameters.credentials.username)

    @property
    def up(self) -> bool:
        """Whether the connection is open."""
        return self._current is not None and self._current.is_open

    @property
    def trouble(self) -> str | None:
        """Why nothing can be done over it now; None while all is well."""
        if not self.up:
            return f"no connection to RabbitMQ ({self.label}): {self._why}"
        if self._blocked is not None:
            return f"RabbitMQ takes no messages ({self._blocked})"
        return None

    @property
    def state(self) -> ConnectionState:
        """For the metrics page."""
        return ConnectionState(self.label, self.up, self.up and self._blocked is not None, self._opened)

    @property
    def current(self) -> RawConnection:
        """The open connection.

        Raises:
            UnavailableError: There is none now.
        """
        if self._current is None or not self._current.is_open:
            raise UnavailableError(f"no connection to RabbitMQ at {self._where}: {self._why}")
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
                pause = backoff(tries, _BACKOFF_CAP_S)
                tries += 1
                if loop.time() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
        self._keeper = asyncio.create_task(self._keep(), name=f"penstock-{self.label}")

    async def close(self) -> None:
        """Close for good; closing twice is fine."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self._why = "closed"
        current, self._current = self._current, None
        if current is None or self._closed is None or not current.is_open:
            return
        current.close()
        await asyncio.wait([self._closed], timeout=_CLOSE_TIMEOUT_S)
        current.abort()

    async def _keep(self) -> None:
        """Reconnect whenever the connection is lost."""
        while self._closed is not None:
            self._why = str(await self._closed)
            _log.warning(
                "connection to RabbitMQ lost; unacknowledged jobs will be redelivered",
                extra={"event": Event.AMQP_DISCONNECTED, "connection": self.label, "reason": self._why},
            )
            tries = 0
            while not await self._tried(tries):
                tries += 1

    async def _tried(self, tries: int) -> bool:
        """One attempt to connect again; returns whether there is a connection.

        A refused password is tried again too: it may have been changed here before it was changed there.
        """
        await asyncio.sleep(backoff(tries, _BACKOFF_CAP_S))
        try:
            await self._connect()
        except PenstockError as error:
            self._why = str(error)
            _log.warning(self._why, extra={"event": Event.AMQP_DISCONNECTED, "connection": self.label})
        except Exception as error:  # noqa: BLE001 -- see below
            # A defect of ours or of pika's may cost this attempt, not every later one. What has not been attached to
            # the new connection would never be: it is given up too.
            self._why = repr(error)
            _log.exception("cannot connect", extra={"event": Event.AMQP_DISCONNECTED, "connection": self.label})
            if self._current is not None:
                self._current.abort()
        return self.up

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
        try:
            await opened
        except asyncio.CancelledError:
            raw.abort()
            raise
        self._blocked = None
        raw.add_on_connection_blocked_callback(lambda _, frame: self._note_blocked(str(frame.method.reason)))
        raw.add_on_connection_unblocked_callback(lambda *_: self._note_blocked(None))
        self._current, self._closed = raw, closed
        self._opened += 1
        self.version = _server_version(raw)
        _log.info(
            "connected to RabbitMQ",
            extra={"event": Event.AMQP_CONNECTED, "connection": self.label, "broker": self.version},
        )
        self._on_open(raw)

    def _note_blocked(self, reason: str | None) -> None:
        """The broker takes no messages over this connection, or takes them again."""
        self._blocked = reason
        if reason is not None:
            _log.warning(
                "RabbitMQ takes no messages; what is to be published waits, and its jobs stay unacknowledged",
                extra={"event": Event.AMQP_BLOCKED, "connection": self.label, "reason": reason},
            )
        else:
            _log.info(
                "RabbitMQ takes messages again",
                extra={"event": Event.AMQP_UNBLOCKED, "connection": self.label},
            )

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
        return UnavailableError(f"RabbitMQ at {self._where} cannot be reached: {_why(causes) or error}")


def _why(causes: list[BaseException]) -> str | None:
    """The cause that tells most, in words."""
    for kind, text in (
        (OSError, None),  # those of sockets, names and TLS
        (AMQPConnectorStackTimeout, "the handshake took too long"),
        (exceptions.ConnectionOpenAborted, "the handshake took too long"),
        (AMQPConnectorSocketConnectError, "nobody answered"),
        (exceptions.StreamLostError, "it ended the connection during the handshake"),
        (exceptions.IncompatibleProtocolError, "it ended the connection during the handshake"),
    ):
        for cause in causes:
            if isinstance(cause, kind):
                return text or str(cause)
    return repr(causes[-1]) if causes else None


def _causes(error: BaseException | str | None) -> Any:
    """An error of pika's and everything that it wraps."""
    if not isinstance(error, BaseException):
        return
    yield error
    for inner in (*getattr(error, "exceptions", ()), getattr(error, "exception", None), error.__cause__):
        yield from _causes(inner)
    for argument in error.args:
        yield from _causes(argument)


def _server_version(connection: Any) -> str:
    """The broker's version, for instance `3.10.8`; `?` when it does not say."""
    version = (connection.server_properties or {}).get("version", "?")
    return version.decode() if isinstance(version, bytes) else str(version)
