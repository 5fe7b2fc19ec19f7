"""Slots: which child gets which job, and which job a dead child was running."""

from __future__ import annotations

from typing import cast

import pytest

from penstock.domain.delivery import Delivery
from penstock.domain.lane import AHEAD_JOBS, AHEAD_S
from penstock.lanes.child import Child
from penstock.lanes.frames import Kind
from penstock.lanes.limits import STALL_S, TICK_S, overdue, stood_still
from penstock.lanes.slots import Slot, Slots
from tests.unit.builders import job_id, make_delivery, make_queue, make_task
from tests.unit.lanes.fakes import FakeChild

SHORT_S, LONG_S = 0.0001, 1.0


class Stage:
    """Slots with fake children and a clock that the test moves."""

    def __init__(self, children: int, width: int = 1) -> None:
        self.now = 100.0
        self.slots = Slots(lambda: self.now, width)
        self.children = [FakeChild() for _ in range(children)]
        self.each = [self.slots.add(cast("Child", child)) for child in self.children]

    def submit(self, *numbers: int, task: str = "stats.norm") -> None:
        for number in numbers:
            self.slots.submit(make_delivery(job_id=job_id(number), task=task, tag=number))

    def dispatch(self, *numbers: int, task: str = "stats.norm") -> None:
        self.submit(*numbers, task=task)
        self.slots.dispatch()

    def finish(self, child: int, run_s: float) -> Delivery | None:
        """The child answers its oldest job."""
        number = next(iter(self.each[child].jobs))
        return self.slots.finished(self.each[child], number, run_s)

    def learn(self, run_s: float, task: str = "stats.norm") -> None:
        """Let one job of a task show how long it takes."""
        self.dispatch(999, task=task)
        child = next(index for index, slot in enumerate(self.each) if slot.jobs)
        self.finish(child, run_s)
        for each in self.children:
            each.frames.clear()

    def has(self, child: int) -> list[int]:
        return [tag for tag in range(1, 999) if job_id(tag) in self.children[child].jobs]


def run(slot: Slot) -> list[int]:
    """The tags of the jobs that run."""
    return [assigned.delivery.tag for _, assigned in slot.running()]


def since(slot: Slot) -> float:
    """When the oldest of them began."""
    return next(assigned.since for _, assigned in slot.running())


def tags(deliveries: list[Delivery]) -> list[int]:
    return [delivery.tag for delivery in deliveries]


# ── dispatch ────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_child_jobs_wait() -> None:
    stage = Stage(children=0)
    stage.dispatch(1, 2)
    assert (stage.slots.waiting, stage.slots.in_children) == (2, 0)


def test_every_idle_child_gets_a_job_before_any_gets_a_second() -> None:
    # Given three idle children and short jobs
    stage = Stage(children=3)
    stage.learn(SHORT_S)

    # When three jobs are handed out
    stage.dispatch(1, 2, 3)

    # Then each has one
    assert sorted(stage.has(0) + stage.has(1) + stage.has(2)) == [1, 2, 3]
    assert [len(child.frames) for child in stage.children] == [1, 1, 1]


def test_jobs_are_handed_out_in_the_order_in_which_they_came() -> None:
    stage = Stage(children=1)
    stage.learn(SHORT_S)
    stage.dispatch(1, 2, 3, 4)
    assert stage.children[0].jobs == [job_id(number) for number in (1, 2, 3, 4)]


def test_nothing_is_sent_ahead_behind_a_job_that_yields_because_its_reader_says_how_long_it_takes() -> None:
    # Given a child that runs a job whose task yields, and has always been short
    stage = Stage(children=1)
    stage.learn(SHORT_S)
    stage.slots.submit(make_delivery(job_id=job_id(1), tag=1, yields=True))

    # When others come
    stage.dispatch(2, 3)

    # Then they wait for whichever child is free first, and behind one of their own kind they do not
    assert (stage.has(0), stage.slots.waiting) == ([1], 2)
    stage.finish(0, SHORT_S)
    stage.slots.dispatch()
    assert stage.has(0) == [1, 2, 3]


def test_the_frame_tells_the_child_what_amqp_said_and_carries_the_body_unread() -> None:
    # Given a job with everything
    stage = Stage(children=1)
    job = make_delivery(attempt=4, version=2, deadline_ms=1_730_000_000_000, body=b"\xc1 no msgpack")

    # When it is handed out
    stage.slots.submit(job)
    stage.slots.dispatch()

    # Then the frame has it all
    (frame,) = stage.children[0].frames
    assert frame.kind == Kind.JOB
    assert frame.meta == [job.task, job.job_id, 4, 2, 1_730_000_000_000, job.fence, job.spent.failures, 0, None, False]
    assert frame.body == job.body
    assert list(stage.each[0].jobs) == [frame.number]


