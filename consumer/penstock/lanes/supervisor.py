"""A lane at work: keeps its children alive and turns what they say, or their end, into outcomes."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from penstock.domain.cancellation import Told, cancelled
from penstock.domain.delivery import Delivery
from penstock.domain.lane import restart_delay
from penstock.domain.outcome import Outcome
from penstock.domain.task import QueueSpec
from penstock.errors import CatalogError, WorkerError
from penstock.lanes.batchslots import BatchSlots
from penstock.lanes.breaker import Breaker
from penstock.lanes.end import End, Reason
from penstock.lanes.judgement import boot_error
from penstock.lanes.limits import TICK_S, WEIGH_TICKS, stood_still
from penstock.lanes.memory import usable
from penstock.lanes.place import BOOT_TIMEOUT_S, END_S, OnItem, OnProgress, Place, SlotState
from penstock.lanes.quarantine import Quarantine
from penstock.lanes.slots import Slots
from penstock.wire.registry import CancelStep, Event, Exit

_log = logging.getLogger(__name__)

#: Seconds that children have to write down what they do.
STACK_S: Final = 0.5
#: Seconds that the kernel has to end a killed child.
_KILL_S: Final = 5.0


class Lane:
    """The children of one queue.

    Args:
        spec: The queue.
        worker: The worker's name, written into results.
        max_body_bytes: Longest body that a child reads from a frame or writes into one.
        max_blob_bytes: Longest body that a child reads from a file or writes into one.
        contracts: The directory of contracts.
        on_outcome: Called with each job and how its attempt ended.
        on_unstarted: Called with a job that has spent nothing and is to wait: `quarantine` took it and no child could
            be started, or it ran beside another whose limit was their child's end.
        on_broken: Called with a sentence whenever the last child that was left is broken. Every PROBE_S one of them is
            tried again, whatever the callee does.
        on_item: Called with each item of a job: its number, from 0, and its bytes. A job sends STREAM_WINDOW of them
            and waits then for `grant`.
        on_progress: Called with how far a job says that it is, from 0 to 1, and what it does.
        clock: Seconds that never go back. Defaults to the monotonic clock.
    """

    def __init__(
        self,
        spec: QueueSpec,
        *,
        worker: str,
        max_body_bytes: int,
        max_blob_bytes: int,
        contracts: str,
        on_outcome: Callable[[Delivery, Outcome], None],
        on_unstarted: Callable[[Delivery], None],
        on_broken: Callable[[str], None],
        on_item: OnItem,
        on_progress: OnProgress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.exits: Counter[str] = Counter()
        self._on_outcome = on_outcome
        self._clock = clock
        self._on_unstarted = on_unstarted
        self._on_item = on_item
        self._on_progress = on_progress
        batches = any(task.batch for task in spec.all())
        self._slots = BatchSlots(spec, clock, self._call_later) if batches else Slots(clock, spec.lane.width)
        boot = [spec.target, worker, max_body_bytes, contracts, max_blob_bytes]
        self._boot = boot
        self._places = [self._ordinary_place() for _ in range(spec.lane.children)]
        memory = spec.lane.quarantine_memory or usable() // 2
        alone = self._place(boot, Slots(clock), memory=memory, alone=True)
        self._quarantine = Quarantine(alone, clock=clock, on_unstarted=on_unstarted)
        self._breaker = Breaker(spec.name, self._places, spawn=self._spawn, on_broken=on_broken)
        self._stopping = False
        self._hurried = False
        self._ending = False
        self._cut_off: list[Delivery] = []
        self._dispatch_scheduled = False
        self._timed = any(task.timeout_s is not None for task in spec.all()) or bool(
            spec.lane.memory or spec.lane.recycle
        )
        self._ticks = 0
        self._restarting = False
        self._watching = False
        self._watched_at = 0.0

    def _ordinary_place(self) -> Place:
        return self._place(self._boot, self._slots, memory=self.spec.lane.memory)

    def _place(self, boot: list[Any], slots: Slots, *, memory: int | None, alone: bool = False) -> Place:
        return Place(
            self.spec,
            boot,
            slots,
            clock=self._clock,
            on_ready=self._became_ready,
            on_outcome=self._ended,
            on_end=self._child_ended,
            on_blocked=self._blocked,
            on_item=self._on_item,
            on_progress=self._on_progress,
            memory=memory,
            alone=alone,
        )

    def _all_places(self) -> Iterator[Place]:
        """The places of the lane and the one in quarantine."""
        yield from self._places
        yield self._quarantine.place

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Start all children and wait until every one is ready.

        Raises:
            CatalogError: A child could not import its queue or a start-up hook failed.
            WorkerError: A child died or took too long before it was ready.
        """
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._changed = asyncio.Event()
        for place in self._places:
            self._spawn(place)
        try:
            # Its place kills a child that boots too long; this is for one that even the kernel cannot end.
            await asyncio.wait_for(asyncio.shield(self._started), BOOT_TIMEOUT_S + _KILL_S)
        except TimeoutError:
            raise WorkerError(f"a child of queue {self.spec.name} neither starts nor can be killed") from None
        self._watch()

    def take_waiting(self) -> list[Delivery]:
        """Remove and return the jobs that no child has."""
        return self._slots.take_waiting() + self._quarantine.place.slots.take_waiting()

    async def stop(self, drain_s: float) -> list[Delivery]:
        """Let children finish what they have, at most `drain_s` seconds; returns the jobs that were cut off.

        Jobs that no child had begun, not even one that was sent them, are left to `take_waiting`.
        """
        self._stopping = True
        self._breaker.stop()
        try:
            await asyncio.wait_for(self._until(lambda: not self._in_children), drain_s)
        except TimeoutError:
            pass
        await self._end_children()
        return self._cut_off

    def hurry(self) -> None:
        """End a drain: kill the children that still run a job; `stop` returns what they ran."""
        self._hurried = True
        self._changed.set()

    def restart(self) -> None:
        """Replace every child in its turn, at most a quarter of them at once, each after the jobs that it has.

        The next ones import the code as it is then.
        """
        for place in self._places:
            place.outdate()
        if any(place.stale for place in self._places):
            self._restarting = True
            self._watch()

    async def stacks(self) -> dict[int, str]:
        """What every child does now, by process id: the stacks of its threads. Those that do not tell are left out."""
        children = [place.child for place in self._all_places() if place.child is not None and not place.sentenced]
        for child in children:
            child.ask_stack()
        await asyncio.sleep(STACK_S)
        told = {child.pid: stack for child in children if (stack := child.stack()) is not None}
        for child in children:
            child.forget_stack()
        return told

    def kill(self) -> None:
        """End all children at once, whatever they do; nothing is reported any more."""
        self._stopping = self._ending = True
        self._breaker.stop()
        for place in self._all_places():
            place.kill()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not (condition() or self._hurried):
            self._changed.clear()
            await self._changed.wait()

    async def _end_children(self) -> None:
        """Let idle children end by themselves and kill the others."""
        self._ending = True
        for place in self._all_places():
            place.cancel()
            if place.busy:
                place.kill()
            else:
                place.finish()
        self._hurried = False
        for seconds in (END_S, _KILL_S):
            if await self._all_gone(seconds):
                return
            self.kill()

    async def _all_gone(self, seconds: float) -> bool:
        """Wait until no child is left, at most `seconds`."""
        try:
            await asyncio.wait_for(self._until(lambda: all(p.child is None for p in self._all_places())), seconds)
        except TimeoutError:
            return False
        return True

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────

    def submit(self, delivery: Delivery) -> None:
        """Run a job when a child is free; its outcome is reported to `on_outcome`."""
        self._slots.submit(delivery)
        self._schedule_dispatch()

    def quarantine(self, delivery: Delivery) -> bool:
        """Run a job alone, in a child of its own that ends after it and whose memory is limited.

        Returns False at once when another job is there, the last child could not start, or the lane is stopping: then
        the job is still the caller's. Otherwise it is reported to `on_outcome` or `on_unstarted`, or returned by
        `take_waiting` or `stop`.
        """
        if self._stopping or not self._quarantine.take(delivery):
            return False
        self._watch()
        return True

    def cancel(self, job_id: str, told: Told) -> bool:
        """Cancel a job that waits here or is in a child; False: there is none by this id.

        `told` is called once: at once when the job had not started, else when it has ended. Its outcome is reported
        to `on_outcome` as any other.
        """
        if any(place.cancel_job(job_id, told) for place in self._all_places()):
            return True
        for slots in (self._slots, self._quarantine.place.slots):
            if (delivery := slots.withdraw(job_id)) is not None:
                told(CancelStep.NEVER_STARTED)
                self._ended(delivery, cancelled(delivery, CancelStep.NEVER_STARTED))
                return True
        return False

    def grant(self, delivery: Delivery, upto: int | None) -> None:
        """Let a job that runs send the items with a number below that; None: all."""
        for place in self._all_places():
            place.grant(delivery, upto)

    @property
    def mean_s(self) -> float | None:
        """Moving mean of the run time, in seconds; None before the first job."""
        return self._slots.mean_s

    @property
    def in_progress(self) -> int:
        """Jobs that wait here or are in a child."""
        return self._slots.waiting + self._slots.in_children + self._quarantine.in_progress

    @property
    def _in_children(self) -> int:
        return self._slots.in_children + self._quarantine.place.slots.in_children

    @property
    def trouble(self) -> str | None:
        """Why no job should be taken for this lane, most of its children being broken; None: one may."""
        return self._breaker.trouble

    def states(self) -> Counter[str]:
        """How many places are in which state; a ready one is `idle` or `busy`.

        A child in quarantine counts as `quarantine`, whatever it does: it takes no other job.
        """
        states: Counter[str] = Counter()
        for place in self._places:
            ready = place.state is SlotState.READY
            states[("busy" if place.busy else "idle") if ready else place.state.value] += 1
        if self._quarantine.place.child is not None:
            states["quarantine"] += 1
        return states

    def _schedule_dispatch(self) -> None:
        if not self._dispatch_scheduled:
            self._dispatch_scheduled = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._dispatch_scheduled = False
        self._slots.dispatch()

    def _call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, call)

    # ── what children do ────────────────────────────────────────────────────────────────────────

    def _spawn(self, place: Place) -> None:
        try:
            place.start()
        except OSError as error:
            text = f"queue {self.spec.name}: cannot run {self.spec.lane.python or sys.executable}: {error}"
            if not self._fails_start(place, CatalogError(text)):
                self._try_again(place, {"queue": self.spec.name, "exit": str(error)})

    def _became_ready(self, place: Place) -> None:
        assert place.child is not None
        alone = place is self._quarantine.place
        fields = {"queue": self.spec.name, "pid": place.child.pid, "quarantine": alone or None}
        _log.info("child ready", extra={"event": Event.CHILD_STARTED, **fields})
        if alone:
            self._quarantine.became_ready()
        elif not self._started.done() and all(p.state is SlotState.READY for p in self._places):
            self._started.set_result(None)

    def _ended(self, delivery: Delivery, outcome: Outcome) -> None:
        if self._stopping:
            self._changed.set()
        else:
            self._breaker.a_job_ended()
        self._on_outcome(delivery, outcome)

    def _blocked(self, place: Place, delivery: Delivery | None, seconds: float, stack: str) -> None:
        assert place.child is not None
        who = delivery.task if delivery else "something"
        text = f"{who} has blocked the event loop for {seconds:.1f} s: no other job of this child goes on meanwhile"
        fields = {"queue": self.spec.name, "pid": place.child.pid, "traceback": stack}
        if delivery is not None:
            fields |= {"job_id": delivery.job_id, "task": delivery.task}
        _log.warning(text, extra={"event": Event.CHILD_BLOCKED, **fields})

    def _child_ended(self, place: Place, end: End) -> None:
        for delivery, outcome in end.outcomes:
            if self._ending:
                self._cut_off.append(delivery)
            else:
                self._on_outcome(delivery, outcome)
        for delivery in end.begun:
            if self._ending:
                self._cut_off.append(delivery)
            else:
                self._on_unstarted(delivery)
        if self._stopping:
            self._cut_off += end.apart
        elif end.apart:
            place.slots.put_apart(end.apart)
        # These had not started: they lose nothing.
        place.slots.put_back(end.unstarted)
        self._changed.set()
        fields = {"queue": self.spec.name, **end.fields()}
        self.exits[Reason.STOPPED if self._stopping else end.reason] += 1
        if self._stopping:
            _log.info("child ended", extra={"event": Event.CHILD_EXITED, **fields})
        elif place is self._quarantine.place:
            self._quarantine.ended(end, fields)
        else:
            self._replace(place, end, fields)
            self._schedule_dispatch()

    def _replace(self, place: Place, end: End, fields: dict[str, Any]) -> None:
        """Start a new child: at once after a timeout or a recycling, else after a growing delay, at last not at all."""
        if place.successor is not None:
            _log.info("child ended: another has taken over", extra={"event": Event.CHILD_EXITED, **fields})
            self._places.remove(place)
            return
        if end.reason is Reason.TIMEOUT:
            _log.warning("child killed: its job ran too long", extra={"event": Event.CHILD_LOST, **fields})
            self._spawn(place)
            return
        if end.reason is Reason.RECYCLED:
            _log.info("child recycled", extra={"event": Event.CHILD_EXITED, **fields})
            self._spawn(place)
            return
        if end.reason is Reason.CANCELLED:
            text = "child killed: its job was cancelled and did not end by itself"
            _log.warning(text, extra={"event": Event.CHILD_LOST, **fields})
            self._spawn(place)
            return
        if not self._fails_start(place, boot_error(self.spec, end.said, end.status)):
            self._try_again(place, fields, hopeless=end.reason is Reason.BOOT and end.status == Exit.CONFIG)

    def _try_again(self, place: Place, fields: dict[str, Any], *, hopeless: bool = False) -> None:
        """A child died or could not be started: start the next one after a delay, or give up."""
        place.failures += 1
        delay = None if hopeless else restart_delay(place.failures)
        if delay is None:
            self._breaker.broke(place, fields)
            return
        place.state = SlotState.RESTARTING
        place.later(delay, lambda: self._spawn(place))
        _log.error(f"child died, the next one starts in {delay:g} s", extra={"event": Event.CHILD_LOST, **fields})

    def _recycle(self) -> None:
        """Replace children whose time is up, at most a quarter of them at once."""
        if self._stopping or (self.spec.lane.recycle is None and not self._restarting):
            return
        self._restarting = any(place.stale for place in self._places)
        if self.spec.lane.shared:
            self._relieve()
            return
        room = math.ceil(len(self._places) / 4) - sum(place.missing for place in self._places)
        due = sorted((place for place in self._places if place.due), key=lambda place: place.busy)
        for place in due[: max(0, room)]:
            place.retire()

    def _relieve(self) -> None:
        """Replace the only child: its jobs may take long, so the next one is there before it takes no more."""
        for place in [place for place in self._places if place.due]:
            if place.successor is None:
                place.successor = self._ordinary_place()
                self._places.append(place.successor)
                self._spawn(place.successor)
            elif place.successor.state is SlotState.READY:
                place.retire()

    def _fails_start(self, place: Place, error: Exception) -> bool:
        """End the start of the lane with this error, if it is not over yet."""
        if self._started.done():
            return False
        place.state = SlotState.BROKEN
        self._started.set_exception(error)
        return True

    # ── limits ──────────────────────────────────────────────────────────────────────────────────

    def _watch(self) -> None:
        """Look at running jobs from time to time, as long as there may be one with a limit."""
        if not self._watching and (self._timed or self._quarantine.in_progress or self._restarting):
            self._watching = True
            self._watched_at = self._clock()
            self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """Hold the running jobs against their limits, by a clock that stands still when the parent does."""
        self._watching = False
        if lost_s := stood_still(self._watched_at, self._clock()):
            self._slots.shift(lost_s)
            self._quarantine.place.slots.shift(lost_s)
        self._ticks += 1
        for place in self._places:
            place.watch(weigh=self._ticks % WEIGH_TICKS == 0)
        self._quarantine.place.watch()
        self._recycle()
        if not self._stopping or self._in_children:
            self._watch()
