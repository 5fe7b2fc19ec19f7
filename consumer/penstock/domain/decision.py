"""What happens to a job now: a pure function of how its attempt ended and of what it has spent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.retry import Retry
from penstock.domain.spent import Spent
from penstock.wire.failure import Failure
from penstock.wire.headers import job_id_time_ms
from penstock.wire.registry import DEAD_LETTERED, LADDER, ErrorCode


@dataclass(frozen=True, slots=True)
class Complete:
    """Answer the caller; the job is over.

    `body` is the child's result.v1 of a success; `failure` is set instead when the job failed and needs no place
    in the dead queue.
    """

    body: bytes | None
    failure: Failure | None
    spent: Spent


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Let a copy of the job wait in the broker until `due_ms`, Unix ms."""

    due_ms: int
    failure: Failure
    spent: Spent


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Answer the caller with the failure and keep the job in its dead queue."""

    failure: Failure
    spent: Spent


Decision = Complete | RetryLater | DeadLetter


def decide(
    outcome: Outcome,
    *,
    spent: Spent,
    policy: Retry,
    job_id: str,
    deadline_ms: int | None,
    now_ms: int,
    awaited: bool,
) -> Decision:
    """Decide what happens to a job whose attempt has ended.

    Args:
        outcome: How the attempt ended.
        spent: What the job had spent before it.
        policy: The task's.
        job_id: The job's id: the seed of the jitter, and when the job was made.
        deadline_ms: Unix ms after which the job is not tried again; None: no deadline.
        now_ms: The present, Unix ms.
        awaited: Whether anybody gets the result (a reply queue or a key).
    """
    failure = outcome.failure
    if failure is None:
        return Complete(outcome.body, None, spent)
    if outcome.kind is OutcomeKind.CANCELLED:
        # Whoever cancels a job that nobody awaits does not want to find it among the dead.
        return Complete(None, failure, spent)
    after = _charge(outcome, spent, now_ms)
    delay_s = _delay(outcome, after, policy, job_id)
    cut = False
    if delay_s is not None:
        due_ms = now_ms + int(delay_s * 1000)
        # However short the wait, the broker's shortest level lies between two attempts.
        cut = deadline_ms is not None and max(due_ms, now_ms + LADDER[0].ttl_ms) >= deadline_ms
        if not cut and not policy.out_of_time((due_ms - (after.first_at_ms or now_ms)) / 1000):
            return RetryLater(due_ms, failure, after.and_waits(delay_s))
    if cut or failure.code == ErrorCode.EXPIRED:
        failure = _with_times(failure, after, now_ms - job_id_time_ms(job_id), cut=cut)
    # A code of the task's own is not in the table: the attempt failed, so the job is kept.
    if awaited and not DEAD_LETTERED.get(failure.code, True):
        return Complete(None, failure, after)
    return DeadLetter(failure, after)


def _charge(outcome: Outcome, spent: Spent, now_ms: int) -> Spent:
    """What the job has spent with this attempt, each kind of trouble from its own budget."""
    if outcome.kind is OutcomeKind.RAISED:
        return spent.and_failed(outcome.tries, run_s=outcome.run_s, now_ms=now_ms)
    if outcome.kind is OutcomeKind.CHILD_LOST:
        return spent.and_crashed(run_s=outcome.run_s, now_ms=now_ms)
    if outcome.kind is OutcomeKind.TIMED_OUT:
        return spent.and_hung(run_s=outcome.run_s, now_ms=now_ms)
    return spent


def _delay(outcome: Outcome, after: Spent, policy: Retry, job_id: str) -> float | None:
    """Seconds until the next attempt; None: there is none. A child has a say in what it raised only."""
    if outcome.kind is OutcomeKind.RAISED:
        return outcome.delay_s if after.failures < policy.attempts else None
    if (outcome.kind is OutcomeKind.CHILD_LOST and after.crashes < policy.crashes) or (
        outcome.kind is OutcomeKind.TIMED_OUT and after.hangs < policy.hangs
    ):
        return policy.delay(after.attempts, job_id)
    return None


def _with_times(failure: Failure, spent: Spent, age_ms: int, *, cut: bool) -> Failure:
    """The failure with an account of where the job's time went."""
    queue_ms = max(0, age_ms - spent.run_ms - spent.backoff_ms)
    times = {"queue_ms": queue_ms, "run_ms": spent.run_ms, "backoff_ms": spent.backoff_ms, "attempts": spent.attempts}
    words = (
        f"{queue_ms / 1000:.3g} s waiting, {spent.run_ms / 1000:.3g} s in {spent.attempts} attempts, "
        f"{spent.backoff_ms / 1000:.3g} s between them"
    )
    why = "; the deadline leaves no time for another attempt" if cut else ""
    return replace(failure, message=f"{failure.message}{why} ({words})", details={**failure.details, **times})
