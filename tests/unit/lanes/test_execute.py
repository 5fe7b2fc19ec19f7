"""Executor: one attempt, from the bytes of a job to the bytes of its result."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import pytest

from penstock import Processes, Queue, Reject, Retry, RetryAfter, current_job
from penstock.lanes.runner.execute import Executor
from penstock.memory_file import MemoryFile
from penstock.schema.library import Library
from penstock.settings import MIN_MAX_BODY_BYTES
from penstock.wire.blob import Blob
from penstock.wire.compression import compressed, is_compressed
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.result import Result, decode_result
from tests.unit.builders import JOB_ID, job_body, job_id

WORKER = "shop.worker-1"


class Answer(NamedTuple):
    """An OUTCOME frame, taken apart."""

    kind: str
    run_us: int
    code: str | None
    message: str | None
    retryable: bool | None
    exc_type: str | None
    delay_s: float | None
    trace: str | None
    tries: int | None
    details: dict[str, Any] | None
    body: bytes

    @property
    def result(self) -> Result:
        return decode_result(self.body)


def attempt(
    function: Callable[..., Any],
    body: bytes | None = None,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    task: dict[str, Any] | None = None,
    **mirrors: Any,
) -> Answer:
    """Run `function` as the task `stats.norm`; the mirrors are those of `body` if nothing else is said."""
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm", **(task or {}))(function)
    executor = Executor(queue, Library("contracts/tasks"), worker=WORKER, max_body_bytes=max_body_bytes)
    says = {
        "task": "stats.norm",
        "job_id": JOB_ID,
        "attempt": 1,
        "version": None,
        "deadline": None,
        "fence": 10_000,
        "failures": 0,
        **mirrors,
    }
    return ran(executor, list(says.values()), job_body() if body is None else body)


def ran(executor: Executor, meta: list[Any], body: bytes) -> Answer:
    try:
        outcome, written, file = executor.run(meta, body)
    except BaseException as error:  # noqa: BLE001 -- it would end the child; a KeyboardInterrupt, pytest itself
        pytest.fail(f"{type(error).__name__} left the executor")
    assert file is None, "a short result goes in the frame"
    kind, run_us, *failed = outcome
    assert bool(written) is (kind == "succeeded"), "the child writes results of successes only"
    code, message, retryable, exc_type, delay_s, trace, tries, details = failed or [None] * 8
    return Answer(kind, run_us, code, message, retryable, exc_type, delay_s, trace, tries, details, written)


def nothing() -> None:
    return None


# ── success ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_gets_its_arguments_and_its_answer_goes_out() -> None:
    # Given a task and a job with arguments
    def norm(x: list[float], scale: float = 1.0) -> float:
        return scale * math.sqrt(sum(value * value for value in x))

    # When it runs
    before_ms = int(time.time() * 1000)
    answer = attempt(norm, job_body(args={"x": [3.0, 4.0]}), attempt=2)
    after_ms = int(time.time() * 1000)

    # Then outcome and result tell the story
    assert answer.kind == "succeeded"
    assert answer.code is None
    result = answer.result
    assert (result.job_id, result.task, result.tv, result.attempt) == (JOB_ID, "stats.norm", 1, 2)
    assert (result.value, result.error, result.worker) == (5.0, None, WORKER)
    assert result.started_at is not None
    assert before_ms <= result.started_at <= result.finished_at <= after_ms


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "ä", b"\x00", [], {"a": [1, {"b": None}]}])
def test_every_value_of_the_profile_comes_back(value: Any) -> None:
    assert attempt(lambda: value).result.value == value


def test_the_task_knows_the_job_that_it_runs() -> None:
    # Given a task that asks
    seen: list[Any] = []
    deadline = int(time.time() * 1000) + 60_000

    # When a job with a deadline and notes runs
    attempt(
        lambda: seen.append(current_job()),
        job_body(deadline=deadline, meta={"customer": "7"}),
        attempt=3,
        deadline=deadline,
        fence=30_002,
    )

    # Then it has seen them; and after the call nobody does
    (job,) = seen
    assert (job.id, job.task, job.attempt, job.meta) == (JOB_ID, "stats.norm", 3, {"customer": "7"})
    assert job.fence == 30_002
    assert 50 < job.remaining <= 60
    with pytest.raises(RuntimeError):
        current_job()


def test_the_time_of_the_call_is_measured() -> None:
    def busy() -> None:
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass

    assert 20_000 <= attempt(busy).run_us < 2_000_000


@pytest.mark.parametrize("says", [None, 2])
def test_the_result_carries_the_version_of_the_job_whether_or_not_a_header_mirrors_it(
    says: int | None,
) -> None:
    """PROFILE.md: when x-task-version is omitted, the body counts."""
    answer = attempt(nothing, job_body(tv=2), task={"version": 2}, version=says)
    assert answer.kind == "succeeded"
    assert answer.result.tv == 2


# ── what user code raises ───────────────────────────────────────────────────────────────────────────


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def task() -> NoReturn:
        raise error

    return task


def test_an_exception_is_told_by_kind_and_text_and_its_traceback_stays_at_home() -> None:
    # Given a task that fails
    answer = attempt(raising(ValueError("no such customer")), attempt=2)

    # When its outcome is read, then the caller may see type and text
    assert (answer.kind, answer.code, answer.message) == ("raised", "TASK_ERROR", "ValueError: no such customer")
    assert (answer.exc_type, answer.retryable, answer.delay_s) == ("ValueError", False, None)
    assert answer.tries == 1

    # And the log alone sees the traceback, from the task's own line on
    assert answer.trace is not None
    assert answer.trace.startswith("Traceback (most recent call last):\n")
    assert "raise error" in answer.trace
    assert "runner/execute.py" not in answer.trace


def test_an_exception_without_a_text_is_told_by_its_kind() -> None:
    assert attempt(raising(KeyError())).message == "KeyError"


def test_the_text_of_an_exception_is_one_line_and_not_too_long() -> None:
    message = attempt(raising(ValueError("a\nb" + "x" * 5000))).message
    assert message is not None
    assert message.startswith("ValueError: a b")
    assert len(message.encode()) <= 1024


class WordlessError(Exception):
    """An exception of a library that cannot tell its own text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class OutsideError(BaseException):
    """What some native bindings raise for a panic: no Exception."""


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        SystemExit(),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        OutsideError("panicked"),
        WordlessError(),
        ExceptionGroup("many", [ValueError("a"), KeyError("b")]),
        BaseExceptionGroup("many", [KeyboardInterrupt()]),
        RecursionError("too deep"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_task_raises_is_an_outcome(error: BaseException) -> None:
    """An exception here would end the child, and take the blame to a job that only failed."""
    answer = attempt(raising(error))
    assert (answer.kind, answer.code) == ("raised", "TASK_ERROR")
    assert answer.message is not None
    assert answer.message.startswith(type(error).__name__)


def test_a_task_that_calls_sys_exit_ends_its_job_and_not_its_child() -> None:
    answer = attempt(lambda: sys.exit("licence expired"))
    assert (answer.kind, answer.message) == ("raised", "SystemExit: licence expired")


# ── retries ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_exception_that_the_policy_names_comes_with_the_delay_of_its_attempt() -> None:
    # Given a policy
    policy = Retry(attempts=3, base=2, cap=60, on=(OSError,))

    # When attempt 2 fails with such an exception
    answer = attempt(raising(ConnectionError("down")), task={"retry": policy}, attempt=2)

    # Then it is retryable after the delay of this attempt of this job
    assert (answer.retryable, answer.delay_s) == (True, policy.delay(2, JOB_ID))


@pytest.mark.parametrize(
    "policy",
    [
        Retry(attempts=3, on=(OSError,)),
        Retry(attempts=3, never=(ValueError,)),
        None,
    ],
)
def test_an_exception_that_the_policy_does_not_name_is_final(policy: Retry | None) -> None:
    answer = attempt(raising(ValueError("no")), task={"retry": policy})
    assert (answer.retryable, answer.delay_s) == (False, None)


class QuotaError(RetryAfter):
    """A class of a user's own that forgets its base."""

    def __init__(self) -> None:
        Exception.__init__(self, "quota used up")


@pytest.mark.parametrize("task", [{}, {"retry": Retry(never=Exception)}, {"retry": Retry(attempts=1)}])
def test_a_task_may_ask_to_be_tried_again_after_so_many_seconds(task: dict[str, Any]) -> None:
    # Given a task that is told to come back in an hour, whatever its policy says
    answer = attempt(raising(RetryAfter(3600, "rate limit")), task=task)

    # When, then the parent is told; whether there is an attempt left is for it to judge
    assert (answer.kind, answer.code, answer.message) == ("raised", "TASK_ERROR", "RetryAfter: rate limit")
    assert (answer.retryable, answer.delay_s) == (True, 3600.0)


def test_a_class_of_the_users_own_that_does_not_say_how_long_is_an_outcome_too() -> None:
    answer = attempt(raising(QuotaError()))
    assert (answer.kind, answer.retryable, answer.delay_s) == ("raised", True, 0.0)


def test_a_task_may_reject_its_job_for_good() -> None:
    answer = attempt(raising(Reject("no such customer")), task={"retry": Retry(attempts=5)})
    assert (answer.kind, answer.code, answer.message) == ("raised", "REJECTED", "Reject: no such customer")
    assert (answer.retryable, answer.delay_s, answer.exc_type) == (False, None, "Reject")


# ── retries within the slot ─────────────────────────────────────────────────────────────────────────

QUICK = Retry(attempts=3, base=0.001, cap=0.001, jitter="none", in_slot=0.001)


class Flaky:
    """A task that fails so many times, and what it saw of its job."""

    __name__ = "flaky"

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.failures = failures
        self.error = error or ValueError("not yet")
        self.seen: list[Any] = []

    def __call__(self) -> str:
        self.seen.append(current_job())
        if len(self.seen) <= self.failures:
            raise self.error
        return "done"


def test_a_task_that_fails_for_a_moment_answers_from_the_same_slot() -> None:
    # Given a task that fails twice, as the fourth and fifth attempt of its job
    flaky = Flaky(2)
    answer = attempt(flaky, task={"retry": QUICK}, attempt=4, fence=40_000)

    # When it has answered, then each try saw its own number, and the result has the last one
    assert answer.kind == "succeeded"
    assert [job.attempt for job in flaky.seen] == [4, 5, 6]
    assert {job.fence for job in flaky.seen} == {40_000}
    assert (answer.result.value, answer.result.attempt) == ("done", 6)


def test_the_parent_is_told_how_many_attempts_were_made_in_the_slot() -> None:
    # Given a task that never answers, and a job that has failed once before
    answer = attempt(Flaky(99), task={"retry": QUICK}, attempt=2, failures=1)

    # When its attempts are used up, then two more were made
    assert (answer.kind, answer.tries, answer.retryable) == ("raised", 2, True)
    assert answer.delay_s == QUICK.delay(3, JOB_ID)


def test_the_traceback_of_a_try_in_the_slot_begins_in_the_task() -> None:
    answer = attempt(Flaky(99), task={"retry": QUICK})
    assert answer.trace is not None
    assert "tenacity" not in answer.trace
    assert "runner/execute.py" not in answer.trace
    assert "raise self.error" in answer.trace


@pytest.mark.parametrize("error", [Reject("no"), SystemExit(2), RetryAfter(30)], ids=lambda e: type(e).__name__)
def test_what_is_not_tried_again_at_once_ends_the_slot(error: BaseException) -> None:
    answer = attempt(Flaky(99, error), task={"retry": QUICK})
    assert (answer.kind, answer.tries) == ("raised", 1)


def test_a_result_that_cannot_travel_is_counted_with_its_tries() -> None:
    # Given a task that fails once and then answers with what no message can carry
    calls: list[int] = []

    def task() -> object:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not yet")
        return object()

    answer = attempt(task, task={"retry": QUICK})
    assert (answer.code, answer.tries, answer.delay_s) == ("RESULT_INVALID", 2, None)


# ── refused before the call ─────────────────────────────────────────────────────────────────────────


def refused(answer: Answer, code: str, *words: str, kind: str = "undecodable") -> None:
    """The job was answered without a call, for this reason."""
    assert (answer.kind, answer.code, answer.retryable, answer.delay_s) == (kind, code, False, None)
    assert answer.message is not None
    assert [word for word in words if word not in answer.message] == []
    assert (answer.exc_type, answer.trace) == (None, None)


def never() -> NoReturn:
    pytest.fail("the task was called")


def test_arguments_that_do_not_fit_are_refused_by_name() -> None:
    refused(attempt(never, job_body(args={"z": 1})), "INVALID_ARGS", "stats.norm: unknown z")


def test_a_task_that_is_not_there_is_refused_with_those_that_are() -> None:
    # Given a queue with the task stats.norm
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm")(never)
    executor = Executor(queue, Library("contracts/tasks"), worker=WORKER, max_body_bytes=MAX_BODY_BYTES)

    # When a job for another comes
    answer = ran(executor, ["stats.other", JOB_ID, 1, None, None, 10_000, 0], job_body(task="stats.other"))

    # Then the answer names both
    refused(answer, "UNSUPPORTED_TASK", "stats.other: no such task", "stats.norm")


@pytest.mark.parametrize(
    ("body", "mirrors", "words"),
    [
        (job_body(task="stats.other"), {}, ("routing key and task", "stats.other", "stats.norm")),
        (job_body(id=job_id(5)), {}, ("message_id and id", job_id(5), JOB_ID)),
        (job_body(tv=2), {"version": 1}, ("x-task-version and tv", "1", "2")),
        (job_body(tv=1), {"version": 2}, ("x-task-version and tv",)),
        (job_body(), {"deadline": 2**45}, ("x-deadline and deadline", str(2**45), "None")),
        (job_body(deadline=2**45 + 1), {"deadline": 2**45}, ("x-deadline and deadline",)),
    ],
)
def test_a_header_that_disagrees_with_the_body_is_refused(
    body: bytes, mirrors: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused(attempt(never, body, **mirrors), "ENVELOPE_MISMATCH", *words)


def test_a_header_that_is_absent_disagrees_with_nothing() -> None:
    body = job_body(deadline=2**45)
    assert attempt(nothing, body, version=None, deadline=None).kind == "succeeded"


def test_a_job_for_another_version_of_the_task_is_refused() -> None:
    answer = attempt(never, job_body(tv=2))
    refused(answer, "UNSUPPORTED_TASK_VERSION", "version 2 was asked for", "serves version 1")


@pytest.mark.parametrize(("version", "value"), [(1, "old"), (2, "new")])
@pytest.mark.parametrize("header", [True, False])
def test_a_job_runs_the_version_that_its_body_asks_for(version: int, value: str, header: bool) -> None:
    # Given a task in two versions
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm")(lambda: "old")
    queue.task(name="norm", version=2)(lambda: "new")
    executor = Executor(queue, Library("contracts/tasks"), worker=WORKER, max_body_bytes=MAX_BODY_BYTES)

    # When a job asks for one of them, in a header too or in the body alone
    mirrors = ["stats.norm", JOB_ID, 1, version if header else None, None, 10_000, 0]
    answer = ran(executor, mirrors, job_body(tv=version))

    # Then that one is run, and the result says so
    assert (answer.result.value, answer.result.tv) == (value, version)


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_job_whose_deadline_has_passed_is_not_started(mirrored: bool) -> None:
    past = int(time.time() * 1000)
    answer = attempt(never, job_body(deadline=past), deadline=past if mirrored else None)
    refused(answer, "EXPIRED", "deadline passed", kind="expired")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "BAD_ENVELOPE"),
        (b"\xc1", "BAD_ENVELOPE"),
        (b"{}", "BAD_ENVELOPE"),
        (b"\x80", "BAD_ENVELOPE"),
        (job_body()[:-1], "BAD_ENVELOPE"),
        (job_body() + b"\x00", "BAD_ENVELOPE"),
        (job_body().replace(b"\xa1v\x01", b"\xa1v\x02"), "UNSUPPORTED_ENVELOPE"),
    ],
)
def test_a_body_that_breaks_the_rules_is_refused_with_its_code(body: bytes, code: str) -> None:
    refused(attempt(never, body), code)


