"""What happens to a job now: a pure function of how its attempt ended."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.wire.failure import Failure
from penstock.wire.registry import CRASH_LIMIT, DEAD_LETTERED


@dataclass(frozen=True, slots=True)
class Complete:
    """Answer the caller; the job is over.

    `body` is the child's result.v1 or, when no child wrote one, None: then `failure` is the answer.
    """

    body: bytes | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Let a copy of the job wait in the broker for `delay_s` seconds."""

    delay_s: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Answer the caller with the failure and keep the job in its dead queue."""

    body: bytes | None
    failure: Failure


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Return the job to its queue; the broker counts the delivery."""

    failure: Failure


Decision = Complete | RetryLater | DeadLetter | GiveBack


def decide(
    outcome: Outcome,
    *,
    attempt: int,
    attempts: int,
    deliveries: int,
    deadline_ms: int | None,
    now_ms: int,
    awaited: bool,
) -> Decision:
    """Decide what happens to a job whose attempt has ended.

    Args:
        outcome: How the attempt ended.
        attempt: Its number, from 1.
        attempts: How many the task's policy allows.
        deliveries: How often the broker has handed this message out, this time included.
        deadline_ms: Unix ms after which the job is not tried again; None: no deadline.
        now_ms: The present, Unix ms.
        awaited: Whether anybody gets the result (a reply queue or a key).
    """
    failure = outcome.failure
    if failure is None:
        return Complete(outcome.body, None)
    if outcome.kind is OutcomeKind.CHILD_LOST and deliveries < CRASH_LIMIT:
        return GiveBack(failure)
    if outcome.delay_s is not None and attempt < attempts:
        due_ms = now_ms + int(outcome.delay_s * 1000)
        if deadline_ms is None or due_ms < deadline_ms:
            return RetryLater(outcome.delay_s, failure)
    # A code of the task's own is not in the table: the attempt failed, so the job is kept.
    if awaited and not DEAD_LETTERED.get(failure.code, True):
        return Complete(outcome.body, failure)
    return DeadLetter(outcome.body, failure)
