"""A lane at work: keeps its children alive and turns what they say, or their end, into outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from penstock.domain.delivery import Delivery
from penstock.domain.lane import restart_delay
from penstock.domain.outcome import Outcome
from penstock.domain.task import QueueSpec
from penstock.errors import CatalogError, WorkerError
from penstock.lanes.child import Child, describe_exit
from penstock.lanes.frames import Frame, Kind, pack
from penstock.lanes.judgement import boot_error, child_lost, outcome_of, timed_out
from penstock.lanes.limits import overdue
from penstock.lanes.slots import Slot, Slots
from penstock.wire.registry import Event, Exit

_log = logging.getLogger(__name__)

#: Seconds that a child has for its imports and start-up hooks.
BOOT_TIMEOUT_S: Final = 300.0
#: Seconds that an idle child has to end by itself, and that the kernel has to end a killed one.
_END_S: Final = 2.0
_KILL_S: Final = 5.0
#: How often running jobs are held against their timeouts, in seconds.
_TICK_S: Final = 0.05


class SlotState(StrEnum):
    """What one place for a child is doing."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    BROKEN = "broken"
    STOPPED = "stopped"


class _Place:
    """One place for a child: who is in it and how often it failed in a row."""

    def __init__(self) -> None:
        self.failures = 0
        self.clear(SlotState.STOPPED)

    def clear(self, state: SlotState) -> None:
        """Forget the last child."""
        self.state = state
        self.child: Child | None = None
        self.slot: Slot | None = None
        self.overdue: int | None = None
        self.said: str | None = None
        self.timer: asyncio.TimerHandle | None = None


