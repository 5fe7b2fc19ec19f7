"""A worker in a process of its own, as an operator would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.helpers.wait import until

ROOT = Path(__file__).resolve().parents[2]


def children_of(pid: int) -> list[int]:
    """Process ids of the children that the first thread of a process has started, or was given."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class WorkerProcess:
    """`penstock worker`, or another `verb` that runs one, with its log in a file.

    A `prefix` is a command that becomes the worker, for instance one that enters a network namespace.
    """

    def __init__(
        self,
        log: Path,
        *arguments: str,
        verb: str = "worker",
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        cwd: Path = ROOT,
    ) -> None:
        self._log = log
        command = [*prefix, sys.executable, "-m", "penstock", verb, *arguments]
        if "--http" not in arguments:
            command += ["--http", "127.0.0.1:0"]
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [*command, "--log", "json"], cwd=cwd, stderr=sink, env={**os.environ, **(environment or {})}
            )

    @property
    def log(self) -> str:
        """Everything that it wrote to stderr."""
        return self._log.read_text()

    def records(self, event: str) -> list[dict[str, Any]]:
        """Its log records of one event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line.get("event") == event]

    def await_ready(self) -> WorkerProcess:
        """Wait until it consumes."""

        def ready() -> bool:
            assert self.process.poll() is None, f"the worker ended early:\n{self.log}"
            return bool(self.records("worker.ready"))

        until(ready, "worker.ready", 30)
        return self

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of its HTTP port."""
        address = self.records("worker.ready")[0]["http"]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def children(self) -> list[int]:
        """Process ids of its children."""
        return children_of(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Await its end; returns its exit status."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Drain and end; returns the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def run_worker(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a worker that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", "worker", *arguments, "--http", "off"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
        check=False,
    )
