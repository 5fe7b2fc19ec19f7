"""How much memory jobs take that wait: none in the worker, however many they are.

    python3 ops/dev/servers.py -- .venv/bin/python bench/waiting.py [JOBS]

Enqueues JOBS (1,000,000 unless said otherwise) that are due in three hours, lets a worker send them down the ladder,
and prints the parent's resident memory before, at its peak, and with all of them waiting.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pika

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from bench.run import go, worker  # noqa: E402

_QUEUE, _LEVEL = "penstock.q.bench", "penstock.wait.1h"


def main(jobs: int) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        program = Path(folder) / "bench"
        subprocess.run([go(), "build", "-o", str(program), "."], cwd=ROOT / "bench", check=True)
        with worker(Path(folder) / "worker.log") as running, pika.BlockingConnection(_parameters()) as connection:
            channel = connection.channel()
            before = memory(running.process.pid, "VmRSS")
            begun = time.monotonic()
            command = [str(program), "fill", "-none", "-delay", "3h", "-count", str(jobs), "-timeout", "30m"]
            filling = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while (waiting := depth(channel, _LEVEL)) < jobs:
                if filling.poll() or time.monotonic() - begun > 1800:
                    raise SystemExit(f"only {waiting} of {jobs} jobs wait")
                time.sleep(1)
            took = time.monotonic() - begun
            after, peak = memory(running.process.pid, "VmRSS"), memory(running.process.pid, "VmHWM")
            filling.wait(60)
            left = depth(channel, _QUEUE)
            channel.queue_purge(_LEVEL)
    print(f"{jobs:,} jobs wait in {_LEVEL}, {left} are left in {_QUEUE}; {jobs / took:,.0f} a second")
    print(f"parent's memory: {before:.1f} MB idle, {after:.1f} MB with all waiting, {peak:.1f} MB at its peak")
    return 0


def _parameters() -> pika.URLParameters:
    return pika.URLParameters(os.environ["PENSTOCK_AMQP_URL"])


def depth(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str) -> int:
    """Messages that are ready in a queue."""
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def memory(pid: int, what: str) -> float:
    """One of a process's memory figures, in MB."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
