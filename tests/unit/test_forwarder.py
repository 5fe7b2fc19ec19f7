"""Forwarder: what a test believes to be broken is broken, and whole again when told so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.helpers.forwarder import Direction, Forwarder
from tests.helpers.wait import until


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that sends back what it gets; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(link: socket.socket) -> None:
        with link, suppress(OSError):
            while data := link.recv(4096):
                link.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"redis://user:secret@127.0.0.1:{listener.getsockname()[1]}/0"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def forwarder(echo: str) -> Iterator[Forwarder]:
    with Forwarder(echo) as made:
        yield made


def client(forwarder: Forwarder) -> socket.socket:
    return socket.create_connection(("127.0.0.1", forwarder.port), 5)


def says(link: socket.socket, word: bytes) -> bytes:
    link.sendall(word)
    return link.recv(100)


def ended(link: socket.socket) -> bool:
    try:
        return link.recv(100) == b""
    except ConnectionResetError:
        return True


def test_the_url_is_the_server_s_with_another_port(forwarder: Forwarder) -> None:
    assert forwarder.url == f"redis://user:secret@127.0.0.1:{forwarder.port}/0"


def test_a_cut_ends_every_connection_and_new_ones_pass(forwarder: Forwarder) -> None:
    with client(forwarder) as one, client(forwarder) as two:
        assert says(one, b"a") == says(two, b"a") == b"a"
        forwarder.cut()
        assert ended(one)
        assert ended(two)
        until(lambda: forwarder.connections == 0, "no connection is left")
    with client(forwarder) as three:
        assert says(three, b"b") == b"b"
    assert forwarder.made == 3


def test_the_oldest_connection_is_cut_and_the_other_goes_on(forwarder: Forwarder) -> None:
    with client(forwarder) as old, client(forwarder) as new:
        assert says(old, b"a") == says(new, b"a") == b"a"
        forwarder.cut_oldest()
        assert ended(old)
        assert says(new, b"b") == b"b"


def test_refused_connections_end_at_once(forwarder: Forwarder) -> None:
    forwarder.refuse()
    with client(forwarder) as link:
        assert ended(link)
    forwarder.refuse(False)
    with client(forwarder) as link:
        assert says(link, b"a") == b"a"


@pytest.mark.parametrize("directions", [[Direction.TO_SERVER], [Direction.TO_CLIENT], list(Direction)])
def test_what_is_stalled_comes_later_and_in_order(forwarder: Forwarder, directions: list[Direction]) -> None:
    with client(forwarder) as link:
        assert says(link, b"a") == b"a"
        forwarder.stall(directions)
        link.sendall(b"b")
        link.settimeout(0.1)
        with pytest.raises(TimeoutError):
            link.recv(100)
        link.sendall(b"c")
        link.settimeout(5)
        forwarder.flow()
        got = b""
        while len(got) < 2:
            got += link.recv(100)
        assert got == b"bc"


def test_a_stalled_connection_can_be_cut(forwarder: Forwarder) -> None:
    with client(forwarder) as link:
        assert says(link, b"a") == b"a"
        forwarder.stall()
        forwarder.cut()
        assert ended(link)


def test_a_half_closed_connection_still_speaks_the_other_way(echo: str) -> None:
    with Forwarder(echo) as forwarder, client(forwarder) as link:
        assert says(link, b"a") == b"a"
        # The client hears the end of the stream while the server still listens.
        forwarder.half_close(Direction.TO_CLIENT)
        assert ended(link)
        link.sendall(b"b")
        assert forwarder.connections == 1


def test_closing_ends_all_and_may_be_done_twice(echo: str) -> None:
    forwarder = Forwarder(echo)
    with client(forwarder) as link:
        assert says(link, b"a") == b"a"
        forwarder.stall()
        forwarder.close()
        forwarder.close()
        assert ended(link)
    with pytest.raises(ConnectionRefusedError):
        client(forwarder)
