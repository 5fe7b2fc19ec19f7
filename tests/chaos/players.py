"""The processes of a run, each under a supervisor that starts it again when it ends, as in production."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.dev.private import Janitor
from tests.helpers.worker import ROOT, WorkerProcess

#: A command that becomes a player, in a process group of its own: a Ctrl-C is for the orchestrator, and what it
#: leaves behind when it is killed itself is the janitor's.
OWN_GROUP = ("setsid",)

#: Most restarts of one player in a run; more is a crash loop, and the run is over.
RESTARTS = 20


class CrashLoopError(Exception):
    """A player ends again and again."""


class WorkerPlayer:
    """One worker and its successors. All methods may be called from any thread."""

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: tuple[str, ...],
        *,
        environment: dict[str, str],
        prefix: tuple[str, ...],
        janitor: Janitor,
    ) -> None:
        self.name = name
        self._janitor = janitor
        self._folder = folder
        self._arguments = arguments
        self._environment = environment
        self._prefix = prefix
        self._lock = threading.RLock()
        self._lives: list[WorkerProcess] = []
        self._wanted = False
        #: Ends that nobody asked for, as `worker-1 ended with status 70`.
        self.surprises: list[str] = []

    def start(self) -> None:
        """Start it, in a new life, unless it runs: two faults may both want it back."""
        with self._lock:
            self._wanted = True
            if self.alive:
                return
            life = len(self._lives)
            if life > RESTARTS:
                raise CrashLoopError(f"{self.name} has been started {life} times")
            self._lives.append(
                WorkerProcess(
                    self._folder / f"{self.name}.{life}.log",
                    *self._arguments,
                    "--name",
                    f"{self.name}-{life}",
                    environment=self._environment,
                    prefix=(*OWN_GROUP, *self._prefix),
                )
            )
            self._janitor.note(f"group {self.now.process.pid}")

    @property
    def now(self) -> WorkerProcess:
        """The present life."""
        return self._lives[-1]

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return bool(self._lives) and self.now.process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether its present life has begun to consume, at least once."""
        return self.alive and bool(self.now.records("worker.ready"))

    def tend(self) -> None:
        """Start it again when it has ended by itself."""
        with self._lock:
            if self._wanted and not self.alive:
                self.surprises.append(f"{self.name} ended with status {self.now.process.returncode}")
                self.start()

    def kill(self) -> None:
        """SIGKILL; it is started again at once."""
        with self._lock:
            self.now.process.kill()
            self._collect()
            self.start()

    def _collect(self) -> None:
        self._janitor.note(f"forget group {self.now.process.pid}")
        self.now.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """A signal to the parent process alone."""
        with self._lock, suppress(ProcessLookupError):
            self.now.signal(number)

    def children(self) -> list[int]:
        """Process ids of its children."""
        with self._lock:
            try:
                return self.now.children() if self.alive else []
            except OSError:
                return []

    def in_progress(self) -> int:
        """Jobs that it has in hand; 1 when it does not tell."""
        if not self.ready:
            return 1
        try:
            page = self.now.get("/metrics")[1]
        except OSError:
            return 1
        rows = [line for line in page.splitlines() if line.startswith("penstock_jobs_in_progress{")]
        return int(sum(float(row.rpartition(" ")[2]) for row in rows))

    def stop(self, seconds: float = 40.0) -> int | None:
        """Let it drain and end; returns its exit status, None when it had to be killed."""
        with self._lock:
            self._wanted = False
            if not self._lives:
                return 0
            process = self.now.process
        process.send_signal(signal.SIGCONT)
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
        finally:
            self._collect()

    @property
    def lives(self) -> int:
        """How often it has been started."""
        return len(self._lives)

    def records(self, event: str) -> list[dict[str, Any]]:
        """Log records of one event, of all its lives."""
        return [record for life in self._lives for record in life.records(event)]


class ProducerPlayer:
    """The Go producer and its successors, which share a plan and a journal."""

    def __init__(
        self, command: list[str], folder: Path, journal: Path, environment: Mapping[str, str], janitor: Janitor
    ) -> None:
        self.name = "producer"
        self._journal = journal
        self._began_at = 0
        self._gave_up = 0
        self._command = [*OWN_GROUP, *command]
        self._janitor = janitor
        self._log = folder / "producer.log"
        self._environment = {**os.environ, **environment}
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self.surprises: list[str] = []
        self.lives = 0

    def start(self) -> None:
        """Start it; it goes on where its journal ends."""
        with self._lock, self._log.open("ab") as log:
            if self.lives > RESTARTS:
                raise CrashLoopError(f"the producer has been started {self.lives} times")
            self.lives += 1
            self._began_at = self._journal.stat().st_size if self._journal.exists() else 0
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
            self._janitor.note(f"group {self._process.pid}")

    def _collect(self, process: subprocess.Popen[bytes]) -> None:
        self._janitor.note(f"forget group {process.pid}")
        process.wait(10)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def ended(self) -> bool:
        """Whether it has done everything and ended well."""
        return self._process is not None and self._process.poll() == 0

    @property
    def only_waits(self) -> bool:
        """Whether its present life has enqueued everything."""
        return b'"e":"enqueued"' in self._journal.read_bytes()[self._began_at :] if self._journal.exists() else False

    def give_up_lost_replies(self) -> None:
        """Have it wait no longer for replies that were lost with their connection. Twice is fine."""
        with self._lock:
            if self._gave_up != self.lives:
                self._gave_up = self.lives
                self.signal(signal.SIGUSR1)

    def tend(self) -> None:
        """Start it again when it has failed."""
        with self._lock:
            if self._process is not None and self._process.poll() not in (None, 0):
                self.surprises.append(f"the producer ended with status {self._process.returncode}")
                self.start()

    def kill(self) -> bool:
        """SIGKILL; it is started again at once. One that has ended is left alone; returns whether it ran."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                return False
            self._process.kill()
            self._collect(self._process)
            self.start()
            return True

    def signal(self, number: signal.Signals) -> None:
        """A signal to it."""
        with self._lock, suppress(ProcessLookupError):
            if self._process is not None:
                self._process.send_signal(number)

    def stop(self) -> None:
        """End it, if it has not ended."""
        with self._lock:
            process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        self._collect(process)


def marked(mark: str) -> list[str]:
    """Processes whose environment has this text, as `PID COMMAND`; zombies are none."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:
                    found.append(f"{folder.name} {command[:100]}")
    return found