def test_every_job_has_a_number_of_its_own() -> None:
    stage = Stage(children=2)
    stage.learn(SHORT_S)
    stage.dispatch(*range(1, 21))
    numbers = [frame.number for child in stage.children for frame in child.frames]
    assert len(set(numbers)) == 20


def test_a_job_that_was_never_seen_is_expected_to_take_for_ever() -> None:
    # Given two children and a task that has not run yet
    stage = Stage(children=2)

    # When more jobs come than children
    stage.dispatch(1, 2, 3)

    # Then nothing is sent ahead of it
    assert (stage.slots.in_children, stage.slots.waiting) == (2, 1)


def test_long_jobs_are_not_sent_ahead() -> None:
    stage = Stage(children=1)
    stage.learn(LONG_S)
    stage.dispatch(1, 2)
    assert (stage.has(0), stage.slots.waiting) == ([1], 1)


def test_a_job_is_sent_ahead_while_what_is_before_it_ends_soon() -> None:
    # Given jobs that take half of what may wait in a socket
    stage = Stage(children=1)
    stage.learn(AHEAD_S / 2)

    # When many come
    stage.dispatch(*range(1, 11))

    # Then as many are ahead as fit, and the rest waits in order
    ahead = stage.has(0)
    assert ahead == list(range(1, len(ahead) + 1))
    assert len(ahead) == 2
    assert tags(stage.slots.take_waiting()) == list(range(len(ahead) + 1, 11))


def test_however_short_they_are_a_child_has_only_so_many_jobs() -> None:
    stage = Stage(children=2)
    stage.learn(0.0)
    stage.dispatch(*range(1, 3 * AHEAD_JOBS))
    assert [len(slot.jobs) <= AHEAD_JOBS for slot in stage.each] == [True, True]
    assert stage.slots.waiting > 0


def test_the_child_that_will_be_free_soonest_gets_the_next_job() -> None:
    # Given one child with a long job and one with a short one
    stage = Stage(children=2)
    stage.learn(LONG_S, task="stats.slow")
    stage.learn(SHORT_S, task="stats.fast")
    stage.dispatch(1, task="stats.slow")
    stage.dispatch(2, task="stats.fast")
    slow, fast = (0, 1) if stage.has(0) == [1] else (1, 0)

    # When more short ones come
    stage.dispatch(3, 4, 5, task="stats.fast")

    # Then none waits behind the long one
    assert stage.has(slow) == [1]
    assert stage.has(fast) == [2, 3, 4, 5]


def test_no_job_is_sent_behind_one_that_has_run_longer_than_was_expected() -> None:
    """Short jobs would wait for minutes behind a slow one while other children are idle."""
    # Given two children, and a job that was expected to be short and is not
    stage = Stage(children=2)
    stage.learn(SHORT_S)
    stage.dispatch(1)
    slow, other = (0, 1) if stage.has(0) else (1, 0)
    stage.now += 60.0

    # When others come
    stage.dispatch(2, 3, 4, 5)

    # Then they go to the other child
    assert stage.has(slow) == [1]
    assert stage.has(other) == [2, 3, 4, 5]

    # And when the slow one has ended, its child takes part again
    stage.finish(slow, SHORT_S)
    stage.dispatch(6)
    assert stage.has(slow) == [1, 6]


def test_the_first_in_the_queue_is_not_overtaken() -> None:
    """A job that nobody can take holds up those behind it, so none starves."""
    # Given a busy child and a long job at the front
    stage = Stage(children=1)
    stage.learn(SHORT_S)
    stage.dispatch(1, task="stats.unknown")
    stage.dispatch(2, 3)

    # When the child has ended its job
    stage.finish(0, LONG_S)
    stage.slots.dispatch()

    # Then the order is that of arrival
    assert stage.children[0].jobs == [job_id(1), job_id(2), job_id(3)]


def test_dispatching_again_hands_out_nothing_twice() -> None:
    stage = Stage(children=1)
    stage.dispatch(1)
    stage.slots.dispatch()
    assert len(stage.children[0].frames) == 1


