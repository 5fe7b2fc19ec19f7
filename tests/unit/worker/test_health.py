"""HealthServer: probes and Prometheus, over the little of HTTP that they speak."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from penstock.worker.health import HealthServer

PAGE = b"penstock_jobs_started_total 1\n"


class FakeWriter:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def ask(request: bytes, reasons: list[str] | None = None) -> bytes:
    """The bytes with which a request is answered; the connection is closed in any case."""

    async def run() -> bytes:
        reader, writer = asyncio.StreamReader(limit=16 * 1024), FakeWriter()
        reader.feed_data(request)
        reader.feed_eof()
        server = HealthServer(lambda: reasons or [], lambda: PAGE)
        await server._serve(reader, cast("Any", writer))
        assert writer.closed
        return writer.data

    return asyncio.run(run())


def get(path: str, reasons: list[str] | None = None, method: str = "GET") -> tuple[int, bytes, bytes]:
    """Status, head and body."""
    answer = ask(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), reasons)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def test_a_worker_that_runs_is_alive_whether_or_not_it_is_ready() -> None:
    assert get("/livez")[0] == 200
    assert get("/livez", ["starting"])[0] == 200


def test_a_worker_is_ready_when_there_is_no_reason_against_it() -> None:
    status, _, body = get("/readyz")
    assert status == 200
    assert json.loads(body) == {"ready": True, "reasons": []}


def test_a_worker_that_is_not_ready_says_why() -> None:
    status, _, body = get("/readyz", ["draining"])
    assert status == 503
    assert json.loads(body) == {"ready": False, "reasons": ["draining"]}


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x=1"])
def test_the_metrics_page_comes_as_prometheus_reads_it(path: str) -> None:
    status, head, body = get(path)
    assert (status, body) == (200, PAGE)
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    assert f"Content-Length: {len(PAGE)}".encode() in head


def test_head_is_answered_without_a_body() -> None:
    status, head, body = get("/metrics", method="HEAD")
    assert (status, body) == (200, b"")
    assert f"Content-Length: {len(PAGE)}".encode() in head


@pytest.mark.parametrize(("path", "method", "status"), [("/", "GET", 404), ("/livez", "POST", 405)])
def test_everything_else_is_not_there(path: str, method: str, status: int) -> None:
    assert get(path, method=method)[0] == status


@pytest.mark.parametrize(
    "request_bytes", [b"", b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET /livez HTTP/1.1\r\n", b"x" * 20_000]
)
def test_what_is_no_http_is_closed_without_an_answer(request_bytes: bytes) -> None:
    assert ask(request_bytes) == b""


def test_stopping_twice_is_fine() -> None:
    async def run() -> None:
        server = HealthServer(list, lambda: PAGE)
        await server.stop()
        await server.stop()

    asyncio.run(run())