def test_a_body_that_is_too_long_is_refused() -> None:
    body = job_body(args={"x": bytes(5000)})
    refused(attempt(never, body, max_body_bytes=2048), "TOO_LARGE", "2048")


# ── results that cannot travel ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [object(), {1: 2}, {1, 2}, 2**63, "\ud800", [1, {"a": object()}]])
def test_an_answer_that_cannot_travel_is_an_error_that_says_so(value: Any) -> None:
    # Given a task whose answer msgpack cannot carry
    answer = attempt(lambda: value, task={"retry": Retry(attempts=3)})

    # When it is encoded, then the attempt has failed for good
    assert (answer.kind, answer.code) == ("raised", "RESULT_INVALID")
    assert (answer.retryable, answer.delay_s, answer.tries) == (False, None, 1)


def test_an_answer_that_is_too_large_is_an_error_that_names_the_limit() -> None:
    answer = attempt(lambda: bytes(5000), max_body_bytes=2048)
    assert (answer.kind, answer.code, answer.retryable) == ("raised", "RESULT_TOO_LARGE", False)
    assert answer.message is not None
    assert "2048" in answer.message


class Hostile:
    """An answer whose own code misbehaves while it is read."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def tolist(self) -> NoReturn:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(1), KeyboardInterrupt(), OutsideError(), WordlessError()],
    ids=lambda error: type(error).__name__,
)
def test_an_answer_that_raises_while_it_is_encoded_is_an_outcome_too(error: BaseException) -> None:
    answer = attempt(lambda: Hostile(error))
    assert (answer.kind, answer.code) == ("raised", "RESULT_INVALID")


@pytest.mark.parametrize("length", [0, 100, 1000, 100_000])
def test_a_failure_travels_whole_though_bodies_may_be_small(length: int) -> None:
    """The caller must read what the task said, not that its text was 80 bytes too long."""
    # Given the smallest limit that settings allow, and exceptions with long texts and names
    error = type("E" * max(1, length), (ValueError,), {})("ä" * length)
    answer = attempt(raising(error), max_body_bytes=MIN_MAX_BODY_BYTES, task={"retry": Retry(attempts=3)})

    # When the failure is told, then it is still the task's, and so is its retry
    assert (answer.code, answer.retryable) == ("TASK_ERROR", True)
    assert answer.message is not None
    assert len(answer.message.encode()) <= 1024
    assert answer.delay_s is not None


# ── long and compressed bodies ──────────────────────────────────────────────────────────────────────

SHORT = 4096


def long_attempt(
    function: Callable[..., Any], body: bytes, *, sha256: str | None = None, max_result: int = 0, fd: int | None = None
) -> tuple[list[Any], bytes, MemoryFile | None]:
    """Run `function` on a body that comes as a file, in a child that takes 4 KiB in a frame and 100 KiB as a file."""
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm")(function)
    executor = Executor(
        queue, Library("contracts/tasks"), worker=WORKER, max_body_bytes=SHORT, max_blob_bytes=100 * 1024
    )
    if fd is None:
        file = MemoryFile.holding(body)
        fd = os.dup(file.fileno())
    meta = ["stats.norm", JOB_ID, 1, None, None, 10_000, 0, max_result, sha256 or Blob.of(body).sha256]
    return executor.run(meta, b"", fd)


def code_of(answer: tuple[list[Any], bytes, MemoryFile | None]) -> tuple[str, str]:
    meta, body, file = answer
    assert (body, file) == (b"", None)
    return meta[0], meta[2]


def length(x: bytes) -> int:
    return len(x)


def test_a_body_that_came_as_a_file_is_read_from_it() -> None:
    meta, body, file = long_attempt(length, job_body(args={"x": bytes(50_000)}))
    assert (meta[0], decode_result(body).value, file) == ("succeeded", 50_000, None)


def test_a_file_with_other_bytes_than_were_announced_is_refused() -> None:
    body = job_body(args={"x": bytes(50_000)})
    assert code_of(long_attempt(never, body, sha256="ab" * 32)) == ("undecodable", "BLOB_UNAVAILABLE")


def test_a_file_that_did_not_arrive_is_refused() -> None:
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm")(never)
    executor = Executor(queue, Library("contracts/tasks"), worker=WORKER, max_body_bytes=SHORT)
    meta = ["stats.norm", JOB_ID, 1, None, None, 10_000, 0, 0, "ab" * 32]
    assert code_of(executor.run(meta, b"", None)) == ("undecodable", "BLOB_UNAVAILABLE")


def test_a_file_that_is_longer_than_the_child_takes_is_refused() -> None:
    assert code_of(long_attempt(never, job_body(args={"x": bytes(200_000)}))) == ("undecodable", "TOO_LARGE")


def test_a_result_too_long_for_a_frame_is_a_file_when_its_requester_takes_it() -> None:
    meta, body, file = long_attempt(lambda x: x, job_body(args={"x": bytes(50_000)}), max_result=60_000)
    assert file is not None
    written = file.read(100_000, 0)
    assert (meta[0], body, meta[2]) == ("succeeded", b"", Blob.of(written).sha256)
    assert decode_result(written).value == bytes(50_000)


@pytest.mark.parametrize("most", [0, 40_000])
def test_a_result_is_no_longer_than_its_requester_takes(most: int) -> None:
    answer = long_attempt(lambda x: x, job_body(args={"x": bytes(50_000)}), max_result=most)
    assert code_of(answer) == ("raised", "RESULT_TOO_LARGE")
    assert str(most or SHORT) in answer[0][3]


def test_a_result_is_no_longer_than_the_child_writes() -> None:
    answer = long_attempt(lambda x: x * 3, job_body(args={"x": bytes(50_000)}), max_result=10**9)
    assert code_of(answer) == ("raised", "RESULT_TOO_LARGE")


def test_who_sends_a_compressed_body_gets_a_compressed_result() -> None:
    body = compressed(job_body(args={"x": bytes(50_000)}))
    assert is_compressed(body)
    answer = attempt(lambda x: x, body)
    assert is_compressed(answer.body)
    assert answer.result.value == bytes(50_000)
    assert not is_compressed(attempt(lambda x: x, job_body(args={"x": bytes(50_000)})).body)


def test_a_long_result_is_a_file_however_short_it_is_compressed() -> None:
    """Who reads a message inflates no more than a message may hold."""
    meta, body, file = long_attempt(lambda x: x, compressed(job_body(args={"x": bytes(50_000)})), max_result=60_000)
    assert (meta[0], body) == ("succeeded", b"")
    assert file is not None
    assert file.size < SHORT
    assert decode_result(file.read(SHORT, 0)).value == bytes(50_000)


def test_a_body_that_inflates_to_more_than_a_body_may_hold_is_refused() -> None:
    body = compressed(job_body(args={"x": bytes(50_000)}))
    refused(attempt(never, body, max_body_bytes=SHORT), "TOO_LARGE", "inflates", str(SHORT))