# ── finished ────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_is_answered_is_returned_and_gone() -> None:
    # Given a child with a job
    stage = Stage(children=1)
    stage.dispatch(1)

    # When it answers
    delivery = stage.finish(0, SHORT_S)

    # Then the child is idle
    assert delivery is not None
    assert delivery.tag == 1
    assert (stage.slots.in_children, stage.slots.waiting) == (0, 0)


def test_an_answer_with_an_unknown_number_is_nobodys() -> None:
    # Given a child with a job
    stage = Stage(children=1)
    stage.dispatch(1)

    # When it answers another, then its own goes on
    assert stage.slots.finished(stage.each[0], 12345, SHORT_S) is None
    assert stage.slots.in_children == 1
    assert stage.slots.mean_s is None


def test_an_answer_that_comes_twice_counts_once() -> None:
    stage = Stage(children=1)
    stage.dispatch(1)
    number = next(iter(stage.each[0].jobs))
    assert stage.slots.finished(stage.each[0], number, SHORT_S) is not None
    assert stage.slots.finished(stage.each[0], number, SHORT_S) is None


def test_the_mean_of_the_lane_is_moved_by_every_job_and_unknown_before_the_first() -> None:
    stage = Stage(children=1)
    assert stage.slots.mean_s is None
    stage.dispatch(1)
    stage.finish(0, 4.0)
    assert stage.slots.mean_s == 4.0
    stage.dispatch(2)
    stage.finish(0, 0.0)
    assert stage.slots.mean_s is not None
    assert 0.0 < stage.slots.mean_s < 4.0


def test_after_many_jobs_an_idle_child_is_expected_to_be_idle() -> None:
    """What is expected is added and taken away a thousand times; rounding must not add up."""
    # Given a child that has ended a thousand jobs of different lengths
    stage = Stage(children=1)
    stage.learn(SHORT_S)
    for number in range(1, 500):
        stage.dispatch(number, number)
        stage.finish(0, SHORT_S * (number % 7))
        stage.finish(0, SHORT_S)

    # When it is idle
    # Then nothing is left of what was expected
    assert stage.each[0].expected_s == 0.0


# ── which job runs ──────────────────────────────────────────────────────────────────────────────────


def test_the_oldest_job_of_a_child_is_the_one_that_runs() -> None:
    # Given a child with three jobs
    stage = Stage(children=1)
    assert run(stage.each[0]) == []
    stage.learn(SHORT_S)
    stage.dispatch(1, 2, 3)

    # When it answers the first
    before = run(stage.each[0])
    stage.finish(0, SHORT_S)

    # Then the second runs
    assert (before, run(stage.each[0])) == ([1], [2])


def test_a_job_runs_from_the_moment_in_which_the_one_before_it_ended() -> None:
    # Given a child with two jobs, sent at 100
    stage = Stage(children=1)
    stage.learn(SHORT_S)
    stage.dispatch(1, 2)
    assert since(stage.each[0]) == 100.0

    # When the first ends at 107
    stage.now = 107.0
    stage.finish(0, SHORT_S)

    # Then the second has run since then; and a job sent to an idle child since it was sent
    assert since(stage.each[0]) == 107.0
    stage.finish(0, SHORT_S)
    stage.now = 130.0
    stage.dispatch(3)
    assert since(stage.each[0]) == 130.0


def test_a_job_that_is_sent_ahead_does_not_make_the_running_one_younger() -> None:
    stage = Stage(children=1)
    stage.learn(SHORT_S)
    stage.dispatch(1)
    stage.now = 105.0
    stage.dispatch(2)
    assert since(stage.each[0]) == 100.0


# ── children that run several jobs at once ──────────────────────────────────────────────────────────


def test_a_wide_child_gets_as_many_jobs_as_it_runs_and_none_ahead() -> None:
    # Given a child that runs three jobs at once, and jobs that are short
    stage = Stage(children=1, width=3)
    stage.learn(SHORT_S)

    # When five come
    stage.dispatch(1, 2, 3, 4, 5)

    # Then three run, and two wait here
    assert (run(stage.each[0]), stage.slots.waiting) == ([1, 2, 3], 2)


def test_whichever_job_a_wide_child_ends_the_next_takes_its_place_with_its_whole_time() -> None:
    # Given three jobs at once, since 100
    stage = Stage(children=1, width=3)
    stage.dispatch(1, 2, 3, 4)
    second = list(stage.each[0].jobs)[1]

    # When the second ends at 107
    stage.now = 107.0
    stage.slots.finished(stage.each[0], second, LONG_S)
    stage.slots.dispatch()

    # Then the others go on, and the fourth has run since then
    times = [(assigned.delivery.tag, assigned.since) for _, assigned in stage.each[0].running()]
    assert times == [(1, 100.0), (3, 100.0), (4, 107.0)]


