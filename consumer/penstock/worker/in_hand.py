"""The jobs that this worker has taken and not yet settled, and those that it has just ended.

When a connection is lost, the broker hands out again what was not acked: jobs whose attempt still runs here, jobs
that wait here to be settled, and jobs whose ack was lost on its way. None of them needs to run again in this worker.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from penstock.domain.delivery import Delivery

#: How many ended jobs are remembered. Only acks on their way can be lost, so it need not exceed the prefetch by much.
_REMEMBERED: Final = 4096


class Meeting(Enum):
    """What a delivery that has just arrived is to this worker."""

    #: The worker does not have this job.
    NEW = "new"
    #: The worker has it, and settles it by this delivery from now on: the old one died with its channel.
    ADOPTED = "adopted"
    #: The worker has it by another message, which is still good: this one has to wait.
    TWIN = "twin"
    #: The worker has ended it; only the ack was lost.
    ENDED = "ended"


class InHand:
    """Knows jobs by their ids.

    Args:
        let_go: Called with each delivery that this worker has no longer.
    """

    def __init__(self, let_go: Callable[[Delivery], None] = lambda _: None) -> None:
        self._let_go = let_go
        self._held: dict[str, Delivery] = {}
        #: The last publication of each for which its end speaks.
        self._ended: dict[tuple[str, int, str | None], int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, delivery: Delivery) -> bool:
        return self._held.get(delivery.job_id) is delivery

    def has(self, job_id: str) -> bool:
        """Whether the worker has this job."""
        return job_id in self._held

    def meet(self, delivery: Delivery) -> Meeting:
        """Take note of a delivery. Messages without an id have nothing in common."""
        if not delivery.job_id:
            return Meeting.NEW
        held = self._held.get(delivery.job_id)
        if held is None:
            if delivery.again and self._ended.get(_end_of(delivery), -1) >= delivery.repeat:
                return Meeting.ENDED
            self._held[delivery.job_id] = delivery
            return Meeting.NEW
        # The answer is still to come, so it reaches whoever published the job again by now.
        held.repeat = max(held.repeat, delivery.repeat)
        if held.channel.open or (held.attempt, held.replays) != (delivery.attempt, delivery.replays):
            return Meeting.TWIN
        held.channel, held.tag = delivery.channel, delivery.tag
        return Meeting.ADOPTED

    def release(self, delivery: Delivery, *, ended: bool) -> None:
        """The job is settled; `ended`: with its result, so that nothing of it need run again.

        Of a twin nothing is noted: it does not speak for the job.
        """
        if self._held.get(delivery.job_id) is not delivery:
            return
        del self._held[delivery.job_id]
        self._let_go(delivery)
        if ended:
            self._ended[_end_of(delivery)] = delivery.repeat
            if len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]


def _end_of(delivery: Delivery) -> tuple[str, int, str | None]:
    """What makes two deliveries ask for the same answer: the job, its replay, and where the reply goes."""
    return delivery.job_id, delivery.replays, delivery.reply_to
