"""What a run does, drawn from its seed: which jobs in which order, and when each fault begins and ends."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

QUEUE = "chaos"

#: How many jobs a second are enqueued if nothing disturbs it, and the least time that a load takes, in seconds.
RATE = 1250
SHORTEST_LOAD_S = 2.0
#: How long one job may take to be enqueued, in ms: most callers wait for a reconnect, some have no time.
PATIENCE_MS, NO_PATIENCE_MS = 30_000, 150
IMPATIENT = 0.03

#: Kinds of jobs besides `ok`: how many in a thousand.
PER_MILLE: Mapping[str, float] = {
    "slow": 4.0,
    "flaky": 20.0,
    "fails": 4.0,
    "fails_once": 6.0,
    "late": 10.0,
    "delayed": 10.0,
    "crashes": 0.1,
    "crashes_once": 0.3,
    "hangs": 0.1,
    "eats": 0.1,
}
MODES = ("stored", "reply", "reply+stored")
WEIGHTS = (4, 3, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job. Times are in ms from when it is enqueued."""

    id: str
    kind: str
    task: str
    n: int
    mode: str
    patience_ms: int
    deadline_ms: int | None = None
    delay_ms: int = 0
    #: When it is cancelled, from when it was accepted; None: never.
    cancel_ms: int | None = None

    @property
    def stored(self) -> bool:
        """Whether its result is to be found in Redis."""
        return self.mode != "reply"

    @property
    def replied(self) -> bool:
        """Whether its result is sent to its producer."""
        return self.mode != "stored"


@dataclass(frozen=True, slots=True)
class Window:
    """When a fault begins, in seconds from the start of the load, and how long it lasts."""

    begin_s: float
    hold_s: float


def load_s(count: int) -> float:
    """How long the load of so many jobs takes if nothing disturbs it; the faults begin within it."""
    return max(SHORTEST_LOAD_S, count / RATE)


def draw_window(rng: random.Random, moment: tuple[float, float], hold_s: tuple[float, float], count: int) -> Window:
    """A moment within the load of so many jobs, and a length."""
    return Window(round(rng.uniform(*moment) * load_s(count), 3), round(rng.uniform(*hold_s), 3))


def draw_jobs(rng: random.Random, count: int, crowds: Sequence[tuple[str, int]] = ()) -> list[Job]:
    """The jobs in the order in which they are enqueued.

    Args:
        rng: Decides.
        count: How many.
        crowds: Kinds of which so many come one after the other, at a random place.
    """
    kinds = [kind for kind, share in PER_MILLE.items() for _ in range(_draw_count(rng, share * count / 1000))]
    crowded = sum(number for _, number in crowds)
    kinds += ["ok"] * (count - len(kinds) - crowded)
    rng.shuffle(kinds)
    for kind, number in crowds:
        place = int(rng.uniform(0.15, 0.85) * len(kinds))
        kinds[place:place] = [kind] * number
    now_ms = int(time.time() * 1000)
    return [_draw_job(rng, kind, now_ms) for kind in kinds]


def write_jobs(jobs: Sequence[Job], path: Path) -> None:
    """The plan as the producer reads it."""
    path.write_text("".join(json.dumps(asdict(job)) + "\n" for job in jobs))


def _draw_count(rng: random.Random, expected: float) -> int:
    """A whole number with this mean."""
    return int(expected) + (rng.random() < expected % 1)


def _draw_job(rng: random.Random, kind: str, now_ms: int) -> Job:
    mode = rng.choices(MODES, WEIGHTS)[0]
    n, deadline_ms, delay_ms, cancel_ms, task = rng.randrange(50, 400), None, 0, None, kind
    match kind:
        case "slow":
            n = rng.randrange(20, 80)
        case "long":
            n = rng.randrange(3_300, 4_600)
        case "flaky":
            n = rng.randrange(2, 4)
        case "late":
            task, deadline_ms = "ok", rng.randrange(-20, 20)
        case "delayed":
            task, delay_ms = "ok", rng.randrange(600, 2500)
        case "cancelled":
            # Most of them while they wait for a child or run, some while they wait in the broker, some too late.
            task, n, cancel_ms = "slow", rng.randrange(20, 80), rng.randrange(0, 500)
            delay_ms = rng.choice([0, 0, 0, rng.randrange(600, 2500)])
    return Job(
        id=draw_id(rng, now_ms),
        kind=kind,
        task=f"{QUEUE}.{task}",
        n=n,
        mode=mode,
        deadline_ms=deadline_ms,
        delay_ms=delay_ms,
        cancel_ms=cancel_ms,
        patience_ms=NO_PATIENCE_MS if rng.random() < IMPATIENT else PATIENCE_MS,
    )


def draw_id(rng: random.Random, now_ms: int) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) of this moment, its random bits from the seed."""
    bits = rng.getrandbits(74)
    number = now_ms << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & (1 << 62) - 1
    return str(uuid.UUID(int=number))
