"""The jobs in one child that are to be cancelled: who asked, what the child was told, and how they end."""

from __future__ import annotations

from typing import Final

from penstock.domain.cancellation import Told, cancelled
from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.lanes.child import Child
from penstock.lanes.frames import Kind, pack
from penstock.lanes.slots import Slot
from penstock.memory_file import MemoryFile
from penstock.wire.registry import CANCEL_GRACE_MS, CancelStep

#: What a job has to end by itself once its child was told, in seconds.
GRACE_S: Final = CANCEL_GRACE_MS / 1000
#: Most that are told of the end of one job; more commands for it are carried out without a word.
_MOST_TOLD: Final = 16
#: Outcomes in whose place a cancelled job's stands: our signal may be the cause of whatever went wrong. A success
#: counts.
_UNDONE: Final = {
    OutcomeKind.RAISED: CancelStep.EXCEPTION,
    OutcomeKind.CHILD_LOST: CancelStep.KILLED,
    OutcomeKind.TIMED_OUT: CancelStep.KILLED,
}


class Cancelling:
    """Knows jobs by their frame numbers."""

    def __init__(self) -> None:
        self._asked: dict[int, list[Told]] = {}
        self._pressed: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._asked)

    def __contains__(self, number: int) -> bool:
        return number in self._asked

    def ask(self, number: int, told: Told) -> None:
        """The job is to be cancelled; `told` is called when it has ended."""
        waiting = self._asked.setdefault(number, [])
        if len(waiting) < _MOST_TOLD:
            waiting.append(told)

    def press(self, child: Child, slot: Slot, stop: MemoryFile | None) -> list[int]:
        """Tell the child which of the jobs that it runs are to end; returns those that it had not been told of.

        A job that was sent ahead is due when it begins: until then the child does not know it. A call for many is not
        interrupted for one: a success counts, anything else is the cancellation.

        Args:
            child: The process.
            slot: Its jobs.
            stop: Where it reads which job is to end; None: it learns that by a frame.
        """
        if slot.together:
            return []
        numbers = [number for number, _ in slot.running() if number in self._asked and number not in self._pressed]
        for number in numbers:
            self._pressed.add(number)
            if stop is None:
                child.send(pack(Kind.CANCEL, number, []))
                child.flush()
            else:
                stop.write(number.to_bytes(4, "big"), 0)
                child.interrupt()
        return numbers

    def ended(self, number: int, delivery: Delivery, outcome: Outcome) -> Outcome:
        """How the job has ended, whoever asked being told."""
        if number not in self._asked:
            return outcome
        step = _UNDONE.get(outcome.kind, CancelStep.ENDED)
        self._tell(number, step)
        if step is CancelStep.ENDED:
            return outcome
        return cancelled(delivery, step, run_s=outcome.run_s, tries=max(1, outcome.tries), trace=outcome.trace)

    def unstarted(self, number: int, delivery: Delivery) -> Outcome:
        """The outcome of a job that the child had, and had not begun when it ended."""
        self._tell(number, CancelStep.NEVER_STARTED)
        return cancelled(delivery, CancelStep.NEVER_STARTED)

    def _tell(self, number: int, step: CancelStep) -> None:
        self._pressed.discard(number)
        for told in self._asked.pop(number):
            told(step)
