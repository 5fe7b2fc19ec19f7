"""How an attempt ends whose job was cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.wire.failure import Failure
from penstock.wire.registry import CancelStep, ErrorCode

#: Takes what became of a job that is to be cancelled.
Told = Callable[[CancelStep], None]

_HOW: Final = {
    CancelStep.NEVER_STARTED: "before it started",
    CancelStep.EXCEPTION: "while it ran",
    CancelStep.KILLED: "while it ran; it did not end by itself, so its child was killed",
}


def cancelled(
    delivery: Delivery, step: CancelStep, *, run_s: float = 0.0, tries: int = 0, trace: str | None = None
) -> Outcome:
    """The outcome of a job that was cancelled.

    Args:
        delivery: The job.
        step: How: NEVER_STARTED, EXCEPTION or KILLED.
        run_s: Run time in seconds. Defaults to 0.
        tries: Attempts that were begun. Defaults to 0.
        trace: Where it was when it was told to stop, for the log.
    """
    text = f"{delivery.task} was cancelled {_HOW[step]}"
    failure = Failure(code=ErrorCode.CANCELLED, message=text, retryable=False)
    return Outcome(OutcomeKind.CANCELLED, failure=failure, run_s=run_s, tries=tries, trace=trace)
