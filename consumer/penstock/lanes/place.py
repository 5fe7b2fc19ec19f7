"""One place for a child: starts it, gives it jobs, holds them against their limits, and tells how it ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from penstock.domain.cancellation import Told
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.supervision import (
    Reason,
    SlotState,
    Standing,
    became_ready,
    forgiven,
    reason_of,
    retired,
    started,
)
from penstock.domain.task import QueueSpec
from penstock.lanes.alarm import Alarm
from penstock.lanes.blocked import say_blocked
from penstock.lanes.cancelling import GRACE_S, Cancelling
from penstock.lanes.child import END_S, Child
from penstock.lanes.end import End
from penstock.lanes.frames import Frame, Kind, pack
from penstock.lanes.judgement import outcome_of
from penstock.lanes.limits import Limit, Sentence, exceeded
from penstock.lanes.memory import oom_kills, resident
from penstock.lanes.slots import Assigned, Slot, Slots
from penstock.lanes.starts import Starts
from penstock.lanes.verdict import Judge
from penstock.lanes.wear import Wear
from penstock.memory_file import MemoryFile

#: Takes a job, the number of an item and its bytes.
OnItem: TypeAlias = Callable[[Delivery, int, bytes], None]
#: Takes a job, how far it is from 0 to 1, and what it does.
OnProgress: TypeAlias = Callable[[Delivery, float, str], None]

#: Seconds that a child has for its imports and start-up hooks.
BOOT_TIMEOUT_S: Final = 300.0
#: Seconds after which a job is a long one: nothing else waits for its end.
LONG_S: Final = 1.0


class Place:
    """One place for a child.

    Args:
        spec: The queue.
        boot: Meta of the BOOT frame, but for the width.
        slots: Hands out the jobs.
        starts: Starts the children.
        clock: In seconds, the same as that of `slots`.
        on_ready: Called when the child can run jobs.
        on_outcome: Called with each job that the child has answered.
        on_end: Called when the child has ended; the place is empty then.
        on_item: Called with each item of a job that runs: its number, from 0, and its bytes.
        on_progress: Called with how far a job that runs says that it is.
        memory: The bytes that a child may have resident; None: there is no limit.
        alone: Whether a child runs one job and ends.
    """

    def __init__(
        self,
        spec: QueueSpec,
        boot: list[Any],
        slots: Slots,
        *,
        starts: Starts,
        clock: Callable[[], float],
        on_ready: Callable[[Place], None],
        on_outcome: Callable[[Delivery, Outcome], None],
        on_end: Callable[[Place, End], None],
        on_item: OnItem,
        on_progress: OnProgress,
        memory: int | None = None,
        alone: bool = False,
    ) -> None:
        self.slots = slots
        self.standing = Standing()
        self.alarm = Alarm()
        self.child: Child | None = None
        self.slot: Slot | None = None
        self._spec = spec
        self._boot = boot
        self._starts = starts
        self._clock = clock
        self._on_ready = on_ready
        self._on_outcome = on_outcome
        self._on_end = on_end
        self._on_item = on_item
        self._on_progress = on_progress
        #: The place that takes over from this one; None: it goes on.
        self.successor: Place | None = None
        #: Whether the lane wants a child here; else it ends after what it has.
        self.wanted = True
        #: How many jobs its present child runs at once.
        self._width = slots.width
        self._memory = memory
        self._alone = alone
        self._wear = Wear(None, clock())
        self._oom_kills = 0
        #: Whether the present child is to be replaced for another reason than its limits.
        self._stale = False
        self._sentence: Sentence | None = None
        self._cancelling = Cancelling()
        #: Where the child reads which job is to end; None: it learns that by a frame.
        self._stop: MemoryFile | None = None
        self._finishing = False
        self._said: str | None = None

    @property
    def state(self) -> SlotState:
        """What it is doing."""
        return self.standing.state

    @property
    def busy(self) -> bool:
        """Whether its child has a job."""
        return self.slot is not None and bool(self.slot.jobs)

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start a child.

        Raises:
            OSError: The system cannot.
        """
        self.standing = started(self.standing)
        self._sentence = self._said = None
        self._finishing = self._stale = False
        self._oom_kills = oom_kills()
        self._stop = None if self._spec.lane.shared else MemoryFile.make()
        self.child = child = self._starts.start(on_frames=self._heard, on_exit=self._exited)
        self._width = self.slots.width
        boot = [*self._boot, self._width]
        child.send(pack(Kind.BOOT, 0, boot, with_fd=self._stop is not None), self._stop)
        child.flush()
        self.alarm.set(BOOT_TIMEOUT_S, self._boots_too_long)

    def _boots_too_long(self) -> None:
        self._said = f"was not ready within {BOOT_TIMEOUT_S:g} s"
        self.kill()

    def finish(self) -> None:
        """Let the child end by itself after what it has; end it when it has nothing and does not."""
        if self.child is not None:
            self._finishing = True
            self.child.finish()
            if not self.busy:
                self.alarm.set(END_S, self.child.kill)

    def kill(self) -> None:
        """End the child at once, whatever it does."""
        self.alarm.cancel()
        if self.child is not None:
            self.child.kill()

    # ── what the child says ─────────────────────────────────────────────────────────────────────

    def _heard(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.kind == Kind.OUTCOME:
                self._answered(frame)
            elif frame.kind in (Kind.ITEM, Kind.PROGRESS):
                self._told(frame)
            elif frame.kind == Kind.READY:
                self._became_ready()
            elif frame.kind == Kind.BLOCKED:
                self._blocked(frame)
            else:
                self._said = frame.meta[0]
        self.slots.dispatch()

    def _became_ready(self) -> None:
        assert self.child is not None
        self.alarm.cancel()
        self.standing = became_ready(self.standing)
        self.slot = self.slots.add(self.child, self._width)
        self._wear = Wear(None if self._alone else self._spec.lane.recycle, self._clock())
        self._on_ready(self)

    def _answered(self, frame: Frame) -> None:
        assert self.slot is not None
        outcome = outcome_of(frame)
        if self._sentence is not None and not self._may_still_answer(self._sentence, frame, outcome):
            return
        delivery = self.slots.finished(self.slot, frame.number, outcome.run_s)
        if delivery is None:
            return
        if self.standing.failures:
            self.standing = forgiven(self.standing)
        self._wear.jobs += 1
        if self._cancelling:
            outcome = self._cancelling.ended(frame.number, delivery, outcome)
            self._press()
        self._on_outcome(delivery, outcome)
        if self._alone or (self.state is SlotState.RETIRING and not self.busy):
            self.finish()

    def _told(self, frame: Frame) -> None:
        """A job has yielded, or said how far it is; one that the child has no longer says nothing."""
        if (assigned := self._assigned(frame)) is None:
            return
        assigned.told = True
        if frame.kind == Kind.ITEM:
            self._on_item(assigned.delivery, frame.meta[0], frame.body)
        else:
            self._on_progress(assigned.delivery, *frame.meta)

    def _blocked(self, frame: Frame) -> None:
        seconds, stack = frame.meta
        assert self.child is not None
        assigned = self._assigned(frame)
        delivery = None if assigned is None else assigned.delivery
        say_blocked(self._spec.name, self.child.pid, delivery, seconds, stack)

    def _assigned(self, frame: Frame) -> Assigned | None:
        """The job that a frame is about; None: the child does not have it, or has it no longer."""
        return self.slot.jobs.get(frame.number) if self.slot is not None else None

    def grant(self, delivery: Delivery, upto: int | None) -> None:
        """Let a job, if the child has this start of it, send the items with a number below that; None: all."""
        if self.slot is None or self.child is None:
            return
        number = self.slot.number_of(delivery.job_id)
        if number is not None and self.slot.jobs[number].delivery is delivery:
            self.child.send(pack(Kind.GRANT, number, [upto]))
            self.child.flush()

    def _may_still_answer(self, sentence: Sentence, frame: Frame, outcome: Outcome) -> bool:
        """Whether the answer counts of a job whose child is about to be killed."""
        assert self.child is not None
        concerned = frame.number in sentence.numbers
        if not sentence.counts(frame.number, succeeded=outcome.kind is OutcomeKind.SUCCEEDED):
            self._carry_out(sentence)
            return False
        if concerned and not sentence.numbers and not sentence.carried_out:
            self._reprieve(sentence)
        return True

    def _reprieve(self, sentence: Sentence) -> None:
        """Every job has succeeded for which the child was to be killed."""
        assert self.child is not None
        if sentence.limit is Limit.MEMORY and not self._alone:
            self._carry_out(sentence)  # the memory is there still: the next job would be blamed for it
            return
        self._sentence = None
        self.child.forget_stack()

    # ── cancelling ──────────────────────────────────────────────────────────────────────────────

    def cancel_job(self, job_id: str, told: Told) -> bool:
        """Have the child end a job that it has; `told` is called once it has ended. False: it has no such job."""
        number = None if self.slot is None else self.slot.number_of(job_id)
        if number is None:
            return False
        self._cancelling.ask(number, told)
        self._press()
        return True

    def _press(self) -> None:
        """Tell the child which of its running jobs are to end.

        A job that has the child for itself is killed with it after a while. One that has neighbours is not: it ends
        when it looks.
        """
        assert self.child is not None
        assert self.slot is not None
        for number in self._cancelling.press(self.child, self.slot, self._stop):
            if self.slot.width == 1:
                asyncio.get_running_loop().call_later(GRACE_S, self._overstays, self.child, number)

    def _overstays(self, child: Child, number: int) -> None:
        """A job that was to end has had its time; a child that is sentenced already is killed anyway."""
        if child is not self.child or self.slot is None or self._sentence is not None:
            return
        if any(running == number for running, _ in self.slot.running()):
            self._sentence = Sentence({number}, Limit.CANCEL)
            self._carry_out(self._sentence)

    # ── limits ──────────────────────────────────────────────────────────────────────────────────

    @property
    def due(self) -> bool:
        """Whether its child is to be replaced though nothing is wrong with it."""
        return self.state is SlotState.READY and (self.stale or self._wear.due(self._clock()))

    @property
    def missing(self) -> bool:
        """Whether its child is being replaced, or broken. One that still has a long job is neither: it works."""
        if self.state is SlotState.RETIRING and self.slot is not None:
            now = self._clock()
            return not any(now - assigned.since > LONG_S for _, assigned in self.slot.running())
        return self.state in (SlotState.STARTING, SlotState.RESTARTING, SlotState.BROKEN)

    @property
    def stale(self) -> bool:
        """Whether its child was there when all were to be replaced, or has another width than is wanted now."""
        outdated = self._stale or self._width != self.slots.width or self.successor is not None
        return outdated and self.child is not None

    @property
    def sentenced(self) -> bool:
        """Whether its child is about to be killed."""
        return self._sentence is not None and self.child is not None

    def outdate(self) -> None:
        """The present child is to be replaced when there is room for that."""
        self._stale = self.child is not None

    def retire(self) -> None:
        """Let the child finish what it has and end, and give it no more jobs; of those it may have to hear more."""
        assert self.slot is not None
        self.standing = retired(self.standing)
        self.slots.close(self.slot)
        if not self.busy:
            self.finish()

    def give_way(self, why: str) -> None:
        """Have the child end, because memory is short for all; `why` is said of the jobs that it runs.

        As above its own limit: it is asked for its stack, and killed at the next look. One that is not ready is killed.
        """
        assert self.child is not None
        if self.slot is None:
            self._said = why
            self.kill()
        elif self._sentence is None:
            self._sentence = Sentence({number for number, _ in self.slot.running()}, Limit.MEMORY, why=why)
            self.child.ask_stack()

    def watch(self, *, weigh: bool = True) -> None:
        """Hold the child against its limits, with `weigh` against those of memory, too.

        Above one of them the child is asked for its stack, and at the next call it is killed.
        """
        if self.child is None or self.slot is None:
            return
        if weigh and (self._memory is not None or self._wear.weighed):
            self._wear.rss = resident(self.child.pid) or 0
        if self._sentence is not None:
            self._carry_out(self._sentence)
        elif sentence := exceeded(self.slot, self._spec, memory=self._memory, rss=self._wear.rss, now=self._clock()):
            self._sentence = sentence
            self.child.ask_stack()

    def _carry_out(self, sentence: Sentence) -> None:
        assert self.child is not None
        sentence.carried_out = True
        self.child.kill()

    # ── how the child ends ──────────────────────────────────────────────────────────────────────

    def _exited(self, status: int, evidence: Evidence) -> None:
        assert self.child is not None
        self.alarm.cancel()
        if starved := status == -signal.SIGKILL and self._sentence is None and oom_kills() > self._oom_kills:
            evidence = replace(evidence, exit=f"{evidence.exit}: the system ran out of memory")
        judge = Judge(
            self._spec,
            evidence,
            sentence=self._sentence,
            cancelling=self._cancelling,
            memory=self._memory,
            now=self._clock(),
        )
        jobs = self.slots.remove(self.slot) if self.slot is not None else []
        reason = reason_of(
            self.state,
            status,
            busy=self.busy,
            finishing=self._finishing,
            limit=Reason(self._sentence.limit.value) if self._sentence is not None else None,
            starved=starved,
        )
        end = judge.end(self.slot, jobs, pid=self.child.pid, status=status, reason=reason, said=self._said)
        self.child = self.slot = self._stop = None
        self.standing = replace(self.standing, state=SlotState.STOPPED)
        self._on_end(self, end)
