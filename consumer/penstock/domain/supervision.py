"""Supervision: what happens to a place whose child has ended. Pure: no clock, no process and no timer.

    STOPPED ──▶ STARTING ──▶ READY ──▶ RETIRING
                   ▲  each of them may end: child_ended says what now
                   │
                   ├── at once         its end was no failure
                   ├── RESTARTING      it was one of the first five in a row: 1, 2, 4, 8, 16 s
                   ├── BROKEN          the sixth, or one that no delay mends; left by `probe` and `proved` alone
                   └── STOPPED         no other child is wanted there

A job that ends in its child forgives a place all failures. What carries this out is `lanes.places` and `lanes.breaker`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final, Generic, TypeVar

from penstock.wire.registry import Exit

#: Seconds before each restart of a child that failed; after the last one it is BROKEN.
RESTART_DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
#: Seconds after which one BROKEN child of a lane is tried again.
PROBE_S: Final = 60.0

K = TypeVar("K", bound=Hashable)


class SlotState(StrEnum):
    """What one place for a child is doing."""

    STARTING = "starting"
    READY = "ready"
    #: It finishes what it has; then it is replaced, or is gone for good.
    RETIRING = "retiring"
    RESTARTING = "restarting"
    BROKEN = "broken"
    STOPPED = "stopped"


class Reason(StrEnum):
    """Why a child ended."""

    #: Before it was ready.
    BOOT = "boot"
    CRASH = "crash"
    #: By a signal that was not ours.
    SIGNAL = "signal"
    #: Killed, because its job ran too long.
    TIMEOUT = "timeout"
    #: Killed, because it had too much memory: by us, or by the system.
    MEMORY = "memory"
    #: Killed, because its job was cancelled and did not end by itself.
    CANCELLED = "cancelled"
    #: It had done its one job.
    FINISHED = "finished"
    #: It was replaced though nothing was wrong with it.
    RECYCLED = "recycled"
    #: The worker stops.
    STOPPED = "stopped"


class Action(Enum):
    """What is to be done with a place whose child has ended."""

    #: Start the next child now.
    START = "start"
    #: Start it after the step's delay.
    WAIT = "wait"
    #: Start none until a probe does.
    BREAK = "break"
    #: None is wanted there any more.
    LEAVE = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one place stands.

    Attributes:
        state: What it is doing.
        failures: Ends of its children in a row, without a job in between that ended by itself.
    """

    state: SlotState = SlotState.STOPPED
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows the end of a child.

    Attributes:
        standing: How its place stands now.
        action: What is to be done with it.
        delay_s: Seconds before the next start; 0 when the action is not WAIT.
    """

    standing: Standing
    action: Action
    delay_s: float = 0.0


#: Ends that say nothing against the child: the next one starts at once.
_NO_FAILURE: Final = {Reason.TIMEOUT, Reason.CANCELLED, Reason.RECYCLED}
#: Ends after which nobody wants another.
_LAST: Final = {Reason.FINISHED, Reason.STOPPED}


#: What a lane gives up with a place in each state, the least first.
_COST: Final = {
    SlotState.STOPPED: 0,
    SlotState.BROKEN: 0,
    SlotState.RESTARTING: 1,
    SlotState.RETIRING: 2,
    SlotState.STARTING: 3,
    SlotState.READY: 4,
}


# ── one place ───────────────────────────────────────────────────────────────────────────────────────


def restart_delay(failures: int) -> float | None:
    """Seconds to wait after `failures` failures in a row (from 1); None: the child is BROKEN."""
    return RESTART_DELAYS_S[failures - 1] if failures <= len(RESTART_DELAYS_S) else None


def started(standing: Standing) -> Standing:
    """A child is being started; what failed before it is not forgotten."""
    return replace(standing, state=SlotState.STARTING)


def became_ready(standing: Standing) -> Standing:
    """The child can run jobs. That forgives nothing: it has not done one yet."""
    return replace(standing, state=SlotState.READY)


def retired(standing: Standing) -> Standing:
    """The child finishes what it has and gets nothing more."""
    return replace(standing, state=SlotState.RETIRING)


def forgiven(standing: Standing) -> Standing:
    """A job has ended in the child: whatever failed before it counts no more."""
    return replace(standing, failures=0)


def reason_of(
    state: SlotState, status: int, *, busy: bool, finishing: bool, limit: Reason | None, starved: bool
) -> Reason:
    """Why a child ended.

    Args:
        state: What its place was doing.
        status: Its exit status; negative: the signal that ended it.
        busy: Whether it had a job.
        finishing: Whether it was told to end after what it had.
        limit: The limit for which it was about to be killed; None: for none.
        starved: Whether the system killed it because memory ran out.
    """
    if starved:
        return Reason.MEMORY
    if limit is not None:
        return limit
    if state is SlotState.RETIRING and not busy:
        return Reason.RECYCLED
    if finishing and not busy and status == 0:
        return Reason.FINISHED
    if state is SlotState.STARTING:
        return Reason.BOOT
    return Reason.SIGNAL if status < 0 else Reason.CRASH


def child_ended(standing: Standing, reason: Reason, status: int, *, wanted: bool = True) -> Step:
    """The child of a place has ended.

    Args:
        standing: How the place stood.
        reason: Why the child ended.
        status: Its exit status; negative: the signal that ended it.
        wanted: Whether the lane wants another child there.
    """
    if not wanted or reason in _LAST:
        return Step(standing=replace(standing, state=SlotState.STOPPED), action=Action.LEAVE)
    if reason in _NO_FAILURE:
        return Step(standing=started(standing), action=Action.START)
    # A module that cannot be imported is the same in a second; what a start-up hook missed may be there by then.
    # Only before it is ready: a job could say 78, too.
    return failed(standing, hopeless=reason is Reason.BOOT and status == Exit.CONFIG)


def failed(standing: Standing, *, hopeless: bool = False) -> Step:
    """A child died or could not be started; `hopeless`: no delay would mend that."""
    failures = standing.failures + 1
    delay_s = None if hopeless else restart_delay(failures)
    if delay_s is None:
        return Step(standing=Standing(state=SlotState.BROKEN, failures=failures), action=Action.BREAK)
    waiting = Standing(state=SlotState.RESTARTING, failures=failures)
    return Step(standing=waiting, action=Action.WAIT, delay_s=delay_s)


def failed_alone(standing: Standing) -> Step:
    """A child could not be started for a job in quarantine; the delay is for how long none is. It is never BROKEN."""
    failures = standing.failures + 1
    delay_s = restart_delay(failures) or RESTART_DELAYS_S[-1]
    return Step(standing=replace(standing, failures=failures), action=Action.WAIT, delay_s=delay_s)


# ── a lane ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Probing(Generic[K]):
    """How far the search has come for a sign that the cause of the broken children is gone.

    Attributes:
        tried: The place that was tried last and has neither done a job nor broken again; None: there is none.
        waiting: Whether another is to be tried PROBE_S after the last, or after the first has broken.
    """

    tried: K | None = None
    waiting: bool = False


def mostly_broken(broken: int, children: int) -> bool:
    """Whether so many of a lane's children are broken that it should take no jobs."""
    return broken > 0 and 2 * broken >= children


