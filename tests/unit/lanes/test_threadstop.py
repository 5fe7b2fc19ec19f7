"""Jobs in threads are interrupted in their own code, once, at whatever moment the time comes."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from penstock import Queue, Retry, SoftTimeoutError, Threads, current_job
from penstock.lanes.runner import threadstop
from penstock.lanes.runner.alarms import Alarms
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.threadstop import ThreadStop
from penstock.schema.library import Library
from penstock.wire.result import decode_result
from tests.helpers.wait import until
from tests.unit.builders import JOB_ID, job_body

META = ["stats.norm", JOB_ID, 1, None, None, 10_000, 0]


@pytest.fixture(scope="module")
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def stop(alarms: Alarms) -> ThreadStop:
    return ThreadStop(alarms, lambda: None)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job has hardly time to look."""
    monkeypatch.setattr(threadstop, "_LOOK_S", 0.02)


def executor(function: Callable[..., Any], **options: Any) -> Executor:
    queue = Queue("stats", lane=Threads(2))
    queue.task(name="norm", **options)(function)
    return Executor(queue, Library("contracts/tasks"), worker="w", max_body_bytes=100_000)


def forever() -> None:
    while True:
        time.sleep(0.001)


def test_a_job_that_does_not_look_is_interrupted(stop: ThreadStop, soon: None) -> None:
    def asked() -> None:
        stop.ask()
        forever()

    meta, _, _ = executor(asked).run(META, job_body(), None, stop)
    assert (meta[0], meta[5]) == ("raised", "Cancelled")


def test_a_job_that_looks_is_not_interrupted_on_its_way_out(stop: ThreadStop, soon: None) -> None:
    def looks() -> None:
        stop.ask()
        try:
            while not current_job().cancelled:
                time.sleep(0.001)
            stop.look()
        finally:
            end = time.monotonic() + 0.1  # longer than it has to look
            while time.monotonic() < end:
                time.sleep(0.001)

    meta, _, _ = executor(looks).run(META, job_body(), None, stop)
    assert (meta[0], meta[3]) == ("raised", "Cancelled: the job was cancelled")


def test_a_job_that_goes_on_after_its_soft_limit_can_be_cancelled(stop: ThreadStop, soon: None) -> None:
    def goes_on() -> None:
        try:
            forever()
        except SoftTimeoutError:
            stop.ask()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            time.sleep(0.001)

    meta, _, _ = executor(goes_on, soft_timeout=0.02).run(META, job_body(), None, stop)
    assert (meta[0], meta[5]) == ("raised", "Cancelled")


def test_a_job_that_has_ended_is_not_interrupted(alarms: Alarms, stop: ThreadStop, soon: None) -> None:
    executor(stop.ask).run(META, job_body(), None, stop)
    passed = threading.Event()
    alarms.set(0.05, passed.set)
    assert passed.wait(10)


def test_a_soft_limit_is_for_one_call_of_those_in_a_slot(stop: ThreadStop) -> None:
    # Given a task that runs too long in its first call
    calls: list[float] = []

    def first_late() -> str:
        calls.append(time.monotonic())
        if len(calls) == 1:
            forever()
        return "in time"

    # When it is called again in its slot, then its time begins anew
    child = executor(first_late, soft_timeout=0.05, retry=Retry(attempts=3, in_slot=1, base=0))
    _, body, _ = child.run(META, job_body(), None, stop)
    assert decode_result(body).value == "in time"
    assert len(calls) == 2


def test_what_is_done_unbroken_is_interrupted_afterwards(stop: ThreadStop) -> None:
    done: list[bool] = []

    def hold() -> None:
        with stop.limit(0.02), stop:
            stop.hold()
            until(lambda: stop.due, "the limit")
            done.append(True)
            stop.release()

    with pytest.raises(SoftTimeoutError, match=r"the soft limit of 0\.02 s is over"):
        hold()
    assert done


