"""/livez, /readyz and /metrics, over the little of HTTP that probes and Prometheus speak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

from penstock.errors import UsageError

_READ_TIMEOUT_S: Final = 5.0
_MAX_REQUEST_BYTES: Final = 16 * 1024
_PHRASES: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}

#: Status, content type and body of an answer.
Answer = tuple[int, str, bytes]


class HealthServer:
    """Answers GET and HEAD; every connection serves one request.

    Args:
        not_ready: Why the worker is not ready, one reason each; empty: it is.
        metrics: Makes the metrics page.
    """

    def __init__(self, not_ready: Callable[[], list[str]], metrics: Callable[[], bytes]) -> None:
        self._not_ready = not_ready
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port.

        Raises:
            UsageError: The address cannot be used.
        """
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_REQUEST_BYTES)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another with --http HOST:PORT, or --http off"
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening; stopping twice is fine."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _READ_TIMEOUT_S)
            method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            status, kind, body = self._answer(method, path.partition("?")[0])
            lines = (
                f"HTTP/1.1 {status} {_PHRASES[status]}",
                f"Content-Type: {kind}",
                f"Content-Length: {len(body)}",
                "Connection: close",
                "\r\n",
            )
            writer.write("\r\n".join(lines).encode() + (b"" if method == "HEAD" else body))
            await asyncio.wait_for(writer.drain(), _READ_TIMEOUT_S)
        except (
            TimeoutError,
            ValueError,
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            pass  # not HTTP, too slow or gone
        finally:
            writer.close()

    def _answer(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return 405, "text/plain", b"only GET and HEAD\n"
        if path == "/livez":
            return 200, "text/plain", b"ok\n"
        if path == "/readyz":
            reasons = self._not_ready()
            body = json.dumps({"ready": not reasons, "reasons": reasons}) + "\n"
            return (503 if reasons else 200), "application/json", body.encode()
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics()
        return 404, "text/plain", b"try /livez, /readyz or /metrics\n"
