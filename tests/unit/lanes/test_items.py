"""What a child sends while a job runs: items, held back until there is credit, and progress, not too much of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from penstock import Async, Cancelled, Processes, Queue, SoftTimeoutError, Threads, current_job
from penstock.lanes.frames import Frame, Kind, Reader, pack
from penstock.lanes.runner.alarms import Alarms
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.credit import LoopCredit, OwnCredit, ThreadCredit
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.softlimit import SoftLimit
from penstock.lanes.runner.stop import Flag, Interrupt
from penstock.lanes.runner.threadstop import ThreadStop
from penstock.memory_file import MemoryFile
from penstock.schema.library import Library
from penstock.wire.codec import decode
from penstock.wire.registry import MAX_BODY_BYTES, MAX_PROGRESS_TEXT_BYTES, STREAM_WINDOW
from penstock.wire.result import decode_result
from tests.helpers.wait import until
from tests.unit.builders import JOB_ID, job_body

NUMBER = 7


class Line:
    """A child's end of a line to a parent, and the parent's end in the hands of a test."""

    def __init__(self, credit: Any = None) -> None:
        self.parent, child = socket.socketpair()
        self.parent.setblocking(False)
        self.credit: Any = credit or OwnCredit()
        self.channel = Channel(child, self.credit)
        if isinstance(self.credit, OwnCredit):
            self.credit.channel = self.channel
        self.outlet = Outlet(self.channel, self.credit)
        self._child = child
        self._reader = Reader()
        self._frames: list[Frame] = []

    def close(self) -> None:
        self.parent.close()
        self._child.close()

    def grant(self, upto: int | None, number: int = NUMBER) -> bytes:
        return pack(Kind.GRANT, number, [upto])

    @property
    def frames(self) -> list[Frame]:
        """What the parent has got so far."""
        try:
            while data := self.parent.recv(65536):
                self._frames += self._reader.feed(data)
        except BlockingIOError:
            pass
        return self._frames

    @property
    def items(self) -> list[Any]:
        found = [frame for frame in self.frames if frame.kind == Kind.ITEM]
        assert [frame.meta for frame in found] == [[seq] for seq in range(len(found))]
        assert {frame.number for frame in found} <= {NUMBER}
        return [decode(frame.body) for frame in found]


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def executor(line: Line, function: Callable[..., Any], lane: Any = None, **limits: Any) -> Executor:
    queue = Queue("stats", lane=lane or Processes(1))
    queue.task(name="norm", soft_timeout=limits.pop("soft", None))(function)
    given = {"max_body_bytes": MAX_BODY_BYTES, **limits}
    return Executor(queue, Library("contracts/tasks"), worker="w", outlet=line.outlet, **given)


def meta(*, stores: bool = False) -> list[Any]:
    return ["stats.norm", JOB_ID, 1, None, None, 10_000, 0, 0, None, stores]


def run(line: Line, function: Callable[..., Any], stop: Any = None, *, stores: bool = False, **limits: Any) -> Any:
    return executor(line, function, **limits).run(meta(stores=stores), job_body(), None, stop, NUMBER)


def numbers(count: int) -> Callable[[], Generator[int, None, int]]:
    def generate() -> Generator[int, None, int]:
        yield from range(count)
        return count

    return generate


# ── items ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_generator_yields_is_sent_and_what_it_returns_is_the_result(line: Line) -> None:
    _, body, _ = run(line, numbers(3))
    assert line.items == [0, 1, 2]
    result = decode_result(body)
    assert (result.value, result.items) == (3, 3)


def test_other_tasks_have_no_items(line: Line) -> None:
    _, body, _ = run(line, lambda: 1)
    assert decode_result(body).items is None


def test_items_beyond_the_credit_wait_for_it_and_other_frames_for_their_turn(line: Line) -> None:
    # Given a job that was sent ahead before the parent grants anything
    ahead = pack(Kind.JOB, 8, ["another"], b"body")
    line.parent.send(line.grant(100, number=3) + ahead + line.grant(STREAM_WINDOW + 1) + line.grant(5))
    line.parent.send(line.grant(None))

    # When a job needs more than the window
    _, body, _ = run(line, numbers(3 * STREAM_WINDOW))

    # Then it has it, and the other job is next
    assert decode_result(body).items == 3 * STREAM_WINDOW
    assert next(iter(line.channel)) == Frame(Kind.JOB, 8, ["another"], b"body")


def test_a_parent_that_is_gone_ends_the_wait(line: Line) -> None:
    line.parent.shutdown(socket.SHUT_WR)
    said, _, _ = run(line, numbers(STREAM_WINDOW + 1))
    assert (said[0], said[5]) == ("raised", "BrokenPipeError")


def test_items_that_are_to_be_stored_have_a_limit_together(line: Line) -> None:
    def generate() -> Iterator[bytes]:
        while True:
            yield b"x" * 94  # with its header 96, with its length 100

    limits = {"max_body_bytes": 500, "max_blob_bytes": 1000}
    said, _, _ = run(line, generate, stores=True, **limits)
    assert (said[2], said[3]) == (
        "RESULT_TOO_LARGE",
        "the items up to number 10 are 1100 bytes long; the limit is 1000",
    )
    assert len(line.items) == 10


@pytest.mark.parametrize(
    ("item", "code", "text"),
    [
        (b"x" * 500, "RESULT_TOO_LARGE", "item 1: the value: here the body grows beyond 499 bytes"),
        (object(), "RESULT_INVALID", "item 1: "),
    ],
)
def test_an_item_that_cannot_travel_ends_the_attempt_and_closes_the_task(
    line: Line, item: object, code: str, text: str
) -> None:
    closed: list[str] = []

    def generate() -> Iterator[object]:
        try:
            yield 0
            yield item
            closed.append("it went on")
        finally:
            closed.append("closed")

    said, _, _ = run(line, generate, max_body_bytes=500)
    assert (said[2], closed) == (code, ["closed"])
    assert said[3].startswith(text)
    assert line.items == [0]


def test_what_a_task_does_when_it_is_closed_does_not_hide_which_item_cannot_travel(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    def stubborn() -> Iterator[object]:
        try:
            yield object()
        finally:
            yield 1

    def faulty() -> Iterator[object]:
        try:
            yield object()
        finally:
            raise ValueError("no good")

    for task, why in ((stubborn, "ignored GeneratorExit"), (faulty, "ValueError: no good")):
        said, _, _ = run(line, task)
        assert said[2] == "RESULT_INVALID"
        assert said[3].startswith("item 0: ")
        assert why in capsys.readouterr().err
    assert line.items == []


def test_what_a_coroutine_does_when_it_is_closed_does_not_hide_which_item_cannot_travel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = Line(LoopCredit())

    async def faulty() -> AsyncIterator[object]:
        try:
            yield object()
        finally:
            raise ValueError("no good")

    child = executor(line, faulty, Async(1))
    said, _, _ = asyncio.run(child.run_coroutine(meta(), job_body(), None, Flag(), NUMBER))
    assert said[2] == "RESULT_INVALID"
    assert "ValueError: no good" in capsys.readouterr().err
    line.close()


def test_the_traceback_of_a_task_that_yields_begins_in_the_task(line: Line) -> None:
    def generate() -> Iterator[int]:
        yield 0
        raise ValueError("no good")

    said, _, _ = run(line, generate)
    assert (said[2], said[3]) == ("TASK_ERROR", "ValueError: no good")
    assert said[7].splitlines()[1].endswith("in generate")


# ── interruptions ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def file() -> Iterator[MemoryFile]:
    """Where the parent says which job is to end."""
    before = signal.getsignal(signal.SIGINT)
    made = MemoryFile.make()
    yield made
    made.close()
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupt(file: MemoryFile) -> Interrupt:
    made = Interrupt(os.dup(file.fileno()))
    made.listen()
    return made


def announce(file: MemoryFile) -> None:
    """What the parent does."""
    file.write(NUMBER.to_bytes(4, "big"), 0)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_job_is_cancelled_where_it_waits_and_no_byte_of_the_line_is_lost(
    line: Line, file: MemoryFile, interrupt: Interrupt
) -> None:
    # Given a job that waits for credit, half of which has come
    grant = line.grant(None)
    line.parent.send(grant[:5])
    later = threading.Timer(0.05, announce, (file,))

    def generate() -> Generator[int, None, str]:
        try:
            yield from range(STREAM_WINDOW)
            later.start()
            yield STREAM_WINDOW
        except Cancelled:
            line.parent.send(grant[5:])
        for number in range(100):
            yield STREAM_WINDOW + number
        return "saved"

    # When it is cancelled, and goes on with what it has
    _, body, _ = run(line, generate, interrupt.job(NUMBER))

    # Then the credit counts once the other half is there, and no number is used twice
    assert decode_result(body).value == "saved"
    assert line.items == list(range(STREAM_WINDOW + 100))
    later.join()


def test_a_cancellation_that_comes_while_a_frame_is_sent_is_raised_after_it(
    file: MemoryFile, interrupt: Interrupt
) -> None:
    stop = interrupt.job(NUMBER)
    done: list[str] = []

    def call() -> None:
        with stop:
            stop.hold()
            announce(file)
            done.append("held")
            stop.release()
            done.append("released")

    with pytest.raises(Cancelled):
        call()
    assert done == ["held"]


def test_a_job_that_was_interrupted_once_is_not_again_at_the_end_of_a_frame(
    file: MemoryFile, interrupt: Interrupt
) -> None:
    stop = interrupt.job(NUMBER)
    with stop:
        with pytest.raises(Cancelled):
            announce(file)
        stop.hold()
        announce(file)
        stop.release()


def test_a_soft_limit_that_comes_while_a_frame_is_sent_is_raised_after_it() -> None:
    limit = SoftLimit(0.01)
    with limit:
        limit.hold()
        until(lambda: limit._missed, "the alarm")
        with pytest.raises(SoftTimeoutError):
            limit.release()
        limit.hold()
        limit.release()


def test_a_thread_that_waits_for_credit_is_told_that_its_job_is_to_end_and_told_once() -> None:
    # Given a job in a thread that waits
    line, stop = Line(ThreadCredit()), Flag()
    told: list[str] = []

    def generate() -> Iterator[int]:
        try:
            yield from range(STREAM_WINDOW + 1)
        except Cancelled:
            told.append("cancelled")
        yield 1
        yield 2

    answers: list[Any] = []
    child = executor(line, generate, Threads(1))
    thread = threading.Thread(target=lambda: answers.append(child.run(meta(), job_body(), None, stop, NUMBER)))
    thread.start()
    until(lambda: len(line.items) == STREAM_WINDOW, "the window is full")

    # When it is cancelled, and then given credit
    stop.asked = True
    line.credit.look()
    until(lambda: told, "it is told")
    line.parent.send(line.grant(None))
    line.channel.take()
    thread.join(10)

    # Then it goes on as it likes
    assert told == ["cancelled"]
    assert decode_result(answers[0][1]).items == STREAM_WINDOW + 2
    line.close()


def test_a_generator_in_a_thread_that_was_cancelled_between_its_yields_is_told_once() -> None:
    # Given a job that is interrupted in its own code
    line = Line(ThreadCredit())
    stop = ThreadStop(Alarms(), line.credit.look)

    def generate() -> Generator[str, None, str]:
        stop.ask()
        try:
            while True:
                time.sleep(0.001)
        except Cancelled:
            yield "what there is"
        return "tidied up"

    # When it yields after that, then it is not told again
    _, body, _ = executor(line, generate, Threads(1)).run(meta(), job_body(), None, stop, NUMBER)
    assert (line.items, decode_result(body).value) == (["what there is"], "tidied up")
    line.close()


def test_a_thread_that_waits_for_credit_is_told_that_its_soft_limit_is_over() -> None:
    # Given a job in a thread that waits
    line = Line(ThreadCredit())
    stop = ThreadStop(Alarms(), line.credit.look)
    told: list[str] = []

    def generate() -> Generator[int, None, str]:
        try:
            yield from range(STREAM_WINDOW + 1)
        except SoftTimeoutError as error:
            told.append(str(error))
        return "a part"

    # When its time is over, then that is raised at its `yield`
    answer = executor(line, generate, Threads(1), soft=0.1).run(meta(), job_body(), None, stop, NUMBER)
    assert told == ["the soft limit of 0.1 s is over"]
    result = decode_result(answer[1])
    assert (result.value, result.items) == ("a part", STREAM_WINDOW)
    line.close()


def test_a_soft_limit_that_is_over_between_two_items_is_raised_at_the_yield(often: None) -> None:
    # Given a job in a thread that does hardly anything but yield
    line, alarms, told = Line(ThreadCredit()), Alarms(), set[str]()
    line.outlet.item = lambda *_: None  # type: ignore[method-assign]

    def generate() -> Generator[int, None, str]:
        line.credit.grant(NUMBER, None)
        try:
            while True:
                yield 1
        except BaseException as error:
            told.add(type(error).__name__)
            raise

    # When its time is over at whatever moment, then that is what it is told
    child = executor(line, generate, Threads(1), soft=0.001)
    for _ in range(500):
        child.run(meta(), job_body(), None, ThreadStop(alarms, line.credit.look), NUMBER)
    assert told == {"SoftTimeoutError"}
    line.close()


def test_threads_that_wait_end_when_the_parent_is_gone() -> None:
    line, answers = Line(ThreadCredit()), list[Any]()
    child = executor(line, numbers(100), Threads(1))
    thread = threading.Thread(target=lambda: answers.append(child.run(meta(), job_body(), None, Flag(), NUMBER)))
    thread.start()
    until(lambda: len(line.items) == STREAM_WINDOW, "the window is full")
    line.credit.end()
    thread.join(10)
    assert answers[0][0][5] == "BrokenPipeError"
    line.close()


def test_a_coroutine_that_yields_lets_others_run_and_waits_without_holding_them_up() -> None:
    line = Line(LoopCredit())

    async def generate() -> AsyncIterator[int]:
        for number in range(2 * STREAM_WINDOW):
            yield number

    async def test() -> Any:
        child = executor(line, generate, Async(1))
        job = asyncio.create_task(child.run_coroutine(meta(), job_body(), None, Flag(), NUMBER))
        while len(line.items) < STREAM_WINDOW:  # noqa: ASYNC110 -- it is the loop that goes on
            await asyncio.sleep(0)
        assert not job.done()
        line.credit.grant(NUMBER, None)
        return await asyncio.wait_for(job, 10)

    _, body, _ = asyncio.run(test())
    assert (decode_result(body).value, decode_result(body).items) == (None, 2 * STREAM_WINDOW)
    line.close()


# ── progress ────────────────────────────────────────────────────────────────────────────────────────


def told(line: Line) -> list[list[Any]]:
    return [frame.meta for frame in line.frames if frame.kind == Kind.PROGRESS]


def test_of_much_progress_little_is_sent_and_the_newest_before_the_outcome(line: Line) -> None:
    def work() -> None:
        for step in range(1001):
            current_job().progress(step / 1000, f"step {step}")

    began = time.monotonic()
    run(line, work)
    most = 2 + (time.monotonic() - began) / 0.05
    assert told(line)[0] == [0.0, "step 0"]
    assert told(line)[-1] == [1.0, "step 1000"]
    assert len(told(line)) <= most


def test_the_newest_progress_is_sent_though_nothing_follows_it(line: Line) -> None:
    def work() -> None:
        current_job().progress(0.1)
        current_job().progress(0.2)
        until(lambda: told(line) == [[0.1, ""], [0.2, ""]], "the second one")

    said, _, _ = run(line, work)
    assert said[0] == "succeeded"


def test_jobs_beside_one_another_do_not_hold_up_each_other_s_progress(line: Line) -> None:
    for number in range(3):
        line.outlet.progress(number, 0.5, "")
    assert len(told(line)) == 3


def test_another_process_than_the_task_s_says_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(RuntimeError, match="the task's own process"):
        line.outlet.progress(NUMBER, 0.5, "")


def test_a_thread_that_outlives_its_job_says_nothing_more(line: Line) -> None:
    seen: list[Any] = []
    run(line, lambda: seen.append(current_job()))
    seen[0].progress(0.5)
    assert told(line) == []


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan"), float("inf")])
def test_progress_is_a_fraction(line: Line, fraction: float) -> None:
    said, _, _ = run(line, lambda: current_job().progress(fraction))
    assert said[3].startswith("ValueError: the progress of a job is a fraction from 0 to 1, not")


def test_the_text_of_progress_is_text(line: Line) -> None:
    said, _, _ = run(line, lambda: current_job().progress(0.5, 3))  # type: ignore[arg-type]
    assert said[3] == "TypeError: the text of a job's progress is a str, not int"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("x" * 300, "x" * MAX_PROGRESS_TEXT_BYTES),
        ("€" * 100, "€" * (MAX_PROGRESS_TEXT_BYTES // 3)),
        ("a\ud800b", "a?b"),
    ],
)
def test_the_text_of_progress_is_cut_at_a_character(line: Line, text: str, sent: str) -> None:
    run(line, lambda: current_job().progress(1, text))
    assert told(line) == [[1.0, sent]]


def test_a_job_that_nobody_gave_a_line_may_say_how_far_it_is() -> None:
    queue = Queue("stats", lane=Processes(1))
    queue.task(name="norm")(lambda: current_job().progress(0.5))
    child = Executor(queue, Library("contracts/tasks"), worker="w", max_body_bytes=MAX_BODY_BYTES)
    said, _, _ = child.run(meta(), job_body())
    assert said[0] == "succeeded"