class Lane:
    """The children of one queue.

    Args:
        spec: The queue.
        worker: The worker's name, written into results.
        max_body_bytes: Longest body that a child reads or writes.
        on_outcome: Called with each job and how its attempt ended.
        on_broken: Called when no child is left and none will be started.
    """

    def __init__(
        self,
        spec: QueueSpec,
        *,
        worker: str,
        max_body_bytes: int,
        on_outcome: Callable[[Delivery, Outcome], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self.spec = spec
        self.exits: Counter[str] = Counter()
        self._boot = [spec.target, worker, max_body_bytes]
        self._on_outcome = on_outcome
        self._on_broken = on_broken
        self._places = [_Place() for _ in range(spec.lane.slots)]
        self._stopping = False
        self._hurried = False
        self._ending = False
        self._dispatch_scheduled = False
        self._timed = any(task.timeout_s is not None for task in spec.tasks.values())

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Start all children and wait until every one is ready.

        Raises:
            CatalogError: A child could not import its queue or a start-up hook failed.
            WorkerError: A child died or took too long before it was ready.
        """
        self._loop = asyncio.get_running_loop()
        self._slots = Slots(self._loop.time)
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._changed = asyncio.Event()
        for place in self._places:
            self._spawn(place)
        try:
            await asyncio.wait_for(asyncio.shield(self._started), BOOT_TIMEOUT_S)
        except TimeoutError:
            raise WorkerError(f"a child of queue {self.spec.name} was not ready within {BOOT_TIMEOUT_S:g} s") from None
        if self._timed:
            self._loop.call_later(_TICK_S, self._tick)

    def take_waiting(self) -> list[Delivery]:
        """Remove and return the jobs that no child has."""
        return self._slots.take_waiting()

    async def stop(self, drain_s: float) -> list[Delivery]:
        """Let children finish what they have, at most `drain_s` seconds; returns the jobs that did not end."""
        self._stopping = True
        try:
            await asyncio.wait_for(self._until(lambda: not self._slots.in_children), drain_s)
        except TimeoutError:
            pass
        await self._end_children()
        return self._slots.take_waiting()

    def hurry(self) -> None:
        """End a drain: kill the children that still run a job; `stop` returns what they had."""
        self._hurried = True
        self._changed.set()

    def kill(self) -> None:
        """End all children at once, whatever they do; nothing is reported any more."""
        self._stopping = self._ending = True
        for place in self._places:
            if place.timer is not None:
                place.timer.cancel()
            if place.child is not None:
                place.child.kill()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not (condition() or self._hurried):
            self._changed.clear()
            await self._changed.wait()

    async def _end_children(self) -> None:
        """Let idle children end by themselves and kill the others; their jobs go back to the waiting ones."""
        self._ending = True
        for place in self._places:
            if place.timer is not None:
                place.timer.cancel()
            if place.child is not None and not (place.slot and place.slot.jobs):
                place.child.finish()
            elif place.child is not None:
                place.child.kill()
        self._hurried = False
        for seconds in (_END_S, _KILL_S):
            if await self._all_gone(seconds):
                return
            self.kill()

    async def _all_gone(self, seconds: float) -> bool:
        """Wait until no child is left, at most `seconds`."""
        try:
            await asyncio.wait_for(self._until(lambda: all(p.child is None for p in self._places)), seconds)
        except TimeoutError:
            return False
        return True

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────

    def submit(self, delivery: Delivery) -> None:
        """Run a job when a child is free; its outcome is reported to `on_outcome`."""
        self._slots.submit(delivery)
        self._schedule_dispatch()

    @property
    def mean_s(self) -> float | None:
        """Moving mean of the run time, in seconds; None before the first job."""
        return self._slots.mean_s

    @property
    def in_progress(self) -> int:
        """Jobs that wait here or are in a child."""
        return self._slots.waiting + self._slots.in_children

    def states(self) -> Counter[str]:
        """How many places are in which state; a ready one is `idle` or `busy`."""
        states: Counter[str] = Counter()
        for place in self._places:
            busy = place.slot is not None and bool(place.slot.jobs)
            states[("busy" if busy else "idle") if place.state is SlotState.READY else place.state.value] += 1
        return states

    def _schedule_dispatch(self) -> None:
        if not self._dispatch_scheduled:
            self._dispatch_scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._dispatch_scheduled = False
        self._slots.dispatch()

    # ── what children say ───────────────────────────────────────────────────────────────────────

    def _spawn(self, place: _Place) -> None:
        place.clear(SlotState.STARTING)
        place.child = Child(
            ["run"],
            python=self.spec.lane.python,
            on_frames=lambda frames: self._heard(place, frames),
            on_exit=lambda status: self._exited(place, status),
        )
        try:
            place.child.start()
        except OSError as error:
            place.child = None
            self._fail_start(CatalogError(f"queue {self.spec.name}: cannot run {self.spec.lane.python}: {error}"))
            self._broken(place, {"queue": self.spec.name, "exit": str(error)})
            return
        place.child.send(pack(Kind.BOOT, 0, self._boot))
        place.child.flush()

    def _heard(self, place: _Place, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.kind == Kind.OUTCOME:
                self._finished(place, frame)
            elif frame.kind == Kind.READY:
                self._became_ready(place)
            else:
                place.said = frame.meta[0]
        self._slots.dispatch()

    def _became_ready(self, place: _Place) -> None:
        assert place.child is not None
        place.state = SlotState.READY
        place.slot = self._slots.add(place.child)
        _log.info(
            "child ready",
            extra={"event": Event.CHILD_STARTED, "queue": self.spec.name, "pid": place.child.pid},
        )
        if not self._started.done() and all(p.state is SlotState.READY for p in self._places):
            self._started.set_result(None)

    def _finished(self, place: _Place, frame: Frame) -> None:
        assert place.slot is not None
        outcome = outcome_of(frame)
        delivery = self._slots.finished(place.slot, frame.number, outcome.run_s)
        if delivery is None:
            return
        place.failures = 0
        if self._stopping:
            self._changed.set()
        self._on_outcome(delivery, outcome)

    # ── how children end ────────────────────────────────────────────────────────────────────────

    def _exited(self, place: _Place, status: int) -> None:
        pid = place.child.pid if place.child else 0
        place.child = None
        deliveries: list[Delivery] = []
        if place.slot is not None and place.slot in self._slots.ready:
            head = place.slot.head()
            deliveries = self._slots.remove(place.slot)
            if head is not None and not self._ending:
                deliveries = self._judge(place, head, deliveries, status)
        place.slot = None
        self._slots.put_back(deliveries)
        self._changed.set()
        if self._stopping:
            place.state = SlotState.STOPPED
            self.exits["stopped"] += 1
            fields = {"queue": self.spec.name, "pid": pid, "exit": describe_exit(status)}
            _log.info("child ended", extra={"event": Event.CHILD_EXITED, **fields})
            return
        self._replace(place, status, pid)
        self._schedule_dispatch()

    def _judge(
        self, place: _Place, head: tuple[int, Delivery], deliveries: list[Delivery], status: int
    ) -> list[Delivery]:
        """Report the running job; returns those that had not started and lose nothing."""
        number, running = head
        if place.overdue is None:
            outcome = child_lost(running, describe_exit(status))
        elif number == place.overdue:
            outcome = timed_out(running, self.spec.tasks[running.task])
        else:
            # The overdue job answered while it was being killed; what came next had hardly begun.
            return deliveries
        self._on_outcome(running, outcome)
        return deliveries[1:]

    def _replace(self, place: _Place, status: int, pid: int) -> None:
        """Start a new child: at once after a timeout, else after a growing delay, at last not at all."""
        fields: dict[str, Any] = {"queue": self.spec.name, "pid": pid, "exit": describe_exit(status)}
        if place.overdue is not None:
            self.exits["timeout"] += 1
            _log.warning("child killed: its job ran too long", extra={"event": Event.CHILD_LOST, **fields})
            self._spawn(place)
            return
        reason = "boot" if place.state is SlotState.STARTING else "crash"
        self.exits[reason] += 1
        place.failures += 1
        hopeless = reason == "boot" and status == Exit.CONFIG
        delay = None if hopeless else restart_delay(place.failures)
        if place.said:
            fields["said"] = place.said
        if not self._started.done():
            self._fail_start(boot_error(self.spec, place.said, status))
            place.state = SlotState.BROKEN
            return
        if delay is None:
            self._broken(place, fields)
            return
        place.state = SlotState.RESTARTING
        place.timer = self._loop.call_later(delay, self._spawn, place)
        _log.error(f"child died, the next one starts in {delay:g} s", extra={"event": Event.CHILD_LOST, **fields})

    def _broken(self, place: _Place, fields: dict[str, Any]) -> None:
        place.state = SlotState.BROKEN
        _log.critical("child failed too often and is not started again", extra={"event": Event.CHILD_BROKEN, **fields})
        if self._started.done() and all(other.state is SlotState.BROKEN for other in self._places):
            self._on_broken(
                f"every child of queue {self.spec.name} failed {place.failures} times in a row "
                f"(last: {fields['exit']}); mend the cause and start the worker again"
            )

    def _fail_start(self, error: Exception) -> None:
        if not self._started.done():
            self._started.set_exception(error)

    def _tick(self) -> None:
        """Kill the children whose job has run longer than its timeout."""
        for place in self._places:
            if place.slot is not None and place.child is not None and place.overdue is None:
                place.overdue = overdue(place.slot, self.spec.tasks, self._loop.time())
                if place.overdue is not None:
                    place.child.kill()
        if not self._stopping or self._slots.in_children:
            self._loop.call_later(_TICK_S, self._tick)
