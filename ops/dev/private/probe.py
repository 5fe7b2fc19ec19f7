"""Questions to a server that need no client library: is it there, and which version is it?"""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Callable


class NotReadyError(Exception):
    """The server does not answer yet, or not in its protocol."""


# Below the range from which the kernel takes ports for outgoing connections: a client that keeps
# reconnecting to a killed server could otherwise be given that very port and end up talking to itself.
_PORTS = range(20_000, 32_000)

#: More than any answer to our questions. Bytes.
_ANSWER_MAX = 65_536


def free_ports(count: int) -> list[int]:
    """Return `count` different loopback ports on which nobody listens."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    msg = f"no {count} free ports between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1"
    raise OSError(msg)


def amqp_version(host: str, port: int, timeout_s: float = 2.0) -> str:
    """Return the version that a broker names in its first frame, after a real protocol header."""
    data = _exchange(host, port, b"AMQP\x00\x00\x09\x01", b"\xce", timeout_s)
    found = re.search(rb"\x07versionS...(.)", data, re.DOTALL)
    if not data.startswith(b"\x01\x00\x00") or found is None:
        msg = f"what answers on port {port} does not speak AMQP 0-9-1"
        raise NotReadyError(msg)
    return data[found.end() : found.end() + found[1][0]].decode("ascii", "replace")


def redis_version(host: str, port: int, timeout_s: float = 2.0) -> str:
    """Return the version of a Redis that answers PING; `?` when it wants a password first."""
    pong = _exchange(host, port, b"PING\r\n", b"\n", timeout_s)
    if pong.startswith(b"-NOAUTH"):
        return "?"
    if not pong.startswith(b"+PONG"):
        msg = f"port {port} answers PING with {pong[:80]!r}"
        raise NotReadyError(msg)
    data = _exchange(host, port, b"INFO server\r\n", b"\r\n\r\n", timeout_s)
    found = re.search(rb"(?:valkey|redis)_version:([^\r\n]+)", data)
    if found is None:
        msg = f"what answers on port {port} is not a Redis"
        raise NotReadyError(msg)
    return found[1].decode("ascii", "replace")


def _exchange(host: str, port: int, question: bytes, end: bytes, timeout_s: float) -> bytes:
    """Send one question and read until `end`, end of stream or `_ANSWER_MAX`."""
    answer = b""
    try:
        with socket.create_connection((host, port), timeout_s) as link:
            link.settimeout(timeout_s)
            link.sendall(question)
            while not answer.endswith(end) and len(answer) < _ANSWER_MAX:
                chunk = link.recv(_ANSWER_MAX)
                if not chunk:
                    break
                answer += chunk
    except OSError as error:
        raise NotReadyError(str(error)) from error
    return answer


def wait_until_ready(ask: Callable[[], str], *, alive: Callable[[], bool], timeout_s: float) -> str:
    """Ask until there is an answer.

    Raises:
        NotReadyError: the server's process ended, or the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except NotReadyError as error:
            if not alive():
                msg = "it ended while it was starting"
                raise NotReadyError(msg) from error
            if time.monotonic() > deadline:
                msg = f"it did not answer within {timeout_s:.0f} s: {error}"
                raise NotReadyError(msg) from error
        time.sleep(0.05)
