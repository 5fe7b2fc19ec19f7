"""make bench: what penstock costs, beside the plain clients in the same run.

Absolute figures drift with the machine and with what else it does; compare ratios, of one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

ROOT = Path(__file__).resolve().parents[1]
JOBS = 30_000
ROUND_TRIPS = 1_000
LONG_JOBS = 30
#: What a message may hold when 8 MB travel in one.
MAX_BODY = 16 * 2**20
#: Jobs that are not counted: the worker starts with a small prefetch and learns that they are short.
WARM = 3_000
DEADLINE_S = 180.0


def main() -> int:
    """Run every measurement and print one line each."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        program = Path(folder) / "bench"
        subprocess.run([go(), "build", "-o", str(program), "."], cwd=ROOT / "bench", check=True)
        subprocess.run(
            [sys.executable, "-m", "penstock", "topology", "apply", "bench"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        log = Path(folder) / "worker.log"
        print(f"{JOBS:,} jobs, 2 children, {os.cpu_count()} cores shared with RabbitMQ and Redis\n")
        enqueue(program)
        floor = raw_consume(program)
        for mode in ("-none", "-stored"):
            drain(program, log, mode, floor)
        with worker(log) as running:
            roundtrip(program)
            jobs_per_s = through(program, running)
            items(program, jobs_per_s)
            long(program, "in Redis")
        with worker(log, "--max-body", str(MAX_BODY)):
            long(program, "in messages", "-max-body", str(MAX_BODY))
    return 0


def go() -> str:
    """The Go command of the set-up, else the one on PATH."""
    own = ROOT / ".venv" / "bin" / "go"
    return str(own) if own.exists() else "go"


def measure(program: Path, *arguments: str) -> dict[str, float]:
    """Run the Go side; returns its figures."""
    ended = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False, timeout=300)
    if ended.returncode:
        raise SystemExit(ended.stderr.strip())
    figures: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def line(what: str, ours: str, beside: str) -> None:
    """One row of the table."""
    print(f"  {what:<34}{ours:<26}{beside}", flush=True)


def enqueue(program: Path) -> None:
    """Publishing with confirms."""
    figures = measure(program, "enqueue", "-count", str(JOBS))
    purge()
    line(
        "enqueue, confirmed",
        f"{figures['enqueue_per_s']:,.0f}/s",
        f"{figures['ratio']:.2f} x amqp091-go alone ({figures['raw_per_s']:,.0f}/s)",
    )


def raw_consume(program: Path) -> float:
    """The floor of any worker on pika: take and ack, nothing else. Returns jobs per second."""
    measure(program, "fill", "-none", "-count", str(JOBS))
    rate, cpu_us = asyncio.run(_raw_consume())
    line("pika alone, take and ack", f"{rate:,.0f}/s", f"{cpu_us:.0f} us CPU a job")
    return rate


async def _raw_consume() -> tuple[float, float]:
    done: asyncio.Future[tuple[float, float]] = asyncio.get_running_loop().create_future()
    count, begun, cpu = 0, 0.0, 0.0

    def on_message(channel: Any, method: Any, _: Any, __: bytes) -> None:
        nonlocal count, begun, cpu
        count += 1
        if count == WARM:
            begun, cpu = time.perf_counter(), time.process_time()
        if count % 200 == 0 or count == JOBS:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if count == JOBS:
            counted = JOBS - WARM
            elapsed, used = time.perf_counter() - begun, time.process_time() - cpu
            done.set_result((counted / elapsed, used / counted * 1e6))

    def on_channel(channel: Any) -> None:
        channel.basic_qos(prefetch_count=516)
        channel.basic_consume("penstock.q.bench", on_message)

    connection = AsyncioConnection(
        pika.URLParameters(os.environ["PENSTOCK_AMQP_URL"]),
        on_open_callback=lambda opened: opened.channel(on_open_callback=on_channel),
    )
    figures = await asyncio.wait_for(done, DEADLINE_S)
    connection.close()
    await asyncio.sleep(0)
    return figures


def drain(program: Path, log: Path, mode: str, floor: float) -> None:
    """How fast a worker empties a full queue, and what its parent spends on a job."""
    measure(program, "fill", mode, "-count", str(JOBS))
    with worker(log) as running:
        begun = running.after(WARM)
        ended = running.after(JOBS)
    counted = ended.finished - begun.finished
    rate = counted / (ended.at - begun.at)
    cpu_us = (ended.cpu_s - begun.cpu_s) / counted * 1e6
    name = "no results" if mode == "-none" else "results in Redis"
    line(
        f"worker, {name}",
        f"{rate:,.0f} jobs/s",
        f"{rate / floor:.2f} x pika alone; parent {cpu_us:.0f} us CPU a job",
    )


def roundtrip(program: Path) -> None:
    """One job at a time."""
    figures = measure(program, "roundtrip", "-count", str(ROUND_TRIPS))
    line(
        "round trip, idle, p50 (p99)",
        f"{figures['penstock_p50_ms']:.2f} ({figures['penstock_p99_ms']:.2f}) ms",
        f"{figures['ratio']:.2f} x Go-to-Go echo ({figures['echo_p50_ms']:.2f} ms)",
    )


def through(program: Path, running: Running) -> dict[str, float]:
    """The whole way, producer and worker at the same time. Returns jobs per second, by where the results went."""
    per_s = {}
    for mode in ("-stored", None):
        figures = measure(program, "through", "-count", str(JOBS), *([mode] if mode else []))
        name = "Redis" if mode else "replies"
        per_s[name] = figures["per_s"]
        line(f"Go to Python to Go, {name}", f"{figures['per_s']:,.0f} jobs/s", "every result checked")
    assert running.process.poll() is None
    return per_s


def items(program: Path, jobs_per_s: dict[str, float]) -> None:
    """What one job yields, read while it runs."""
    for name, mode in (("Redis", ["-stored"]), ("replies", [])):
        figures = measure(program, "items", "-count", str(JOBS), *mode)
        beside = f"{figures['per_s'] / jobs_per_s[name]:.1f} x a job for each"
        line(f"items of one job, {name}", f"{figures['per_s']:,.0f}/s", beside)


def long(program: Path, where: str, *options: str) -> None:
    """Eight megabytes there and back, one job at a time."""
    figures = measure(program, "long", "-count", str(LONG_JOBS), *options)
    copies = f"{figures['copies']:.0f} x a copy of the bytes"
    line(f"8 MB there and back, {where}", f"{figures['p50_ms']:.0f} ms", copies)


class Reading:
    """A worker's finished jobs and its parent's CPU time at one moment."""

    def __init__(self, finished: float, cpu_s: float) -> None:
        self.at = time.perf_counter()
        self.finished = finished
        self.cpu_s = cpu_s


class Running:
    """A worker that is being measured."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, task: str) -> None:
        self.process = process
        self._log = log
        self._task = task
        self._deadline = time.monotonic() + DEADLINE_S

    def ready(self) -> bool:
        """Whether it consumes."""
        return bool(self._address())

    def after(self, finished: int) -> Reading:
        """Wait until this many jobs have ended."""
        while True:
            reading = Reading(self._finished(), self._cpu_s())
            if reading.finished >= finished:
                return reading
            self.pause()

    def pause(self) -> None:
        """Wait a little, if the worker lives and time is left."""
        if self.process.poll() is not None or time.monotonic() > self._deadline:
            raise SystemExit(f"the worker does not get there:\n{self._log.read_text()}")
        time.sleep(0.2)  # each look costs the worker a metrics page

    def _address(self) -> str:
        records = [json.loads(text) for text in self._log.read_text().splitlines() if text.endswith("}")]
        return next((r["http"] for r in records if r["event"] == "worker.ready"), "")

    def _finished(self) -> float:
        if not (address := self._address()):
            return 0.0
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        pattern = rf'jobs_finished_total\{{outcome="succeeded",queue="[^"]+",task="{self._task}"\}} (\S+)'
        found = re.search(pattern, page)
        return float(found[1]) if found else 0.0

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def worker(log: Path, *options: str, target: str = "bench.tasks:bench", task: str = "bench.add") -> Iterator[Running]:
    """A worker of the benchmark's queue, or of another, ready and later stopped; it tells of one task."""
    command = [
        sys.executable,
        "-m",
        "penstock",
        "worker",
        target,
        "--http",
        "127.0.0.1:0",
        "--log",
        "json",
        *options,
    ]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, stderr=sink)
    running = Running(process, log, task)
    try:
        while not running.ready():
            running.pause()
        yield running
    finally:
        process.terminate()
        process.wait(30)


def purge() -> None:
    """Empty the queue."""
    with pika.BlockingConnection(pika.URLParameters(os.environ["PENSTOCK_AMQP_URL"])) as connection:
        connection.channel().queue_purge("penstock.q.bench")


if __name__ == "__main__":
    sys.exit(main())
