"""A place in the moments that a real child rarely meets: between the sentence and its execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from penstock.domain.batch import Batch
from penstock.domain.confine import Start
from penstock.domain.delivery import Delivery
from penstock.domain.lane import Threads
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.supervision import Reason, SlotState
from penstock.lanes import place as module
from penstock.lanes import starts
from penstock.lanes.batchslots import BatchSlots
from penstock.lanes.end import End
from penstock.lanes.frames import Frame, Kind, Reader
from penstock.lanes.place import Place
from penstock.lanes.slots import Slots
from penstock.lanes.starts import Starts
from penstock.memory_file import MemoryFile
from penstock.wire.registry import CancelStep
from tests.unit.builders import job_id, make_delivery, make_queue, make_task

TIMEOUT_S = 2.0
KILLED = Evidence(exit="SIGKILL", peak_rss=50_000_000, stack="Current thread")


class FakeChild:
    """Notes what it is told; the test speaks for it."""

    pid = 4711

    def __init__(
        self,
        _arguments: list[str],
        *,
        start: Start,  # noqa: ARG002 -- the child's own names
        python: str | None,  # noqa: ARG002
        template: object,  # noqa: ARG002
        on_frames: Callable[[list[Frame]], None],
        on_exit: Callable[[int, Evidence], None],
    ) -> None:
        self.told: list[str] = []
        self.grants: list[tuple[int, int | None]] = []
        self.say = on_frames
        self.end = on_exit

    def start(self) -> None: ...

    def send(self, frame: bytes, file: object = None) -> None:
        (sent,) = Reader().feed(frame, [-1] if file is not None else ())
        if sent.kind == Kind.CANCEL:
            self.told.append(f"cancel {sent.number}")
        elif sent.kind == Kind.GRANT:
            self.grants.append((sent.number, *sent.meta))
        elif file is not None:
            self.file = cast("MemoryFile", file)

    def interrupt(self) -> None:
        self.told.append(f"interrupt {int.from_bytes(self.file.read(4, 0), 'big')}")

    def flush(self) -> None: ...

    def finish(self) -> None:
        self.told.append("finish")

    def kill(self) -> None:
        self.told.append("kill")

    def ask_stack(self) -> None:
        self.told.append("ask stack")

    def forget_stack(self) -> None:
        self.told.append("forget stack")


class Stage:
    """A place whose child is ready and runs the first of its jobs, with a clock that the test moves."""

    def __init__(
        self,
        jobs: int = 1,
        memory: int | None = None,
        width: int = 1,
        batch: Batch | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.now = 100.0
        self.outcomes: list[tuple[int, OutcomeKind]] = []
        self.ends: list[End] = []
        self.steps: list[str] = []
        self.items: list[Any] = []
        self.said: list[Any] = []
        queue = make_queue(make_task(timeout_s=TIMEOUT_S, batch=batch))
        later = asyncio.get_running_loop().call_later
        self.slots = BatchSlots(queue, lambda: self.now, later) if batch else Slots(lambda: self.now, width)
        self.place = Place(
            replace(queue, lane=Threads(width)) if shared else queue,
            [],
            self.slots,
            starts=Starts(queue, lambda: None),
            clock=lambda: self.now,
            on_ready=lambda _: None,
            on_outcome=self._note,
            on_end=lambda _, end: self.ends.append(end),
            on_item=lambda *item: self.items.append(item),
            on_progress=lambda *said: self.said.append(said),
            memory=memory,
            alone=memory is not None,
        )
        self.place.start()
        self.child = cast("Any", self.place.child)
        # The task has shown that it is short, so that jobs are sent ahead.
        self.slots.submit(make_delivery(tag=900))
        self.child.say([Frame(Kind.READY, 0, [], b"")])
        if memory is None:
            self.answer(OutcomeKind.SUCCEEDED)
            self.outcomes.clear()
            for number in range(1, jobs + 1):
                self.slots.submit(make_delivery(job_id=job_id(number), tag=number))
            self.slots.dispatch()

    def cancel(self, tag: int) -> bool:
        return self.place.cancel_job(job_id(tag), lambda step: self.steps.append(f"{tag} {step}"))

    def number(self, tag: int) -> int:
        """The frame number of a job."""
        assert self.place.slot is not None
        number = self.place.slot.number_of(job_id(tag))
        assert number is not None
        return number

    def grace_is_over(self, tag: int) -> None:
        self.place._overstays(self.child, self.number(tag))

    def _note(self, delivery: Delivery, outcome: Outcome) -> None:
        self.outcomes.append((delivery.tag, outcome.kind))

    @property
    def running(self) -> int:
        assert self.place.slot is not None
        return next(number for number, _ in self.place.slot.running())

    def answer(self, kind: OutcomeKind, number: int | None = None) -> None:
        failed = [] if kind is OutcomeKind.SUCCEEDED else ["TASK_ERROR", "no", False, None, None, None, 1, {}]
        self.child.say([Frame(Kind.OUTCOME, number or self.running, [kind.value, 100, *failed], b"")])

    def overrun(self) -> None:
        """The running job exceeds its timeout, and the place sees it."""
        self.now += TIMEOUT_S + 0.01
        self.place.watch()
        assert self.child.told == ["ask stack"]

    def killed(self) -> End:
        self.child.end(-9, KILLED)
        (end,) = self.ends
        return end


@pytest.fixture(autouse=True)
def fake_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "Child", FakeChild)


def on_stage(test: Callable[[Stage], None], **arguments: Any) -> None:
    """Run a test in a loop, which a place needs for its timers."""

    async def run() -> None:
        stage = Stage(**arguments)
        try:
            test(stage)
        finally:
            stage.place.alarm.cancel()

    asyncio.run(run())


def tags(deliveries: list[Delivery]) -> list[int]:
    return [delivery.tag for delivery in deliveries]


def ended(end: End) -> dict[int, Outcome]:
    return {delivery.tag: outcome for delivery, outcome in end.outcomes}


def test_a_job_that_runs_too_long_is_asked_for_its_stack_and_killed_at_the_next_look() -> None:
    def test(stage: Stage) -> None:
        # Given a job at its limit, and others behind it
        stage.overrun()

        # When the place looks again, then the child is killed
        stage.place.watch()
        assert stage.child.told == ["ask stack", "kill"]

        # And its end is that of the one job
        end = stage.killed()
        ((tag, outcome),) = ended(end).items()
        assert (tag, outcome.kind, outcome.evidence) == (1, OutcomeKind.TIMED_OUT, KILLED)
        assert outcome.run_s == pytest.approx(TIMEOUT_S + 0.01)
        assert (end.reason, end.begun, tags(end.unstarted)) == (Reason.TIMEOUT, [], [2, 3])

    on_stage(test, jobs=3)


def test_a_success_between_the_two_looks_counts_and_saves_the_child() -> None:
    def test(stage: Stage) -> None:
        # Given a job that was asked for its stack
        stage.overrun()

        # When it succeeds before the next look
        stage.answer(OutcomeKind.SUCCEEDED)
        stage.place.watch()

        # Then the child lives on, its stack is forgotten, and the next job has its whole time
        assert stage.outcomes == [(1, OutcomeKind.SUCCEEDED)]
        assert stage.child.told == ["ask stack", "forget stack"]

        # And when the child crashes in the next job, that is a crash
        end = stage.killed()
        assert (ended(end)[2].kind, end.reason) == (OutcomeKind.CHILD_LOST, Reason.SIGNAL)
        assert (end.begun, end.unstarted) == ([], [])

    on_stage(test, jobs=2)


def test_a_failure_between_the_two_looks_does_not_count_because_our_signal_may_be_its_cause() -> None:
    def test(stage: Stage) -> None:
        # Given a job that was asked for its stack
        stage.overrun()

        # When it fails before the next look
        stage.answer(OutcomeKind.RAISED)

        # Then its child is killed at once, so that the next job hardly begins, and it has timed out
        assert (stage.outcomes, stage.child.told) == ([], ["ask stack", "kill"])
        end = stage.killed()
        assert (ended(end)[1].kind, tags(end.unstarted)) == (OutcomeKind.TIMED_OUT, [2])

    on_stage(test, jobs=2)


def test_a_success_that_comes_while_the_child_is_being_killed_counts_and_nobody_else_is_judged() -> None:
    def test(stage: Stage) -> None:
        # Given a child that was killed because of its first job
        stage.overrun()
        stage.place.watch()

        # When the success of that job was on its way
        stage.answer(OutcomeKind.SUCCEEDED)

        # Then it counts, and the job behind it loses nothing
        end = stage.killed()
        assert stage.outcomes == [(1, OutcomeKind.SUCCEEDED)]
        assert (end.outcomes, end.begun, end.reason, tags(end.unstarted)) == ([], [], Reason.TIMEOUT, [2])

    on_stage(test, jobs=2)


def test_an_answer_of_a_job_before_the_overdue_one_cannot_come_but_would_be_nobodys() -> None:
    def test(stage: Stage) -> None:
        stage.overrun()
        stage.answer(OutcomeKind.RAISED, number=12345)
        assert (stage.outcomes, stage.child.told) == ([], ["ask stack"])

    on_stage(test)


def test_a_child_that_runs_one_job_has_its_memory_looked_at_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    has = [500, 501, 501]
    monkeypatch.setattr(module, "resident", lambda _: has.pop(0))

    def test(stage: Stage) -> None:
        # Given a job that may have 500 bytes
        # When it has them, then nothing happens
        stage.place.watch()
        assert stage.child.told == []

        # When it has one more, then it is asked for its stack, and killed
        stage.place.watch()
        stage.place.watch()
        assert stage.child.told == ["ask stack", "kill"]
        end = stage.killed()
        (outcome,) = ended(end).values()
        assert (outcome.kind, end.reason) == (OutcomeKind.CHILD_LOST, Reason.MEMORY)
        assert outcome.evidence == Evidence(
            exit="SIGKILL: above the memory limit of 0 MiB", peak_rss=KILLED.peak_rss, stack=KILLED.stack
        )

    on_stage(test, memory=500)


def test_a_child_with_too_much_memory_ends_after_the_success_of_its_job_and_no_other_job_is_blamed() -> None:
    def test(stage: Stage) -> None:
        # Given a child that is to give way, with a job behind the one that runs
        stage.place.give_way("the container is nearly full")
        assert stage.child.told == ["ask stack"]

        # When the job succeeds before the next look
        stage.answer(OutcomeKind.SUCCEEDED)

        # Then that counts, the child ends all the same, and the next job has not begun
        assert (stage.outcomes, stage.child.told) == ([(1, OutcomeKind.SUCCEEDED)], ["ask stack", "kill"])
        end = stage.killed()
        assert (end.outcomes, tags(end.unstarted), end.reason) == ([], [2], Reason.MEMORY)

    on_stage(test, jobs=2)


def test_where_the_system_does_not_tell_memory_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resident", lambda _: None)

    def test(stage: Stage) -> None:
        stage.place.watch()
        assert stage.child.told == []

    on_stage(test, memory=1)


def test_a_child_that_runs_one_job_is_let_go_after_it() -> None:
    def test(stage: Stage) -> None:
        stage.answer(OutcomeKind.SUCCEEDED)
        assert stage.child.told == ["finish"]
        stage.child.end(0, Evidence(exit="exit status 0", peak_rss=1, stack=None))
        assert (stage.ends[0].reason, stage.ends[0].outcomes) == (Reason.FINISHED, [])
        assert stage.place.state is SlotState.STOPPED

    on_stage(test, memory=1)


# ── a child that runs several jobs at once ──────────────────────────────────────────────────────────


def test_the_neighbours_of_an_overdue_job_spend_nothing() -> None:
    def test(stage: Stage) -> None:
        # Given three jobs at once, of which one has answered and another has taken its place in between
        stage.now += TIMEOUT_S / 2
        stage.answer(OutcomeKind.SUCCEEDED, number=3)
        stage.slots.submit(make_delivery(job_id=job_id(4), tag=4))
        stage.slots.dispatch()

        # When the first two exceed their timeout
        stage.now += TIMEOUT_S / 2 + 0.01
        stage.place.watch()
        stage.place.watch()

        # Then they have timed out, and the third has only lost its child
        end = stage.killed()
        assert {tag: outcome.kind for tag, outcome in ended(end).items()} == dict.fromkeys(
            (1, 3), OutcomeKind.TIMED_OUT
        )
        assert (tags(end.begun), tags(end.unstarted), end.reason) == ([4], [], Reason.TIMEOUT)

    on_stage(test, jobs=3, width=3)


def test_every_job_that_runs_may_be_the_cause_of_a_crash() -> None:
    def test(stage: Stage) -> None:
        # Given two jobs that run at once
        # When their child crashes
        end = stage.killed()

        # Then both have lost it: nobody knows which of them was the cause, and each will run alone
        assert {tag: outcome.kind for tag, outcome in ended(end).items()} == dict.fromkeys(
            (1, 2), OutcomeKind.CHILD_LOST
        )
        assert (end.begun, end.unstarted, end.fields()["jobs"]) == ([], [], 2)

    on_stage(test, jobs=2, width=2)


def test_the_child_lives_on_only_if_every_overdue_job_succeeds_before_the_next_look() -> None:
    def test(stage: Stage) -> None:
        # Given two overdue jobs
        stage.overrun()
        first, second = (number for number, _ in stage.place.slot.running()) if stage.place.slot else (0, 0)

        # When one succeeds, then the other is still one too many
        stage.answer(OutcomeKind.SUCCEEDED, number=first)
        assert stage.child.told == ["ask stack"]

        # When the other does, too, then nobody is killed
        stage.answer(OutcomeKind.SUCCEEDED, number=second)
        stage.place.watch()
        assert stage.child.told == ["ask stack", "forget stack"]

    on_stage(test, jobs=2, width=2)


# ── cancelling ──────────────────────────────────────────────────────────────────────────────────────


def test_a_running_job_is_named_and_interrupted_and_its_failure_is_the_cancellation() -> None:
    def test(stage: Stage) -> None:
        # When the running job is cancelled
        assert stage.cancel(1)

        # Then the child is signalled, its file naming the job, and nobody is told yet
        assert stage.child.told == [f"interrupt {stage.number(1)}"]
        assert stage.steps == []

        # And what it answers is the outcome
        stage.answer(OutcomeKind.RAISED)
        assert stage.outcomes == [(1, OutcomeKind.CANCELLED)]
        assert stage.steps == ["1 exception"]
        assert stage.place.standing.failures == 0

    on_stage(test)


def test_a_cancelled_job_that_succeeds_has_succeeded() -> None:
    def test(stage: Stage) -> None:
        stage.cancel(1)
        stage.answer(OutcomeKind.SUCCEEDED)
        assert stage.outcomes == [(1, OutcomeKind.SUCCEEDED)]
        assert stage.steps == ["1 ended"]

    on_stage(test)


def test_a_job_that_the_child_refuses_is_refused_rather_than_cancelled() -> None:
    def test(stage: Stage) -> None:
        stage.cancel(1)
        stage.answer(OutcomeKind.UNDECODABLE)
        assert stage.outcomes == [(1, OutcomeKind.UNDECODABLE)]
        assert stage.steps == ["1 ended"]

    on_stage(test)


def test_a_job_that_was_sent_ahead_is_interrupted_when_it_begins() -> None:
    def test(stage: Stage) -> None:
        # Given two jobs in one child, of which the second is cancelled
        assert stage.cancel(2)
        assert stage.child.told == []
        second = stage.number(2)

        # When the first has ended, then the second is interrupted
        stage.answer(OutcomeKind.SUCCEEDED)
        assert stage.child.told == [f"interrupt {second}"]
        stage.answer(OutcomeKind.RAISED)
        assert stage.outcomes == [(1, OutcomeKind.SUCCEEDED), (2, OutcomeKind.CANCELLED)]

    on_stage(test, jobs=2)


def test_a_job_that_is_not_there_is_not_cancelled() -> None:
    def test(stage: Stage) -> None:
        assert not stage.cancel(2)
        stage.answer(OutcomeKind.SUCCEEDED)
        assert not stage.cancel(1)
        assert stage.child.told == stage.steps == []

    on_stage(test)


def test_everybody_who_asked_is_told_and_the_child_only_once() -> None:
    def test(stage: Stage) -> None:
        for _ in range(3):
            assert stage.cancel(1)
        assert len(stage.child.told) == 1
        stage.answer(OutcomeKind.RAISED)
        assert stage.steps == ["1 exception"] * 3

    on_stage(test)


def test_a_job_that_does_not_end_in_its_grace_is_killed_with_its_child() -> None:
    def test(stage: Stage) -> None:
        # Given a cancelled job, with another sent ahead behind it
        stage.cancel(1)
        stage.now += 3.5  # its timeout, too, was never the reason
        stage.grace_is_over(1)
        assert stage.child.told[-1] == "kill"

        # When the child is gone
        end = stage.killed()

        # Then the job is cancelled, the other has not started, and that was the reason
        assert {tag: outcome.kind for tag, outcome in ended(end).items()} == {1: OutcomeKind.CANCELLED}
        assert ended(end)[1].run_s == pytest.approx(3.5)
        assert tags(end.unstarted) == [2]
        assert end.reason is Reason.CANCELLED
        assert stage.steps == ["1 killed"]

    on_stage(test, jobs=2)


def test_the_grace_of_a_job_that_has_ended_kills_nobody() -> None:
    def test(stage: Stage) -> None:
        stage.cancel(1)
        first = stage.number(1)
        stage.answer(OutcomeKind.RAISED)
        stage.place._overstays(stage.child, first)
        stage.place._overstays(cast("Any", object()), stage.number(2))
        assert "kill" not in stage.child.told

    on_stage(test, jobs=2)


def test_a_cancelled_job_whose_timeout_comes_first_is_not_tried_again() -> None:
    def test(stage: Stage) -> None:
        stage.overrun()
        stage.cancel(1)
        stage.place.watch()
        end = stage.killed()
        assert {tag: outcome.kind for tag, outcome in ended(end).items()} == {1: OutcomeKind.CANCELLED}
        assert end.reason is Reason.TIMEOUT
        assert stage.steps == ["1 killed"]

    on_stage(test)


def test_a_cancelled_job_whose_child_dies_is_not_tried_again_and_one_that_had_not_begun_does_not_begin() -> None:
    def test(stage: Stage) -> None:
        for tag in (1, 2):
            stage.cancel(tag)
        end = stage.killed()
        assert {tag: outcome.kind for tag, outcome in ended(end).items()} == {
            1: OutcomeKind.CANCELLED,
            2: OutcomeKind.CANCELLED,
        }
        assert stage.steps == ["1 killed", "2 never_started"]
        assert tags(end.unstarted) == [3]
        assert end.reason is Reason.SIGNAL

    on_stage(test, jobs=3)


def test_in_a_shared_child_a_frame_names_the_job_and_nobody_is_killed() -> None:
    def test(stage: Stage) -> None:
        # Given two jobs that run in one child, of which the second is cancelled
        stage.cancel(2)
        assert stage.child.told == [f"cancel {stage.number(2)}"]

        # When it answers, then it is cancelled, and its neighbour is not
        stage.answer(OutcomeKind.RAISED, stage.number(2))
        stage.answer(OutcomeKind.RAISED, stage.number(1))
        assert stage.outcomes == [(2, OutcomeKind.CANCELLED), (1, OutcomeKind.RAISED)]
        assert len(stage.child.told) == 1

    on_stage(test, jobs=2, width=2, shared=True)


def test_in_a_shared_child_without_neighbours_it_is_killed_after_its_grace() -> None:
    def test(stage: Stage) -> None:
        stage.cancel(1)
        assert stage.child.told == [f"cancel {stage.number(1)}"]
        stage.grace_is_over(1)
        assert stage.child.told[-1] == "kill"
        assert {tag: outcome.kind for tag, outcome in ended(stage.killed()).items()} == {1: OutcomeKind.CANCELLED}

    on_stage(test, shared=True)


def test_a_cancelled_job_beside_one_that_ran_too_long_does_not_start_again() -> None:
    def test(stage: Stage) -> None:
        # Given three jobs in one child, of which the first is too long there
        assert stage.place.slot is not None
        for tag in (2, 3):
            stage.place.slot.jobs[stage.number(tag)].since += 1.0
        stage.cancel(2)
        stage.child.told.clear()
        stage.overrun()
        stage.place.watch()

        # When the child is killed for it
        end = stage.killed()

        # Then the cancelled neighbour is cancelled, and the other waits for its next start
        assert {tag: outcome.kind for tag, outcome in ended(end).items()} == {
            1: OutcomeKind.TIMED_OUT,
            2: OutcomeKind.CANCELLED,
        }
        assert tags(end.begun) == [3]

    on_stage(test, jobs=3, width=3, shared=True)


# ── a child that runs several jobs in one call ──────────────────────────────────────────────────────

BATCH = Batch(size=3, wait=0)


def test_the_jobs_of_a_call_that_runs_too_long_spend_nothing_and_are_called_apart() -> None:
    def test(stage: Stage) -> None:
        # Given a call with three jobs that exceeds its limit, and jobs that wait for the next one
        stage.overrun()

        # When its child is killed, then nobody knows which of them was the cause
        stage.place.watch()
        end = stage.killed()
        assert (end.outcomes, tags(end.apart), end.begun, end.unstarted) == ([], [1, 2, 3], [], [])
        assert (end.reason, end.fields()["jobs"], end.fields()["job_id"]) == (Reason.TIMEOUT, 3, None)

    on_stage(test, jobs=4, batch=BATCH)


def test_who_is_answered_before_his_call_is_ended_is_not_called_again() -> None:
    def test(stage: Stage) -> None:
        stage.overrun()
        stage.answer(OutcomeKind.SUCCEEDED)
        stage.place.watch()
        assert stage.outcomes == [(1, OutcomeKind.SUCCEEDED)]
        assert tags(stage.killed().apart) == [2, 3]

    on_stage(test, jobs=3, batch=BATCH)


def test_a_job_alone_in_its_call_has_timed_out() -> None:
    def test(stage: Stage) -> None:
        stage.overrun()
        stage.place.watch()
        end = stage.killed()
        assert ({tag: outcome.kind for tag, outcome in ended(end).items()}, end.apart) == (
            {1: OutcomeKind.TIMED_OUT},
            [],
        )

    on_stage(test, jobs=1, batch=BATCH)


def test_the_jobs_of_a_call_that_crashes_spend_nothing_and_are_called_apart() -> None:
    def test(stage: Stage) -> None:
        # Given a call with three jobs, of which one has its answer and one is to be cancelled
        told: list[CancelStep] = []
        stage.answer(OutcomeKind.SUCCEEDED)
        stage.place.cancel_job(job_id(2), told.append)

        # When its child dies, then nobody knows which of them was the cause
        end = stage.killed()
        assert {tag: outcome.kind for tag, outcome in ended(end).items()} == {2: OutcomeKind.CANCELLED}
        assert (tags(end.apart), end.begun, end.reason, told) == ([3, 4], [], Reason.SIGNAL, [CancelStep.KILLED])

    on_stage(test, jobs=4, batch=Batch(size=4, wait=0))


def test_a_job_alone_in_its_call_has_lost_its_child() -> None:
    def test(stage: Stage) -> None:
        end = stage.killed()
        assert ({tag: outcome.kind for tag, outcome in ended(end).items()}, end.apart) == (
            {1: OutcomeKind.CHILD_LOST},
            [],
        )

    on_stage(test, jobs=1, batch=BATCH)


@pytest.mark.parametrize(
    ("answered", "kind", "step"),
    [
        (OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED, CancelStep.ENDED),
        (OutcomeKind.RAISED, OutcomeKind.CANCELLED, CancelStep.EXCEPTION),
    ],
)
def test_nobody_is_interrupted_who_shares_a_call(answered: OutcomeKind, kind: OutcomeKind, step: CancelStep) -> None:
    def test(stage: Stage) -> None:
        # Given a call with three jobs, of which one is to be cancelled
        told: list[CancelStep] = []
        assert stage.place.cancel_job(job_id(1), told.append)

        # Then the call goes on, and what it says of the job counts if it is a success
        assert (stage.child.told, told) == ([], [])
        stage.answer(answered)
        assert (stage.outcomes, told) == ([(1, kind)], [step])

    on_stage(test, jobs=3, batch=BATCH)


def test_a_cancelled_job_whose_call_is_ended_is_not_called_again() -> None:
    def test(stage: Stage) -> None:
        told: list[CancelStep] = []
        stage.place.cancel_job(job_id(1), told.append)
        stage.overrun()
        stage.place.watch()
        end = stage.killed()
        assert ({tag: outcome.kind for tag, outcome in ended(end).items()}, tags(end.apart)) == (
            {1: OutcomeKind.CANCELLED},
            [2, 3],
        )
        assert told == [CancelStep.KILLED]

    on_stage(test, jobs=3, batch=BATCH)


# ── items ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_job_yields_and_says_is_passed_on_while_the_child_has_the_job() -> None:
    def test(stage: Stage) -> None:
        # Given a job that yields, says how far it is, ends, and another that nobody knows
        number = stage.running
        stage.child.say([Frame(Kind.ITEM, number, [0], b"a"), Frame(Kind.PROGRESS, number, [0.5, "half"], b"")])
        stage.answer(OutcomeKind.SUCCEEDED)
        stage.child.say([Frame(Kind.ITEM, number, [1], b"b"), Frame(Kind.PROGRESS, number, [1.0, ""], b"")])
        stage.child.say([Frame(Kind.ITEM, 4711, [0], b"c")])

        # Then only what came in time counts
        assert [(delivery.tag, seq, body) for delivery, seq, body in stage.items] == [(1, 0, b"a")]
        assert [(delivery.tag, fraction, text) for delivery, fraction, text in stage.said] == [(1, 0.5, "half")]

    on_stage(test)


@pytest.mark.parametrize("kind", [OutcomeKind.SUCCEEDED, OutcomeKind.RAISED])
def test_a_job_that_has_told_something_when_its_child_is_killed_for_another_needs_a_later_start(
    kind: OutcomeKind,
) -> None:
    def test(stage: Stage) -> None:
        # Given a child that is killed because of its first job
        numbers = [stage.number(tag) for tag in (1, 2)]
        stage.overrun()
        stage.place.watch()

        # When that one ended after all, and the next has begun and yielded before the end
        stage.answer(kind, numbers[0])
        stage.child.say([Frame(Kind.ITEM, numbers[1], [0], b"\xa0")])
        end = stage.killed()

        # Then it is not started again as if nothing had happened: its items would come twice under one fence
        assert [tags([delivery]) for delivery, *_ in stage.items] == [[2]]
        assert (tags(end.begun), tags(end.unstarted)) == ([2], [3])

    on_stage(test, jobs=3)


def test_credit_is_granted_to_the_job_by_its_number_and_to_no_other() -> None:
    def test(stage: Stage) -> None:
        assert stage.place.slot is not None
        job = stage.number(1)
        delivery = stage.place.slot.jobs[job].delivery
        stage.place.grant(delivery, 128)
        stage.place.grant(delivery, None)
        stage.place.grant(make_delivery(job_id=job_id(9)), 128)
        # What is meant for another start would let this one run away from its reader.
        stage.place.grant(make_delivery(job_id=job_id(1)), None)
        assert stage.child.grants == [(job, 128), (job, None)]

    on_stage(test)


def test_a_child_that_is_replaced_hears_its_parent_until_its_last_job_has_ended() -> None:
    def test(stage: Stage) -> None:
        # Given a child with two jobs that is to be replaced
        stage.place.retire()
        assert "finish" not in stage.child.told

        # When they have ended
        stage.answer(OutcomeKind.SUCCEEDED)
        assert "finish" not in stage.child.told
        stage.answer(OutcomeKind.SUCCEEDED)

        # Then it may end
        assert "finish" in stage.child.told

    on_stage(test, jobs=2)