@pytest.mark.parametrize("held", [False, True])
def test_short_calls_are_interrupted_at_any_moment_in_their_own_code_only(
    alarms: Alarms, often: None, held: bool
) -> None:
    """What is raised comes out of the call, or not at all, and never twice."""
    outside: list[BaseException] = []

    def call(stop: ThreadStop, number: int) -> str:
        inside = False
        try:
            with stop.limit(number % 50 / 100_000), stop:
                inside = True
                for _ in range(number % 70):
                    if held:
                        stop.hold()
                        stop.release()
                    sum(range(20))
        except SoftTimeoutError:
            return "late" if inside else "never begun"
        return "done"

    def calls(first: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        try:
            stop = ThreadStop(alarms, lambda: None)
            end = time.monotonic() + 20
            for number in itertools.count(first):
                how = call(stop, number)
                # Were something still on its way, it would be raised in these steps.
                for _ in range(20):
                    pass
                counts[how] += 1
                if (counts.total() >= 4000 and counts["late"] > 0) or time.monotonic() > end:
                    break
        except BaseException as error:  # noqa: BLE001 -- it is what must not be
            outside.append(error)
        return counts

    with ThreadPoolExecutor(4) as pool:
        counted = list(pool.map(calls, range(4)))
    assert outside == []
    assert all(counts["late"] > 0 and counts["done"] > 0 for counts in counted)


@pytest.mark.parametrize("kind", [threading.Condition, logging.Handler])
def test_who_waits_for_a_lock_of_the_library_is_interrupted_when_it_has_let_go_of_it(
    alarms: Alarms, stop: ThreadStop, kind: Callable[[], Any]
) -> None:
    lock: Any = kind()
    waits, over = threading.Event(), threading.Event()

    def take() -> None:
        with stop.limit(0.02), stop:
            waits.set()
            if isinstance(lock, logging.Handler):
                lock.handle(logging.makeLogRecord({}))
            else:
                with lock:
                    pass
            forever()

    # Given a job that waits for a lock when its limit is over
    lock.emit = lambda _: None
    with ThreadPoolExecutor(1) as pool:
        lock.acquire()
        job = pool.submit(take)
        assert waits.wait(20)
        alarms.set(0.05, over.set)
        assert over.wait(20)

        # When it has the lock
        lock.release()
        with pytest.raises(SoftTimeoutError):
            job.result(20)

        # Then it has let go of it
        assert getattr(lock, "lock", lock).acquire(blocking=False)


def test_jobs_that_are_late_and_cancelled_at_once_end_with_an_outcome(
    monkeypatch: pytest.MonkeyPatch, alarms: Alarms
) -> None:
    """Whatever comes first, and however close the other follows."""
    monkeypatch.setattr(threadstop, "_LOOK_S", 0.0004)

    def goes_on() -> None:
        try:
            forever()
        except SoftTimeoutError:
            forever()

    child = executor(goes_on, soft_timeout=0.001)

    def jobs(first: int) -> Counter[str]:
        ends: Counter[str] = Counter()
        for number in range(first, first + 250):
            stop = ThreadStop(alarms, lambda: None)
            alarms.set(number % 25 / 25_000, stop.ask)
            meta, _, _ = child.run(META, job_body(), None, stop)
            ends[meta[5]] += 1
        return ends

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(jobs, range(4))) == [Counter(Cancelled=250)] * 4


def test_alarms_call_in_the_order_of_their_times_and_not_what_was_dropped(alarms: Alarms) -> None:
    called: list[str] = []
    alarms.set(0.06, lambda: called.append("third"))
    dropped = alarms.set(0.04, lambda: called.append("dropped"))
    alarms.set(0.02, lambda: called.append("first"))
    alarms.set(0.04, lambda: called.append("second"))
    alarms.drop(dropped)
    until(lambda: len(called) == 3, "the alarms")
    assert called == ["first", "second", "third"]


def test_a_generator_in_a_thread_is_told_at_its_yield(stop: ThreadStop) -> None:
    told: list[str] = []

    def generate() -> Iterator[int]:
        try:
            forever()
        except SoftTimeoutError as error:
            told.append(str(error))
        yield from ()

    with stop.limit(0.02), stop:
        assert list(generate()) == []
    assert told == ["the soft limit of 0.02 s is over"]


def test_a_call_outside_of_python_ends_first(stop: ThreadStop) -> None:
    # Given a job that waits for a pipe
    read, write = os.pipe()
    threading.Timer(0.1, os.write, (write, b"x")).start()

    # When its limit is over meanwhile, then it is interrupted when the pipe has something
    def wait() -> None:
        with stop.limit(0.02), stop:
            os.read(read, 1)
            forever()

    with pytest.raises(SoftTimeoutError):
        wait()
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    os.close(read)
    os.close(write)
