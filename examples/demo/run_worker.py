"""Runs a `penstock worker` for `tasks.py` in the background of `run.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.dev.say import step

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
QUEUES = ("tasks:digits", "tasks:images", "tasks:stats", "examples.tasks.algebra:algebra")
#: Each child computes in one thread: there are as many children as a small machine has cores.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

READY_S = 120.0  # on a slow disk, importing scikit-learn for the first time takes long
STOP_S = 30.0  # more than a worker gives its running jobs
SHOWN_LINES = 30


class WorkerError(Exception):
    """The worker did not start or stop as it should; the message says what happened."""


@contextmanager
def worker(log: Path) -> Iterator[Worker]:
    """Run a worker, which is ready when this begins, and has stopped when this ends, whatever happens.

    Raises:
        WorkerError: It does not become ready, or does not stop as it should. The end of its log is printed.
    """
    running = Worker(log)
    try:
        with step("worker", "starting") as done:
            running.wait_until_ready()
            done(f"ready: {len(QUEUES)} queues, {running.events.count('child.started')} children")
        yield running
    except BaseException:
        running.stop()
        raise
    with step("worker", "stopping") as done:
        status = running.stop()
        if status != 0:
            running.show_log()
            msg = f"the worker ended with exit code {status}"
            raise WorkerError(msg)
        done("stopped: every running job was settled")


class Worker:
    """A worker process and its log.

    Args:
        log: Where the log is kept.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        #: The events of the log so far, in order.
        self.events: list[str] = []
        self._ready_or_ended = threading.Event()
        command = [sys.executable, "-m", "penstock", "worker", "--http", "127.0.0.1:0", "--log", "json"]
        self._process = subprocess.Popen(
            [*command, *QUEUES, "--contracts", str(ROOT / "contracts/tasks")],
            cwd=HERE,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,  # a Ctrl-C is for run.py, which stops the worker after the Go program
        )
        self._reader = threading.Thread(target=self._read, name="worker-log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.log.open("w") as log:
            for line in self._process.stderr or ():
                log.write(line)
                log.flush()
                self.events.append(_record(line).get("event", ""))
                if self.events[-1] == "worker.ready":
                    self._ready_or_ended.set()
        self._ready_or_ended.set()

    def wait_until_ready(self) -> None:
        """Wait until the worker says that it is ready.

        Raises:
            WorkerError: It has ended, or takes too long.
        """
        in_time = self._ready_or_ended.wait(READY_S)
        if "worker.ready" in self.events:
            return
        self.show_log()
        msg = "it ended before it was ready" if in_time else f"it is not ready after {READY_S:.0f} s"
        raise WorkerError(f"the worker does not start: {msg}")

    def stop(self) -> int:
        """Let the worker finish what it runs; return its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_S)
        finally:
            self._process.kill()  # nothing, where it has ended
            self._process.wait()
            self._reader.join(STOP_S)

    def show_log(self) -> None:
        """Print the end of the log on standard error."""
        lines = self.log.read_text().splitlines()[-SHOWN_LINES:]
        text = "\n".join(["-- the end of the worker's log", *map(_readable, lines), "--"])
        print(text, file=sys.stderr, flush=True)


def _record(line: str) -> dict[str, Any]:
    """Return the fields of a line; none where a library has written it."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _readable(line: str) -> str:
    record = _record(line)
    if not record:
        return line
    head = " ".join(str(record.get(key, "")) for key in ("level", "event", "message"))
    return "\n    ".join([head, *str(record.get("traceback", "")).splitlines()])