def test_each_job_of_a_wide_child_has_a_limit_of_its_own() -> None:
    stage = Stage(children=1, width=3)
    stage.dispatch(1)
    stage.now = 101.0
    stage.dispatch(2, 3)
    first, *others = stage.each[0].jobs
    assert overdue(stage.each[0], QUEUE, 102.5) == {first}
    assert overdue(stage.each[0], QUEUE, 103.5) == {first, *others}


# ── children that go ────────────────────────────────────────────────────────────────────────────────


def test_a_child_that_is_gone_gives_back_its_jobs_the_running_one_first() -> None:
    # Given two children with jobs
    stage = Stage(children=2)
    stage.learn(SHORT_S)
    stage.dispatch(*range(1, 7))
    had = stage.has(0)

    # When one is gone
    deliveries = stage.slots.remove(stage.each[0])

    # Then its jobs come back in order, and nothing more is sent to it
    assert tags(deliveries) == had
    assert list(stage.slots.ready) == [stage.each[1]]
    stage.dispatch(7)
    assert 7 in stage.has(1)


def test_jobs_that_are_put_back_come_before_those_that_wait_in_their_order() -> None:
    # Given jobs that wait, and others that a dead child had not started
    stage = Stage(children=1)
    stage.submit(4, 5)
    back = [make_delivery(job_id=job_id(number), tag=number) for number in (1, 2, 3)]

    # When they are put back
    stage.slots.put_back(back)

    # Then the order is that of arrival
    assert tags(back) == [1, 2, 3]
    assert tags(stage.slots.take_waiting()) == [1, 2, 3, 4, 5]
    assert stage.slots.waiting == 0


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────

QUEUE = make_queue(make_task(timeout_s=2.0), make_task("stats.free"))


def running(task: str) -> Slot:
    stage = Stage(children=1)
    stage.dispatch(1, task=task)
    return stage.each[0]


@pytest.mark.parametrize(
    ("now", "late"), [(100.0, False), (101.999, False), (102.0, False), (102.001, True), (1e9, True)]
)
def test_a_job_is_overdue_when_it_has_run_longer_than_its_timeout(now: float, late: bool) -> None:
    # Given a job with a timeout of 2 s that has run since 100
    slot = running("stats.norm")

    # When it is looked at, then its number tells which one it is
    assert overdue(slot, QUEUE, now) == (set(slot.jobs) if late else set())


@pytest.mark.parametrize("task", ["stats.free", "stats.unknown"])
def test_a_job_without_a_timeout_is_never_overdue(task: str) -> None:
    assert overdue(running(task), QUEUE, 1e12) == set()


def test_an_idle_child_is_never_overdue() -> None:
    assert overdue(Stage(children=1).each[0], QUEUE, 1e12) == set()


def test_the_time_in_a_socket_does_not_count() -> None:
    # Given two jobs, the first of which ended after 1.9 of its 2 seconds
    stage = Stage(children=1)
    stage.learn(SHORT_S)
    stage.dispatch(1, 2)
    stage.now = 101.9
    stage.finish(0, 1.9)

    # When the second has been in the child for 3 s, but run for 1.1
    # Then it is not overdue
    assert overdue(stage.each[0], QUEUE, 103.0) == set()
    assert overdue(stage.each[0], QUEUE, 104.0) == set(stage.each[0].jobs)


@pytest.mark.parametrize(
    ("gap_s", "lost_s"),
    [(0.0, 0.0), (TICK_S, 0.0), (TICK_S + STALL_S, 0.0), (TICK_S + 1.0, 1.0), (TICK_S + 3600.0, 3600.0)],
)
def test_a_look_that_comes_very_late_means_that_the_parent_stood_still(gap_s: float, lost_s: float) -> None:
    assert stood_still(1000.0, 1000.0 + gap_s) == pytest.approx(lost_s)


def test_the_time_in_which_the_parent_stood_still_is_no_run_time() -> None:
    # Given a job that had run for 1 s when the parent stood still for a minute, and one that was sent since
    stage = Stage(children=2)
    stage.dispatch(1)
    stage.now = 161.0
    stage.dispatch(2)

    # When that is made up for
    stage.slots.shift(60.0)

    # Then the first has run for 1 s, and the second has begun just now, not later
    assert sorted(since(slot) for slot in stage.each) == [160.0, 161.0]
