"""A lane at work: keeps its children alive and turns what they say, or their end, into outcomes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from penstock.domain.cancellation import Told, cancelled
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome
from penstock.domain.supervision import Reason, SlotState
from penstock.domain.task import QueueSpec
from penstock.errors import UsageError, WorkerError
from penstock.lanes.batchslots import BatchSlots
from penstock.lanes.child import stacks
from penstock.lanes.end import End
from penstock.lanes.ending import KILL_S, Ending
from penstock.lanes.memory import usable
from penstock.lanes.place import BOOT_TIMEOUT_S, OnItem, OnProgress, Place
from penstock.lanes.places import Places
from penstock.lanes.quarantine import Quarantine
from penstock.lanes.slots import Slots
from penstock.lanes.starts import Starts
from penstock.lanes.watch import Watch
from penstock.wire.registry import CancelStep, Event

_log = logging.getLogger(__name__)

#: What `Lane.states` counts.
STATES: Final = ("idle", "busy", "quarantine", *(state.value for state in SlotState if state is not SlotState.READY))


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
        #: How many jobs it is to run at once.
        self.room = spec.lane.slots
        self._on_outcome = on_outcome
        self._clock = clock
        self._on_unstarted = on_unstarted
        self._on_item = on_item
        self._on_progress = on_progress
        batches = any(task.batch for task in spec.all())
        self._slots = BatchSlots(spec, clock, self._call_later) if batches else Slots(clock, spec.lane.width)
        boot = [spec.target, worker, max_body_bytes, contracts, max_blob_bytes]
        self._ending = Ending(self._all_places, lambda: self._in_children, lambda: self._starts)
        self._starts = Starts(spec, self._ending.changed)
        self._places = Places(
            spec,
            make=lambda: self._place(boot, self._slots, memory=spec.lane.memory),
            ends_start=self._ends_start,
            on_broken=on_broken,
        )
        memory = spec.lane.quarantine_memory or usable() // 2
        alone = self._place(boot, Slots(clock), memory=memory, alone=True)
        self._quarantine = Quarantine(alone, clock=clock, on_unstarted=on_unstarted)
        #: Whether it has started and is not told to end.
        self._at_work = False
        self._dispatch_scheduled = False
        self._timed = any(task.timeout_s is not None for task in spec.all()) or bool(
            spec.lane.memory or spec.lane.recycle
        )
        self._watch = Watch(clock=clock, wanted=self._is_watched, look=self._look)

    def _place(self, boot: list[Any], slots: Slots, *, memory: int | None, alone: bool = False) -> Place:
        return Place(
            self.spec,
            boot,
            slots,
            starts=self._starts,
            clock=self._clock,
            on_ready=self._became_ready,
            on_outcome=self._ended,
            on_end=self._child_ended,
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
        self._places.start()
        try:
            # Its place kills a child that boots too long; this is for one that even the kernel cannot end.
            await asyncio.wait_for(asyncio.shield(self._started), BOOT_TIMEOUT_S + KILL_S)
        except TimeoutError:
            raise WorkerError(f"a child of queue {self.spec.name} neither starts nor can be killed") from None
        self._at_work = True
        self._watch.begin()

    def take_waiting(self) -> list[Delivery]:
        """Remove and return the jobs that no child has."""
        return self._slots.take_waiting() + self._quarantine.place.slots.take_waiting()

    async def stop(self, drain_s: float) -> list[Delivery]:
        """Let children finish what they have, at most `drain_s` seconds; returns the jobs that were cut off.

        Jobs that no child had begun, not even one that was sent them, are left to `take_waiting`.
        """
        self._places.breaker.stop()
        return await self._ending.run(drain_s)

    def hurry(self) -> None:
        """End a drain: kill the children that still run a job; `stop` returns what they ran."""
        self._ending.hurry()

    def restart(self) -> None:
        """Replace every child in its turn, at most a quarter of them at once, each after the jobs that it has.

        The next ones import the code as it is then. If they cannot, those that are left keep the old one. A lane that
        ends is not restarted.
        """
        if self._ending.begun:
            return
        self._starts.renew()
        self._places.restart()
        self._watch.begin()

    def resize(self, slots: int) -> None:
        """Run up to `slots` jobs at once, until it is resized again; a lane that is started anew has what is declared.

        A lane with a child for each slot starts more, or has the surplus ones end after the jobs that they have. The
        child of a shared lane is replaced by one of the new width, which is ready before the old one takes no more.

        Raises:
            UsageError: The lane cannot have so many, or it starts or ends just now.
        """
        lane = self.spec.lane.resized(slots)
        if not self._at_work or self._ending.begun:
            raise UsageError("its children start or end just now")
        self.room = lane.slots
        if lane.shared:
            self._slots.width = lane.width
            self._places.widen()
            self._watch.begin()
        else:
            self._places.resize(lane.children)

    @property
    def pids(self) -> list[int]:
        """The processes of its children; one that is still to be forked has none."""
        return [place.child.pid for place in self._all_places() if place.child is not None and place.child.pid]

    @property
    def giving_way(self) -> bool:
        """Whether a child is about to be killed."""
        return any(place.sentenced for place in self._all_places())

    def give_way(self, pid: int, why: str) -> None:
        """Have the child with this process end, because memory is short for all; its jobs have lost it."""
        for place in self._all_places():
            if place.child is not None and place.child.pid == pid:
                place.give_way(why)
        self._watch.begin()

    async def stacks(self) -> dict[int, str]:
        """What every child does now, by process id: the stacks of its threads. Those that do not tell are left out."""
        children = [place.child for place in self._all_places() if place.child is not None and not place.sentenced]
        return await stacks(children)

    def kill(self) -> None:
        """End all children at once, whatever they do; nothing is reported any more."""
        self._places.breaker.stop()
        self._ending.kill()

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
        if self._ending.begun or not self._quarantine.take(delivery):
            return False
        self._watch.begin()
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
        return self._places.breaker.trouble

    def states(self) -> Counter[str]:
        """How many places are in which state; a ready one is `idle` or `busy`.

        A child in quarantine counts as `quarantine`, whatever it does: it takes no other job.
        """
        states = self._places.states()
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

    def _became_ready(self, place: Place) -> None:
        assert place.child is not None
        alone = place is self._quarantine.place
        fields = {"queue": self.spec.name, "pid": place.child.pid, "quarantine": alone or None}
        _log.info("child ready", extra={"event": Event.CHILD_STARTED, **fields})
        if alone:
            self._quarantine.became_ready()
            return
        self._places.became_ready(place)
        if not self._started.done() and all(p.state is SlotState.READY for p in self._places):
            self._started.set_result(None)

    def _ended(self, delivery: Delivery, outcome: Outcome) -> None:
        if self._ending.begun:
            self._ending.changed()
        else:
            self._places.breaker.a_job_ended()
        self._on_outcome(delivery, outcome)

    def _child_ended(self, place: Place, end: End) -> None:
        for delivery, outcome in end.outcomes:
            if self._ending.cutting:
                self._ending.cut_off.append(delivery)
            else:
                self._on_outcome(delivery, outcome)
        for delivery in end.begun:
            if self._ending.cutting:
                self._ending.cut_off.append(delivery)
            else:
                self._on_unstarted(delivery)
        if self._ending.begun:
            self._ending.cut_off += end.apart
        elif end.apart:
            place.slots.put_apart(end.apart)
        # These had not started: they lose nothing.
        place.slots.put_back(end.unstarted)
        self._ending.changed()
        if self._ending.begun:
            end = replace(end, reason=Reason.STOPPED)
        fields = {"queue": self.spec.name, **end.fields()}
        self.exits[end.reason] += 1
        if self._ending.begun:
            _log.info("child ended", extra={"event": Event.CHILD_EXITED, **fields})
        elif place is self._quarantine.place:
            self._quarantine.ended(end, fields)
        else:
            self._places.ended(place, end, fields)
            self._schedule_dispatch()

    def _ends_start(self, error: Exception) -> bool:
        """End the start of the lane with this error, if it is not over yet."""
        if self._started.done():
            return False
        self._started.set_exception(error)
        return True

    # ── limits ──────────────────────────────────────────────────────────────────────────────────

    def _is_watched(self) -> bool:
        """Whether there may be a job with a limit, or a child that is to be replaced."""
        return self._timed or bool(self._quarantine.in_progress) or self._places.restarting or self.giving_way

    def _look(self, lost_s: float, weigh: bool) -> bool:
        """Hold the running jobs against their limits; they have not run while the parent stood still."""
        if lost_s:
            self._slots.shift(lost_s)
            self._quarantine.place.slots.shift(lost_s)
        for place in self._places:
            place.watch(weigh=weigh)
        self._quarantine.place.watch()
        if not self._ending.begun:
            self._places.recycle()
        return not self._ending.begun or bool(self._in_children)
