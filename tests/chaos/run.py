"""One run: load, faults, quiet, drain, check."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.check import Verdict, judge
from tests.chaos.evidence import Evidence, Execution, Journal, read_executions, read_journal, read_result
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.plan import Window, draw_jobs, draw_window, load_s, write_jobs
from tests.chaos.players import CrashLoopError, marked
from tests.chaos.recovery import recovery
from tests.chaos.rig import Rig
from tests.chaos.world import World
from tests.helpers.wait import until

#: How long the faults of a run may take, and then the end of all jobs, in seconds.
FAULTS_S = 30.0
QUIET_S = 60.0
#: How long everything must have been at rest before the producer gives up replies that were lost, in seconds.
REST_S = 1.0
#: How often it is looked, in seconds.
_LOOK_S = 0.2
#: How often what is left after the workers' end may be worked off by new ones.
SWEEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to do: enough to do the same again."""

    seed: int
    series: str
    faults: tuple[str, ...]
    jobs: int

    @property
    def name(self) -> str:
        """The faults as the command line takes them."""
        return "+".join(self.faults) or "none"

    @property
    def repeat(self) -> str:
        """The command that does it again."""
        return (
            f"python tests/chaos/campaign.py --series {self.series} --fault {self.name} --seed {self.seed} "
            f"--jobs {self.jobs}"
        )


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    verdict: Verdict
    journal: Journal
    numbers: dict[str, Any]
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Scheduled:
    name: str
    fault: Fault
    window: Window
    began_ns: int = 0
    ended_ns: int = 0


