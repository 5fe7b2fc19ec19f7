"""One place for a child: starts it, gives it jobs, holds them against their limits, and tells how it ended."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

from penstock.domain.cancellation import Told
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.recycle import Recycle
from penstock.domain.task import QueueSpec
from penstock.lanes.cancelling import GRACE_S, Cancelling
from penstock.lanes.child import Child
from penstock.lanes.end import End, Reason
from penstock.lanes.frames import Frame, Kind, pack
from penstock.lanes.judgement import above_memory, child_lost, outcome_of, timed_out
from penstock.lanes.limits import Limit, Sentence, overdue
from penstock.lanes.memory import oom_kills, resident
from penstock.lanes.slots import Slot, Slots
from penstock.memory_file import MemoryFile

#: Takes a job, the number of an item and its bytes.
OnItem: TypeAlias = Callable[[Delivery, int, bytes], None]
#: Takes a job, how far it is from 0 to 1, and what it does.
OnProgress: TypeAlias = Callable[[Delivery, float, str], None]

#: Seconds that a child has for its imports and start-up hooks.
BOOT_TIMEOUT_S: Final = 300.0
#: Seconds after which a job is a long one: nothing else waits for its end.
LONG_S: Final = 1.0
#: Seconds that an idle child has to end by itself.
END_S: Final = 2.0


class SlotState(StrEnum):
    """What one place for a child is doing."""

    STARTING = "starting"
    READY = "ready"
    #: It finishes what it has and is replaced.
    RETIRING = "retiring"
    RESTARTING = "restarting"
    BROKEN = "broken"
    STOPPED = "stopped"


class Place:
    """One place for a child.

    Args:
        spec: The queue.
        boot: Meta of the BOOT frame.
        slots: Hands out the jobs.
        clock: In seconds, the same as that of `slots`.
        on_ready: Called when the child can run jobs.
        on_outcome: Called with each job that the child has answered.
        on_end: Called when the child has ended; the place is empty then.
        on_blocked: Called when a job, which may be unknown, has kept the child's event loop from going on: for how
            many seconds, and where.
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
        clock: Callable[[], float],
        on_ready: Callable[[Place], None],
        on_outcome: Callable[[Delivery, Outcome], None],
        on_end: Callable[[Place, End], None],
        on_blocked: Callable[[Place, Delivery | None, float, str], None],
        on_item: OnItem,
        on_progress: OnProgress,
        memory: int | None = None,
        alone: bool = False,
    ) -> None:
        self.slots = slots
        self.state = SlotState.STOPPED
        self.child: Child | None = None
        self.slot: Slot | None = None
        #: Ends of its children in a row without a job in between that ended by itself.
        self.failures = 0
        self._spec = spec
        self._boot = boot
        self._clock = clock
        self._on_ready = on_ready
        self._on_outcome = on_outcome
        self._on_end = on_end
        self._on_blocked = on_blocked
        self._on_item = on_item
        self._on_progress = on_progress
        #: The place that takes over from this one; None: it goes on.
        self.successor: Place | None = None
        self._memory = memory
        self._alone = alone
        #: When the present child is to be replaced; None: never.
        self._recycle: Recycle | None = None
        self._jobs = 0
        self._ready_at = 0.0
        self._rss = 0
        self._oom_kills = 0
        #: Whether the present child is to be replaced for another reason than its limits.
        self._stale = False
        self._sentence: Sentence | None = None
        self._cancelling = Cancelling()
        #: Where the child reads which job is to end; None: it learns that by a frame.
        self._stop: MemoryFile | None = None
        self._finishing = False
        self._said: str | None = None
        self._timer: asyncio.TimerHandle | None = None

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
        self.state = SlotState.STARTING
        self._sentence = self._said = None
        self._finishing = False
        self._oom_kills = oom_kills()
        self._stop = None if self._spec.lane.shared else MemoryFile.make()
        child = Child(
            [self._spec.lane.kind],
            python=self._spec.lane.python,
            on_frames=self._heard,
            on_exit=self._exited,
        )
        child.start()
        self.child = child
        child.send(pack(Kind.BOOT, 0, self._boot, with_fd=self._stop is not None), self._stop)
        child.flush()
        self.later(BOOT_TIMEOUT_S, self._boots_too_long)

    def _boots_too_long(self) -> None:
        self._said = f"was not ready within {BOOT_TIMEOUT_S:g} s"
        self.kill()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call after some time, unless something else is to be called later or the place is given up before."""
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def cancel(self) -> None:
        """Forget what was to be called later."""
        if self._timer is not None:
            self._timer.cancel()

    def finish(self) -> None:
        """Let the child end by itself after what it has; end it when it has nothing and does not."""
        if self.child is not None:
            self._finishing = True
            self.child.finish()
            if not self.busy:
                self.later(END_S, self.child.kill)

    def kill(self) -> None:
        """End the child at once, whatever it does."""
        self.cancel()
        if self.child is not None:
            self.child.kill()

    # ── what the child says ─────────────────────────────────────────────────────────────────────

    def _heard(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.kind == Kind.OUTCOME:
                self._answered(frame)
            elif frame.kind == Kind.ITEM:
                if (delivery := self._delivery_of(frame)) is not None:
                    self._on_item(delivery, frame.meta[0], frame.body)
            elif frame.kind == Kind.PROGRESS:
                if (delivery := self._delivery_of(frame)) is not None:
                    self._on_progress(delivery, *frame.meta)
            elif frame.kind == Kind.READY:
                self._became_ready()
            elif frame.kind == Kind.BLOCKED:
                self._blocked(frame)
            else:
                self._said = frame.meta[0]
        self.slots.dispatch()

    def _became_ready(self) -> None:
        assert self.child is not None
        self.cancel()
        self.state = SlotState.READY
        self.slot = self.slots.add(self.child)
        recycle = self._spec.lane.recycle
        self._recycle = recycle.for_child(random.random()) if recycle and not self._alone else None  # noqa: S311
        self._jobs, self._rss, self._ready_at = 0, 0, self._clock()
        self._stale = False
        self._on_ready(self)

    def _answered(self, frame: Frame) -> None:
        assert self.slot is not None
        outcome = outcome_of(frame)
        if self._sentence is not None and not self._may_still_answer(self._sentence, frame, outcome):
            return
        delivery = self.slots.finished(self.slot, frame.number, outcome.run_s)
        if delivery is None:
            return
        self.failures = 0
        self._jobs += 1
        if self._cancelling:
            outcome = self._cancelling.ended(frame.number, delivery, outcome)
            self._press()
        self._on_outcome(delivery, outcome)
        if self._alone or (self.state is SlotState.RETIRING and not self.busy):
            self.finish()

    def _blocked(self, frame: Frame) -> None:
        seconds, stack = frame.meta
        self._on_blocked(self, self._delivery_of(frame), seconds, stack)

    def _delivery_of(self, frame: Frame) -> Delivery | None:
        """The job that a frame is about; None: the child does not have it, or has it no longer."""
        assigned = self.slot.jobs.get(frame.number) if self.slot is not None else None
        return assigned.delivery if assigned is not None else None

    def grant(self, delivery: Delivery, upto: int | None) -> None:
        """Let a job, if the child has it, send the items with a number below that; None: all."""
        number = None if self.slot is None else self.slot.number_of(delivery.job_id)
        if number is not None and self.child is not None:
            self.child.send(pack(Kind.GRANT, number, [upto]))
            self.child.flush()

    def _may_still_answer(self, sentence: Sentence, frame: Frame, outcome: Outcome) -> bool:
        """Whether the answer of a job counts whose child is about to be killed, or is not the sentenced job's.

        A success does, nothing is won by doing it again. A failure does not: our signal may be its cause.
        """
        assert self.child is not None
        if frame.number not in sentence.numbers:
            return True
        if outcome.kind is not OutcomeKind.SUCCEEDED:
            self._carry_out(sentence)
            return False
        sentence.numbers.discard(frame.number)
        if not sentence.numbers and not sentence.carried_out:
            self._sentence = None
            self.child.forget_stack()
        return True

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
        if self.slot.together:
            return  # a call for many is not interrupted for one; a success counts, anything else is the cancellation
        for number in self._cancelling.due(self.slot):
            if self._stop is None:
                self.child.send(pack(Kind.CANCEL, number, []))
                self.child.flush()
            else:
                self._stop.write(number.to_bytes(4, "big"), 0)
                self.child.interrupt()
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
        if self.state is not SlotState.READY:
            return False
        if self._stale or self._recycle is None:
            return self._stale
        return self._recycle.due(jobs=self._jobs, age_s=self._clock() - self._ready_at, memory=self._rss)

    @property
    def missing(self) -> bool:
        """Whether its child is being replaced. One that still has a long job is not: it works, and may for long."""
        if self.state is SlotState.RETIRING and self.slot is not None:
            now = self._clock()
            return not any(now - assigned.since > LONG_S for _, assigned in self.slot.running())
        return self.state in (SlotState.STARTING, SlotState.RESTARTING)

    @property
    def stale(self) -> bool:
        """Whether its child was there when all were to be replaced."""
        return self._stale and self.child is not None

    @property
    def sentenced(self) -> bool:
        """Whether its child is about to be killed."""
        return self._sentence is not None

    def outdate(self) -> None:
        """The present child is to be replaced when there is room for that."""
        self._stale = self.child is not None

    def retire(self) -> None:
        """Let the child finish what it has and end, and give it no more jobs; of those it may have to hear more."""
        assert self.slot is not None
        self.state = SlotState.RETIRING
        self.slots.close(self.slot)
        if not self.busy:
            self.finish()

    def watch(self, *, weigh: bool = True) -> None:
        """Hold the child against its limits, with `weigh` against those of memory, too.

        Above one of them the child is asked for its stack, and at the next call it is killed.
        """
        if self.child is None or self.slot is None:
            return
        if weigh and (self._memory is not None or (self._recycle and self._recycle.memory)):
            self._rss = resident(self.child.pid) or 0
        if self._sentence is not None:
            self._carry_out(self._sentence)
        elif numbers := overdue(self.slot, self._spec, self._clock()):
            self._pass(Sentence(numbers, Limit.TIMEOUT))
        elif self._memory is not None and self._rss > self._memory:
            self._pass(Sentence({number for number, _ in self.slot.running()}, Limit.MEMORY))

    def _pass(self, sentence: Sentence) -> None:
        assert self.child is not None
        self._sentence = sentence
        self.child.ask_stack()

    def _carry_out(self, sentence: Sentence) -> None:
        assert self.child is not None
        sentence.carried_out = True
        self.child.kill()

    # ── how the child ends ──────────────────────────────────────────────────────────────────────

    def _exited(self, status: int, evidence: Evidence) -> None:
        assert self.child is not None
        self.cancel()
        if starved := status == -signal.SIGKILL and self._sentence is None and oom_kills() > self._oom_kills:
            evidence = replace(evidence, exit=f"{evidence.exit}: the system ran out of memory")
        outcomes, begun, apart = self._judged(evidence)
        if self._cancelling:
            outcomes += self._cancelled_unstarted()
        gone = {id(delivery) for delivery in [*(delivery for delivery, _ in outcomes), *begun, *apart]}
        jobs = self.slots.remove(self.slot) if self.slot is not None else []
        end = End(
            pid=self.child.pid,
            status=status,
            evidence=evidence,
            reason=Reason.MEMORY if starved else self._reason(status),
            said=self._said,
            outcomes=outcomes,
            begun=begun,
            apart=apart,
            unstarted=[delivery for delivery in jobs if id(delivery) not in gone],
        )
        self.child = self.slot = self._stop = None
        self.state = SlotState.STOPPED
        self._on_end(self, end)

    def _reason(self, status: int) -> Reason:
        if self._sentence is not None:
            return Reason(self._sentence.limit.value)
        if self.state is SlotState.RETIRING and not self.busy:
            return Reason.RECYCLED
        if self._finishing and not self.busy and status == 0:
            return Reason.FINISHED
        if self.state is SlotState.STARTING:
            return Reason.BOOT
        return Reason.SIGNAL if status < 0 else Reason.CRASH

    def _judged(self, evidence: Evidence) -> tuple[list[tuple[Delivery, Outcome]], list[Delivery], list[Delivery]]:
        """How the jobs ended that ran when the child did; `begun` and `apart` as in End."""
        outcomes: list[tuple[Delivery, Outcome]] = []
        begun: list[Delivery] = []
        apart: list[Delivery] = []
        if self.slot is None:
            return outcomes, begun, apart
        for number, assigned in self.slot.running():
            delivery = assigned.delivery
            run_s = self._clock() - assigned.since
            if self._sentence is None or (number in self._cancelling and self.slot.width > 1):
                lost = child_lost(delivery, evidence, run_s=run_s)
                outcomes.append((delivery, self._cancelling.ended(number, delivery, lost)))
            elif number in self._sentence.numbers and self.slot.together:
                apart.append(delivery)
            elif number in self._sentence.numbers:
                judged = self._sentenced(delivery, evidence, run_s)
                outcomes.append((delivery, self._cancelling.ended(number, delivery, judged)))
            elif self.slot.width > 1 and not self.slot.together:
                begun.append(delivery)
            # Else the sentenced job answered while its child was being killed; what came next had hardly begun.
        return outcomes, begun, apart

    def _cancelled_unstarted(self) -> list[tuple[Delivery, Outcome]]:
        """Jobs that the child had, had not begun, and that are not to begin elsewhere either."""
        if self.slot is None:
            return []
        jobs = [(number, job.delivery) for number, job in self.slot.jobs.items() if number in self._cancelling]
        return [(delivery, self._cancelling.unstarted(number, delivery)) for number, delivery in jobs]

    def _sentenced(self, delivery: Delivery, evidence: Evidence, run_s: float) -> Outcome:
        assert self._sentence is not None
        if self._sentence.limit is Limit.CANCEL:
            return child_lost(delivery, evidence, run_s=run_s)
        if self._sentence.limit is Limit.MEMORY:
            return above_memory(delivery, evidence, run_s=run_s, limit=self._memory or 0)
        task = self._spec.find(delivery.task, delivery.version)
        assert task is not None
        return timed_out(task, evidence, run_s=run_s)
