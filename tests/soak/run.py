"""Does all kinds of harm to a real worker for a while, and checks that nothing is lost, left behind or piles up.

    make soak SECONDS=3600

Traffic stays on this machine, and everything ends by itself. Checked: every job has exactly one answer, and the one
that its kind must have; no slot is stuck; the parent's memory stays flat; no process is left of all that were started.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.conftest import namespace
from tests.helpers.producer import Producer
from tests.helpers.servers import need
from tests.helpers.worker import WorkerProcess

QUEUES: Final = ("mixed", "threads", "loop")
#: Jobs a second. Crashes are few: each is tried alone, in a child that is started for it.
RATE: Final = 60.0
#: Seconds for the last jobs to end.
END_S: Final = 120.0
#: How much the parent may grow, in MiB, from the second quarter of the time to the last.
GROWTH_MIB: Final = 8.0
_OK: Final = frozenset({"ok"})


@dataclass(frozen=True)
class Kind:
    """A kind of job: how often it comes, what it gets, and how it may end."""

    task: str
    weight: float
    args: Callable[[random.Random], dict[str, Any]] = field(default=lambda _: {})
    ends: frozenset[str] = _OK


KINDS: Final = (
    Kind("mixed.good", 40, lambda r: {"value": r.randbytes(r.choice((10, 1000, 50_000)))}),
    Kind("mixed.slow", 6, lambda r: {"seconds": r.uniform(0.01, 0.2)}),
    Kind("mixed.bad", 6, ends=frozenset({"TASK_ERROR"})),
    Kind("mixed.flaky", 4),
    Kind("mixed.leak", 5),
    Kind("mixed.eat", 0.05, ends=frozenset({"CHILD_LOST"})),
    Kind("mixed.hang", 0.1, lambda r: {"deaf": r.random() < 0.5}, frozenset({"TIMEOUT"})),
    Kind("mixed.litter", 0.05, ends=frozenset({"TIMEOUT"})),
    Kind("mixed.crash", 0.12, lambda r: {"how": r.choice(("segfault", "kill", "exit"))}, frozenset({"CHILD_LOST"})),
    Kind("threads.wait", 20, lambda r: {"seconds": r.uniform(0, 0.1)}),
    Kind("threads.stuck", 0.03, ends=frozenset({"TIMEOUT"})),
    Kind("loop.nap", 20, lambda r: {"seconds": r.uniform(0, 0.2)}),
)


class Soak:
    """One run.

    Args:
        producer: Where jobs go.
        worker: What has to bear them.
        seconds: How long.
        seed: Which jobs.
    """

    def __init__(self, producer: Producer, worker: WorkerProcess, *, seconds: float, seed: int) -> None:
        self._producer = producer
        self._worker = worker
        self._seconds = seconds
        self._random = random.Random(seed)
        self._sent: dict[str, Kind] = {}
        self._open: set[str] = set()
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.memory_mib: list[float] = []

    def run(self) -> None:
        """Send jobs for the time, and await their ends."""
        began = said = time.monotonic()
        while (now := time.monotonic()) < began + self._seconds:
            kind = self._random.choices(KINDS, [kind.weight for kind in KINDS])[0]
            job_id = self._producer.enqueue(kind.task, kind.args(self._random))
            self._sent[job_id] = kind
            self._open.add(job_id)
            self._collect()
            if now - said > 5:
                said = now
                self.memory_mib.append(self._parent_mib())
                assert self._worker.process.poll() is None, "the worker is gone"
                if len(self.memory_mib) % 12 == 0:
                    jobs = f"{len(self._sent)} jobs, {len(self._open)} open"
                    print(f"{now - began:6.0f} s  {jobs}, parent {self.memory_mib[-1]:.1f} MiB", flush=True)
            time.sleep(max(0.0, began + len(self._sent) / RATE - time.monotonic()))
        deadline = time.monotonic() + END_S
        while self._open and time.monotonic() < deadline:
            self._collect()
            time.sleep(0.05)
        for job_id in self._open:
            self.wrong.append(f"{self._sent[job_id].task} {job_id}: no answer")

    def _collect(self) -> None:
        for job_id in self._producer.take_answered():
            kind = self._sent.get(job_id)
            answers = self._producer.replies(job_id)
            if kind is None or job_id not in self._open:
                self.wrong.append(f"{job_id}: an answer that nobody awaits")
                continue
            self._open.discard(job_id)
            error = answers[0].error
            end = "ok" if error is None else error.code
            self.ends[f"{kind.task} {end}"] += 1
            if end not in kind.ends or len(answers) > 1:
                self.wrong.append(f"{kind.task} {job_id}: {end}, {len(answers)} answers: {error and error.message}")

    def _parent_mib(self) -> float:
        pages = int(Path(f"/proc/{self._worker.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def check(self) -> None:
        """What must hold when all jobs have ended and the worker still runs."""
        page = self._worker.get("/metrics")[1]
        for queue, children in (("mixed", 3), ("threads", 1), ("loop", 1)):
            slots = {
                line.split('state="')[1].split('"')[0]: float(line.split()[-1])
                for line in page.splitlines()
                if line.startswith("penstock_children{") and f'queue="{queue}"' in line
            }
            good = sum(slots.get(state, 0) for state in ("idle", "starting", "restarting", "retiring"))
            if good != children:
                self.wrong.append(f"queue {queue}: its slots are {slots}")
        quarter = len(self.memory_mib) // 4
        if quarter:
            early = statistics.median(self.memory_mib[quarter : 2 * quarter])
            late = statistics.median(self.memory_mib[-quarter:])
            print(f"parent's memory: {early:.1f} MiB in the second quarter, {late:.1f} MiB in the last")
            if late - early > GROWTH_MIB:
                self.wrong.append(f"the parent has grown by {late - early:.1f} MiB")


def marked(token: str) -> list[int]:
    """The processes that were started with this mark, by whomever."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if token.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # gone, or somebody else's
    return found


def main() -> int:
    """Run, print what was seen; the exit status is 0 only if all of it held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long (default: 120)")
    parser.add_argument("--seed", type=int, default=1, help="which jobs (default: 1)")
    options = parser.parse_args()
    url, token = need("PENSTOCK_AMQP_URL"), f"soak-{secrets.token_hex(8)}"
    targets = [f"tests.soak.tasks:{queue}" for queue in QUEUES]
    with (
        tempfile.TemporaryDirectory(prefix="penstock-soak-") as folder,
        namespace(url, QUEUES) as topology,
        Producer(url, topology) as producer,
    ):
        log = Path(folder) / "worker.log"
        worker = WorkerProcess(log, *targets, "--namespace", topology.namespace, environment={"PENSTOCK_SOAK": token})
        soak = Soak(producer, worker, seconds=options.seconds, seed=options.seed)
        try:
            worker.await_ready()
            soak.run()
            soak.check()
        finally:
            status = worker.stop()
        if status != 0:
            soak.wrong.append(f"the worker ended with status {status}")
        if left := marked(token):
            soak.wrong.append(f"processes are left: {left}")
        exits = Counter(
            record["message"] for event in ("child.exited", "child.lost") for record in worker.records(event)
        )
    for end, count in sorted(soak.ends.items()):
        print(f"  {count:7}  {end}")
    for message, count in exits.most_common():
        print(f"  {count:7}  {message}")
    for problem in soak.wrong[:20]:
        print(f"WRONG: {problem}", file=sys.stderr)
    print(f"{sum(soak.ends.values())} jobs in {options.seconds:g} s, {len(soak.wrong)} wrong")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
