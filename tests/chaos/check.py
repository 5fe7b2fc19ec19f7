"""The law, and who broke it: a pure function from the evidence of a run to its verdict.

Every accepted job ends in exactly one visible result.
No result, and no execution, without a job that was published.
A job ends cancelled only if that was asked for; one that was to be cancelled succeeds or is cancelled, nothing else.
Nothing is left in a queue; a job is in the dead queue if and only if it ended dead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos.evidence import Evidence, Execution, Seen, Told, repeats
from tests.chaos.plan import Job

#: Errors that are answered and not kept; all others leave the job in the dead queue, too.
NOT_KEPT = frozenset({"EXPIRED", "INVALID_ARGS", "CANCELLED"})
#: How jobs of these kinds may end; the others may only succeed.
MAY_FAIL_WITH = {
    "fails": {"TASK_ERROR"},
    "fails_once": {"TASK_ERROR"},
    "late": {"EXPIRED"},
    "crashes": {"CHILD_LOST"},
    "hangs": {"TIMEOUT"},
    "eats": {"CHILD_LOST"},
    "cancelled": {"CANCELLED"},
}
MUST_FAIL = frozenset(MAY_FAIL_WITH) - {"late", "cancelled"}
#: Most jobs that a worker has in hand, and a producer at once without confirm.
IN_HAND = 516
UNCONFIRMED = 64
#: Kinds whose executions end the child, so that a repeat with the same attempt says nothing of us.
SUICIDAL = frozenset({"crashes", "crashes_once", "hangs", "eats"})


@dataclass(slots=True)
class Verdict:
    """What a run has shown. Every violation is a sentence that names its job."""

    jobs: int = 0
    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    #: Visible results of accepted and of unknown jobs.
    results: int = 0
    #: Accepted jobs whose reply had nowhere to go: executed and settled, seen by nobody.
    reply_gone: int = 0
    lost: int = 0
    #: Results or executions of jobs that were never published.
    without_job: int = 0
    #: Executions beyond one for each attempt, and the most that one attempt had.
    executed_again: int = 0
    most_executions: int = 0
    #: The most executions of a job's first attempt.
    most_first: int = 0
    #: Jobs of which two different results could be seen.
    visible_twice: int = 0
    #: Jobs that ended cancelled.
    cancelled: int = 0
    dead: int = 0
    #: Copies in the dead queue beyond one for each job.
    dead_twice: int = 0
    #: Jobs that failed though their kind succeeds, by code: a fault cost them their budget.
    unexpected: Counter[str] = field(default_factory=Counter)
    #: The same in words.
    surprises: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def judge(jobs: Sequence[Job], evidence: Evidence) -> Verdict:
    """Hold what happened against the law."""
    verdict = Verdict(jobs=len(jobs))
    planned = {job.id: job for job in jobs}
    for job in jobs:
        _judge_job(job, evidence, verdict)
    for job_id in sorted(set(evidence.stored) - set(planned)):
        verdict.without_job += 1
        verdict.violations.append(f"job {job_id} has a stored result and was never planned")
    for job_id in sorted({*evidence.executions, *evidence.dead} - set(planned)):
        verdict.without_job += 1
        verdict.violations.append(f"job {job_id} was run or is dead and was never planned")
    for queue, count in sorted(evidence.left.items()):
        if count:
            verdict.violations.append(f"{count} messages are left in {queue}")
    _judge_repeats(evidence, verdict)
    verdict.violations += [f"a process is left: {process}" for process in evidence.stray]
    return verdict


def _judge_job(job: Job, evidence: Evidence, verdict: Verdict) -> None:
    told = evidence.journal.jobs.get(job.id) or Told(enqueued="never")
    executions = evidence.executions.get(job.id, [])
    stored = evidence.stored.get(job.id)
    dead = evidence.dead.get(job.id, [])
    visible = list(dict.fromkeys([*told.results, *([stored] if stored else [])]))

    def wrong(text: str) -> None:
        verdict.violations.append(f"job {job.id} ({job.kind}, {job.mode}, {told.enqueued}): {text}")

    if told.enqueued in ("never", "refused"):
        if told.enqueued == "refused":
            verdict.refused += 1
        if visible or executions or dead:
            verdict.without_job += 1
            wrong(f"it was not accepted, yet it was run or answered ({told.why})")
        return
    if told.enqueued == "accepted":
        verdict.accepted += 1
        if problem := _lost(job, told, stored, executions, dead):
            verdict.lost += 1
            wrong(f"LOST: {problem}")
        elif not visible:
            verdict.reply_gone += 1
    else:
        verdict.unknown += 1
    verdict.results += bool(visible)
    if len(visible) > 1 or len(told.results) > 1:
        verdict.visible_twice += 1
        wrong(f"more than one result can be seen: {visible}")
    if stored and not job.stored:
        wrong("its result is stored though nobody asked for that")
    _count_executions(job, executions, verdict)
    _judge_cancelling(job, told, visible, verdict, wrong=wrong)
    _judge_end(job, visible, dead, verdict, wrong=wrong)


def _lost(
    job: Job, told: Told, stored: Seen | None, executions: Sequence[Execution], dead: Sequence[str]
) -> str | None:
    """Why an accepted job counts as lost; None: it does not."""
    if job.stored:
        return None if stored else f"there is no stored result ({told.missing or told.gone or 'nobody waited'})"
    if told.results:
        return None
    if told.gone is None:
        return f"there is no reply ({told.missing or 'nobody waited'})"
    # Nobody could be answered. Then the job must have been done, or refused at the door for being late or cancelled.
    ended = any(execution.ended_ns is not None for execution in executions)
    if ended or dead or job.kind == "late" or told.cancelled:
        return None
    return f"its reply queue is gone ({told.gone}), and it has not been executed"


def _count_executions(job: Job, executions: Sequence[Execution], verdict: Verdict) -> None:
    if job.kind in SUICIDAL or not executions:
        return
    verdict.executed_again += repeats(executions)
    counts = Counter(execution.attempt for execution in executions)
    verdict.most_executions = max(verdict.most_executions, *counts.values())
    verdict.most_first = max(verdict.most_first, counts[1])


def _judge_repeats(evidence: Evidence, verdict: Verdict) -> None:
    most_first = 1 + evidence.disruptions + evidence.republications
    # With its deliveries a worker loses the confirms of the retries that it has published: one of them may have
    # arrived, is published again, and follows once more from the job, which is delivered again.
    most = most_first + evidence.disruptions
    again = evidence.disruptions * IN_HAND + evidence.republications * UNCONFIRMED
    cause = (
        f"{evidence.disruptions} times a worker lost its deliveries, {evidence.republications} a producer its confirms"
    )
    if verdict.most_first > most_first:
        verdict.violations.append(f"a first attempt was run {verdict.most_first} times, though but {cause}")
    if verdict.most_executions > most:
        verdict.violations.append(f"an attempt was run {verdict.most_executions} times, though but {cause}")
    if verdict.executed_again > again:
        verdict.violations.append(f"{verdict.executed_again} executions too many, though but {cause}")


def _judge_cancelling(
    job: Job, told: Told, visible: Sequence[Seen], verdict: Verdict, *, wrong: Callable[[str], None]
) -> None:
    codes = {result.code for result in visible}
    verdict.cancelled += "CANCELLED" in codes
    if "CANCELLED" in codes and not told.cancelled:
        wrong("it was cancelled, which nobody had asked for")
    if job.kind == "cancelled" and codes - {"", "CANCELLED"}:
        wrong(f"it was to be cancelled and ended with {', '.join(sorted(codes))}")


def _judge_end(
    job: Job, visible: Sequence[Seen], dead: Sequence[str], verdict: Verdict, *, wrong: Callable[[str], None]
) -> None:
    if dead:
        verdict.dead += 1
        verdict.dead_twice += len(dead) - 1
    for result in visible:
        allowed = MAY_FAIL_WITH.get(job.kind, set())
        if result.nonce is not None and job.kind in MUST_FAIL:
            wrong("it succeeded, which it cannot")
        if result.nonce is None and result.code not in allowed:
            verdict.unexpected[result.code] += 1
            verdict.surprises.append(f"{job.id} ({job.kind}, {job.mode}) ended with {result.code}: {result.message}")
        died = result.nonce is None and result.code not in NOT_KEPT
        if died and not dead:
            wrong(f"it ended with {result.code} and is not in the dead queue")
        if dead and not died:
            wrong(f"it is in the dead queue ({', '.join(dead)}), but its result is {result}")
