"""Stands between a client and a server and breaks what passes: cuts, refuses, stalls and half-closes connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from typing import Final, Self
from urllib.parse import urlsplit

_CHUNK: Final = 64 * 1024
_CONNECT_S: Final = 5.0
_JOIN_S: Final = 5.0
_PORTS: Final = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379, "http": 80}


class Direction(Enum):
    """A way through a forwarder."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


BOTH: Final = (Direction.TO_SERVER, Direction.TO_CLIENT)


class Forwarder:
    """Forwards a free loopback port to the server of an URL; `url` goes through it.

    Every connection has two threads, one for each direction. All methods may be called from any thread, in any
    state and any number of times. What it was told holds for later connections too, until told otherwise.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, "the URL names no host"
        self._target = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        credentials, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}").geturl()
        self._changed = threading.Condition()
        self._links: list[_Link] = []
        self._made = 0
        self._refusing = False
        self._stalled: set[Direction] = set()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        with self._changed:
            return len(self._links)

    @property
    def made(self) -> int:
        """How many connections there have been."""
        with self._changed:
            return self._made

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    def cut(self) -> None:
        """End every connection."""
        with self._changed:
            for link in self._links:
                link.end()
            self._changed.notify_all()

    def cut_oldest(self) -> None:
        """End the connection that was made first."""
        with self._changed:
            for link in self._links[:1]:
                link.end()
            self._changed.notify_all()

    def refuse(self, refuse: bool = True) -> None:  # noqa: FBT002 -- reads as a sentence
        """Let new connections end at once, or no longer."""
        with self._changed:
            self._refusing = refuse

    def stall(self, directions: Iterable[Direction] = BOTH) -> None:
        """Let nothing pass these ways; both sides keep their connection, and new ones can be made."""
        with self._changed:
            self._stalled |= set(directions)

    def flow(self) -> None:
        """Let everything pass again, in order and nothing missing."""
        with self._changed:
            self._stalled.clear()
            self._changed.notify_all()

    def half_close(self, direction: Direction) -> None:
        """Tell the receivers of a direction that no more will come; the other direction goes on."""
        with self._changed:
            for link in self._links:
                link.half_close(direction)

    def close(self) -> None:
        """End everything and wait for the threads."""
        with self._changed:
            self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(_JOIN_S)

    # ── forwarding ──────────────────────────────────────────────────────────────────────────────

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, name=f"forwarder-{self.port}", daemon=True)
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            link = self._link(client)
            if link is None:
                client.close()
                continue
            self._start(self._copy, link, Direction.TO_SERVER)
            self._start(self._copy, link, Direction.TO_CLIENT)

    def _link(self, client: socket.socket) -> _Link | None:
        """The connection onward; None when it is refused, by us or by the server."""
        with self._changed:
            if self._refusing or self._closed:
                return None
        try:
            server = socket.create_connection(self._target, _CONNECT_S)
        except OSError:
            return None
        server.settimeout(None)
        link = _Link(client, server)
        with self._changed:
            if self._refusing or self._closed:
                server.close()
                return None
            self._links.append(link)
            self._made += 1
        return link

    def _copy(self, link: _Link, direction: Direction) -> None:
        source, sink = link.ends(direction)
        with suppress(OSError):
            while True:
                self._pass(link, direction)  # before reading too: a stalled direction fills the sender's buffers
                data = source.recv(_CHUNK)
                self._pass(link, direction)
                if not data:
                    break
                link.send(direction, sink, data)
        with self._changed:
            link.end()
            link.release()
            if link in self._links:
                self._links.remove(link)
            self._changed.notify_all()

    def _pass(self, link: _Link, direction: Direction) -> None:
        """Wait while the direction is stalled."""
        with self._changed:
            self._changed.wait_for(lambda: direction not in self._stalled or link.ended or self._closed)


class _Link:
    """One connection: the client's socket and the server's."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self._users = 2
        self._half_closed: set[Direction] = set()
        self.ended = False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ends(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        """Where a direction comes from and where it goes."""
        ends = self._client, self._server
        return ends if direction is Direction.TO_SERVER else ends[::-1]

    def send(self, direction: Direction, sink: socket.socket, data: bytes) -> None:
        """Pass data on; after a half-close it is lost, as it would be in the network.

        Raises:
            OSError: The receiver is gone.
        """
        try:
            sink.sendall(data)
        except OSError:
            if direction not in self._half_closed:
                raise

    def half_close(self, direction: Direction) -> None:
        """Send the receiver of a direction the end of the stream."""
        self._half_closed.add(direction)
        with suppress(OSError):
            self.ends(direction)[1].shutdown(socket.SHUT_WR)

    def end(self) -> None:
        """End both sides; a thread that reads or writes wakes up, which `close` would not do."""
        self.ended = True
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the sockets when both threads are done with them."""
        self._users -= 1
        if not self._users:
            self._client.close()
            self._server.close()