class _Rest:
    """For how long there has been rest."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, rest: bool) -> float:
        """Take note of whether there is rest now; returns for how many seconds, negative when there is none."""
        if not rest:
            self._since = None
            return -1.0
        now = time.monotonic()
        self._since = self._since or now
        return now - self._since


class Run:
    """One run on a rig.

    Args:
        order: What to do.
        rig: Servers of the order's series.
        program: The Go producer.
        folder: For its ledgers and logs; new and empty.
    """

    def __init__(self, order: Order, rig: Rig, program: Path, folder: Path) -> None:
        self._order = order
        self._rig = rig
        self._program = program
        self._folder = folder
        rng = random.Random(f"penstock/{order.seed}/{order.name}")
        self._scheduled = [self._schedule(name, rng) for name in order.faults]
        faults = [item.fault for item in self._scheduled]
        self._jobs = draw_jobs(rng, order.jobs, [crowd for fault in faults for crowd in fault.crowds])
        self._workers = max([rng.choice([1, 1, 2]), *(fault.workers for fault in faults)])
        environment = {key: value for fault in faults for key, value in fault.environment.items()}
        self._mark = f"chaos-{order.seed}-{order.name}-{time.time_ns()}"
        self._world = World(
            rig,
            folder,
            mark=self._mark,
            links=[link for fault in faults for link in fault.links],
            environment=environment,
        )
        self._locks: dict[str, threading.Lock] = {fault.target: threading.Lock() for fault in faults}
        self._notes: list[str] = []
        #: What had not ended in time; None: everything had.
        self._late: str | None = None

    def _schedule(self, name: str, rng: random.Random) -> _Scheduled:
        fault = FAULTS[name]()
        fault.rng = random.Random(rng.random())
        return _Scheduled(name, fault, draw_window(rng, fault.moment, fault.hold_s, self._order.jobs))

    def impossible(self) -> str | None:
        """Why this run cannot be made here."""
        return next((why for item in self._scheduled if (why := item.fault.impossible(self._world))), None)

    def play(self) -> Outcome:
        """Do it all. Whatever happens, no process of the run is left."""
        began = time.monotonic()
        self._rig.spoilt = True
        threads: list[threading.Thread] = []
        try:
            self._begin()
            ready_s = time.monotonic() - began
            threads = self._harm()
            self._await_end(threads)
            ended_s = time.monotonic() - began
            left = self._drain()
            evidence = self._gather(left)
        finally:
            self._world.over.set()
            for thread in threads:
                thread.join(60)
            self._world.close()
        verdict = judge(self._jobs, evidence)
        verdict.violations += [f"the suite itself: {text}" for text in self._notes if text.startswith("fault ")]
        if self._late:
            verdict.violations.append(f"not everything ended without a restart: {self._late}")
        self._rig.spoilt = bool(verdict.violations)
        numbers = {
            "workers": self._workers,
            "harmless": [item.name for item in self._scheduled if item.fault.harmless],
            "disruptions": evidence.disruptions,
            "republications": evidence.republications,
            "windows": {item.name: [item.window.begin_s, item.window.hold_s] for item in self._scheduled},
            **self._recovery(evidence.executions),
            "replies_dropped": evidence.journal.dropped,
            "ready_s": round(ready_s, 1),
            "ended_s": round(ended_s, 1),
            "took_s": round(time.monotonic() - began, 1),
        }
        return Outcome(verdict, evidence.journal, numbers, self._notes + self._world.surprises + verdict.surprises[:5])

    # ── the acts ────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        write_jobs(self._jobs, self._folder / "plan.jsonl")
        for item in self._scheduled:
            item.fault.prepare(self._world)
        self._world.add_workers(self._workers)
        until(lambda: all(player.ready for player in self._world.workers), "the workers are ready", 40)
        self._world.add_producer(self._program, rate=self._order.jobs / load_s(self._order.jobs))

    def _harm(self) -> list[threading.Thread]:
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._inflict, args=(item, began), name=item.name, daemon=True)
            for item in self._scheduled
        ]
        for thread in threads:
            thread.start()
        return threads

    def _inflict(self, item: _Scheduled, began: float) -> None:
        self._world.pause(max(0.0, began + item.window.begin_s - time.monotonic()))
        with self._locks[item.fault.target]:
            item.began_ns = time.time_ns()
            try:
                item.fault.inject(self._world)
                self._world.pause(item.window.hold_s)
            except Exception:  # noqa: BLE001 -- reported with the run, which it spoils
                self._notes.append(f"fault {item.name} could not be injected: {traceback.format_exc(limit=3)}")
            try:
                item.fault.heal(self._world)
            except Exception:  # noqa: BLE001 -- as above
                self._notes.append(f"fault {item.name} could not be healed: {traceback.format_exc(limit=3)}")
            item.ended_ns = time.time_ns()

    def _await_end(self, threads: Sequence[threading.Thread]) -> None:
        """Wait until the producer has ended, no fault is in force, and everything has been at rest for a while."""
        producer = self._world.producer
        assert producer is not None
        hidden_s = max((item.fault.hidden_s for item in self._scheduled), default=0.0)
        rest = _Rest()

        def over() -> bool:
            self._world.tend()
            rested_s = rest.look(not any(thread.is_alive() for thread in threads) and self._idle())
            if rested_s >= hidden_s + REST_S and producer.only_waits:
                producer.give_up_lost_replies()
            return rested_s >= hidden_s and producer.ended

        try:
            until(over, "the end of all jobs", load_s(self._order.jobs) + FAULTS_S + QUIET_S)
        except (AssertionError, CrashLoopError) as error:
            hands = {player.name: player.in_progress() for player in self._world.workers}
            self._late = f"{error}; in the queues {self._rig.work_left()}, in hand {hands}"
            producer.stop()

    def _idle(self) -> bool:
        """Whether no job is in a queue or in a worker's hands, as far as can be seen."""
        self._world.pause(_LOOK_S)
        return not self._rig.work_left() and not sum(player.in_progress() for player in self._world.workers)

    def _drain(self) -> dict[str, int]:
        """End the workers; what they give back is worked off by new ones. Returns what is left in the queues."""
        for sweep in range(SWEEPS + 1):
            statuses = [player.stop() for player in self._world.workers]
            if any(status not in (0, 75) for status in statuses):
                self._notes.append(f"workers ended with {statuses}")
            left = self._rig.work_left()
            if not left or sweep == SWEEPS:
                return left
            self._notes.append(f"left by the workers, sweep {sweep + 1}: {left}")
            for player in self._world.workers:
                player.start()
            with suppress(AssertionError):
                until(self._idle, "the queues are empty", QUIET_S / 2)
        raise AssertionError

    def _gather(self, left: dict[str, int]) -> Evidence:
        self._world.close()
        for item in self._scheduled:
            item.fault.finish(self._world)
            if item.fault.harmless:
                self._notes.append(f"{item.name} harmed nobody: {item.fault.harmless}")
        journal = read_journal(self._world.journal)
        assert self._world.producer is not None
        dead: dict[str, list[str]] = {}
        for job_id, code in self._rig.take_dead():
            dead.setdefault(job_id, []).append(code)
        return Evidence(
            journal=journal,
            executions=read_executions(self._folder),
            stored=dict(read_result(body) for body in self._rig.stored()),
            dead=dead,
            left=left,
            disruptions=self._world.disruptions,
            # A life that was killed has told nobody how often it reconnected.
            republications=journal.reconnects + 2 * (self._world.producer.lives - 1),
            stray=tuple(marked(self._mark)),
        )

    def _recovery(self, executions: dict[str, list[Execution]] | Any) -> dict[str, Any]:
        if not self._scheduled:
            return {}
        ends = sorted(e.ended_ns for runs in executions.values() for e in runs if e.ended_ns is not None)
        return recovery(
            ends,
            harmed_ns=min(item.began_ns for item in self._scheduled),
            healed_ns=max(item.ended_ns for item in self._scheduled),
        )