def all_broken(standings: Iterable[Standing]) -> bool:
    """Whether no place is left that runs jobs, or soon will."""
    return all(standing.state is SlotState.BROKEN for standing in standings)


def broke(probing: Probing[K], place: K) -> Probing[K]:
    """A place has become BROKEN; one that was being tried has shown that the cause is still there."""
    return Probing(None if probing.tried == place else probing.tried, waiting=True)


def probe(standings: Mapping[K, Standing]) -> Probing[K]:
    """PROBE_S are over: the first broken place is `tried`; None: no place is broken any more."""
    broken = [place for place, standing in standings.items() if standing.state is SlotState.BROKEN]
    return Probing(broken[0], waiting=len(broken) > 1) if broken else Probing()


def proved(probing: Probing[K], standings: Mapping[K, Standing]) -> list[K] | None:
    """A job has ended: which places have their chance now, the failures of all of them being forgiven.

    None: the job was none of the place that is tried, or none is.
    """
    if probing.tried is None or standings[probing.tried].failures:
        return None
    return [place for place, standing in standings.items() if standing.state is SlotState.BROKEN]


def left(probing: Probing[K], place: K) -> Probing[K]:
    """A place is wanted no more: it can prove nothing."""
    return replace(probing, tried=None) if probing.tried == place else probing


def surplus(standings: Mapping[K, Standing], busy: Iterable[K], count: int) -> list[K]:
    """The `count` places that are wanted no more: those first whose end costs least, those that are busy last."""
    busy = set(busy)
    return sorted(standings, key=lambda place: (_COST[standings[place].state], place in busy))[: max(0, count)]


def replaceable(children: int, missing: int) -> int:
    """How many of a lane's children may be replaced now, `missing` being on the way: at most a quarter at once."""
    return max(0, math.ceil(children / 4) - missing)
