"""Several jobs in one call, in the child of a queue in which a task has a batch.

A call that fails says nothing of its jobs but the first exception. So its halves are called anew, and theirs, until a
job that fails stands alone: that one has failed, the others have their results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from itertools import islice
from typing import Any, Final, TypeAlias

from penstock.domain.outcome import OutcomeKind
from penstock.lanes.frames import Frame, Kind
from penstock.lanes.runner.answers import Answer
from penstock.lanes.runner.attempt import Attempt, Ended
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.stop import Interrupt, Stop
from penstock.wire.failure import Failure
from penstock.wire.registry import ErrorCode

#: An attempt and the number of its frame.
_Numbered: TypeAlias = tuple[int, Attempt]
#: What has a length and yields as many things, and yet is no list of results.
_NO_SEQUENCES: Final = (str, bytes, bytearray, AbstractSet)


class _UnfitError(Exception):
    """The function has not returned a result for each job."""


def serve(channel: Channel, executor: Executor, interrupt: Interrupt) -> None:
    """Answer each JOB, those that a BATCH announces together; return when the parent closes.

    A job that is called alone may be interrupted, those of a batch are not.
    """
    frames = iter(channel)
    for frame in frames:
        group = list(islice(frames, frame.meta[0])) if frame.kind == Kind.BATCH else [frame]
        for answers in run(executor, group, interrupt.job):
            channel.send_all(Kind.OUTCOME, answers)


def run(
    executor: Executor, frames: Iterable[Frame], stop_of: Callable[[int], Stop | None] = lambda _: None
) -> Iterator[list[tuple[int, Answer]]]:
    """The answers to JOBs with their numbers, those of one call at once, before the next one is made.

    What cannot be called (the deadline has passed, the arguments are wrong) is answered before the others are, so that
    it has its answer should they end the child.
    """
    groups: dict[tuple[str, int], list[_Numbered]] = {}
    for frame in frames:
        attempt = executor.begin(frame.meta, frame.body, frame.fd, stop_of(frame.number), frame.number)
        if attempt.ended is None and attempt.task.batch is not None:
            # Only the body tells the version for certain.
            groups.setdefault((attempt.job.task, attempt.job.tv), []).append((frame.number, attempt))
        else:
            yield [(frame.number, executor.finish(attempt))]
    for group in groups.values():
        for part in _bisected(group):
            yield [(number, executor.end(attempt)) for number, attempt in part]


def _bisected(group: list[_Numbered]) -> Iterator[list[_Numbered]]:
    """The attempts that a call has ended; the jobs are called together, or in parts when that fails."""
    parts = [group]
    while parts:
        part = parts.pop()
        attempts = [attempt for _, attempt in part]
        try:
            results = _called(attempts)
        except BaseException as error:  # noqa: BLE001 -- user code may raise anything, SystemExit and a Rust panic included
            if len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            results = [error]
        for attempt, result in zip(attempts, results, strict=True):
            attempt.ended = _ended(attempt, result)
        yield part


def _called(attempts: Sequence[Attempt]) -> Sequence[Any]:
    """One call: a result for each attempt."""
    for attempt in attempts:
        # However often it is called until it stands alone, that is one attempt.
        attempt.tries = 1
    first = attempts[0].task
    # Its own dicts for each call: the function may change them.
    jobs = [{**first.binding.defaults, **attempt.keywords} for attempt in attempts]
    stop = attempts[0].stop
    # The parent has nobody interrupted who shares a call; its time is over for all of them.
    with stop if len(attempts) == 1 else nullcontext(), stop.limit(first.soft_timeout_s):
        returned = first.function(jobs)
    # A mapping or a table yields its keys.
    if isinstance(returned, _NO_SEQUENCES) or hasattr(returned, "keys") or not hasattr(returned, "__len__"):
        kind = type(returned).__name__
        raise _UnfitError(f"{first.spec.name}: a batch returns a list with a result for each job, not {kind}")
    results = list(returned)
    if len(results) != len(jobs):
        text = f"{first.spec.name}: the batch returned {len(results)} results for {len(jobs)} jobs"
        raise _UnfitError(text)
    return results


def _ended(attempt: Attempt, result: Any) -> Ended:
    if isinstance(result, _UnfitError):
        failure = Failure(code=ErrorCode.RESULT_INVALID, message=str(result), retryable=False)
        return Ended(OutcomeKind.RAISED, failure=failure)
    if isinstance(result, BaseException):
        return attempt.raised(result)
    return Ended(OutcomeKind.SUCCEEDED, result)
