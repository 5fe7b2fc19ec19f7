"""What the end of a child means for each of the jobs that it had."""

from __future__ import annotations

from dataclasses import replace

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome
from penstock.domain.supervision import Reason
from penstock.domain.task import QueueSpec
from penstock.lanes.cancelling import Cancelling
from penstock.lanes.end import End
from penstock.lanes.judgement import above_memory, child_lost, timed_out
from penstock.lanes.limits import Limit, Sentence
from penstock.lanes.slots import Slot


class Judge:
    """Judges the jobs of one child.

    Args:
        spec: The queue.
        evidence: What is known of the child's end.
        sentence: What it was about to be killed for; None: for nothing.
        cancelling: Its jobs that were to end.
        memory: The bytes that it might have resident; None: there was no limit.
        now: By the lane's clock.
    """

    def __init__(
        self,
        spec: QueueSpec,
        evidence: Evidence,
        *,
        sentence: Sentence | None,
        cancelling: Cancelling,
        memory: int | None,
        now: float,
    ) -> None:
        self._spec = spec
        self._evidence = evidence
        self._sentence = sentence
        self._cancelling = cancelling
        self._memory = memory
        self._now = now

    def end(
        self, slot: Slot | None, jobs: list[Delivery], *, pid: int, status: int, reason: Reason, said: str | None
    ) -> End:
        """The child's end.

        Args:
            slot: Its slot; None: it was not ready yet.
            jobs: Those that it had, the running ones first.
            pid: See End, as for all that follow.
            status: Its exit status.
            reason: Why it ended.
            said: Its last words.
        """
        outcomes: list[tuple[Delivery, Outcome]] = []
        begun: list[Delivery] = []
        apart: list[Delivery] = []
        if slot is not None:
            self._judge(slot, outcomes, begun, apart)
            outcomes += self._cancelled_unstarted(slot)
        judged = {id(delivery) for delivery in [*(delivery for delivery, _ in outcomes), *begun, *apart]}
        if slot is not None:
            # Started again as they are, these would tell everything twice under one fence.
            told = [job.delivery for job in slot.jobs.values() if job.told and id(job.delivery) not in judged]
            begun += told
            judged.update(map(id, told))
        return End(
            pid=pid,
            status=status,
            evidence=self._evidence,
            reason=reason,
            said=said,
            outcomes=outcomes,
            begun=begun,
            apart=apart,
            unstarted=[delivery for delivery in jobs if id(delivery) not in judged],
        )

    def _judge(
        self, slot: Slot, outcomes: list[tuple[Delivery, Outcome]], begun: list[Delivery], apart: list[Delivery]
    ) -> None:
        """Sort the jobs that ran into these lists, which are those of End; what is in none has lost nothing."""
        for number, assigned in slot.running():
            delivery, run_s = assigned.delivery, self._now - assigned.since
            cancelled = number in self._cancelling and slot.width > 1
            if slot.together and not cancelled and (self._sentence is None or number in self._sentence.numbers):
                apart.append(delivery)  # whichever of them did it does it again, alone
            elif self._sentence is None or cancelled:
                lost = child_lost(delivery, self._evidence, run_s=run_s)
                outcomes.append((delivery, self._cancelling.ended(number, delivery, lost)))
            elif number in self._sentence.numbers:
                judged = self._sentenced(self._sentence, delivery, run_s)
                outcomes.append((delivery, self._cancelling.ended(number, delivery, judged)))
            elif slot.width > 1 and not slot.together:
                begun.append(delivery)
            # Else the sentenced job answered while its child was being killed; what came next had hardly begun.

    def _cancelled_unstarted(self, slot: Slot) -> list[tuple[Delivery, Outcome]]:
        """Jobs that the child had, had not begun, and that are not to begin elsewhere either."""
        jobs = [(number, job.delivery) for number, job in slot.jobs.items() if number in self._cancelling]
        return [(delivery, self._cancelling.unstarted(number, delivery)) for number, delivery in jobs]

    def _sentenced(self, sentence: Sentence, delivery: Delivery, run_s: float) -> Outcome:
        if sentence.limit is Limit.CANCEL:
            return child_lost(delivery, self._evidence, run_s=run_s)
        if sentence.why is not None:
            evidence = replace(self._evidence, exit=f"{self._evidence.exit}: {sentence.why}")
            return child_lost(delivery, evidence, run_s=run_s)
        if sentence.limit is Limit.MEMORY:
            return above_memory(delivery, self._evidence, run_s=run_s, limit=self._memory or 0)
        task = self._spec.find(delivery.task, delivery.version)
        assert task is not None
        return timed_out(task, self._evidence, run_s=run_s)
