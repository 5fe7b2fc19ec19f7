"""The checker of the fault suite finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.check import Verdict, judge
from tests.chaos.evidence import Evidence, Execution, Journal, Seen, Told, read_executions, read_journal
from tests.chaos.plan import Job

A, B = Seen("1-100"), Seen("2-200")
FAILED = Seen(None, "TASK_ERROR", "RuntimeError: no", 2, "worker-0")
CANCELLED = Seen(None, "CANCELLED", "cancelled", 1, "worker-0")
ONCE = Execution(attempt=1, pid=1, began_ns=1, ended_ns=2)
KILLED = replace(ONCE, ended_ns=None)


def job(kind: str = "ok", mode: str = "stored") -> Job:
    return Job(id="j", kind=kind, task=f"chaos.{kind}", n=1, mode=mode, patience_ms=1000)


def verdict(
    one: Job,
    *,
    enqueued: str = "accepted",
    replied: tuple[Seen, ...] = (),
    stored: Seen | None = None,
    executions: tuple[Execution, ...] = (ONCE,),
    dead: tuple[str, ...] = (),
    gone: str | None = None,
    cancelled: bool = False,
    left: dict[str, int] | None = None,
    stray: tuple[str, ...] = (),
    disruptions: int = 0,
    republications: int = 0,
) -> Verdict:
    told = Told(enqueued=enqueued, results=list(replied), gone=gone, cancelled=cancelled)
    return judge(
        [one],
        Evidence(
            journal=Journal({one.id: told}),
            executions={one.id: list(executions)} if executions else {},
            stored={one.id: stored} if stored else {},
            dead={one.id: list(dead)} if dead else {},
            left=left or {},
            stray=stray,
            disruptions=disruptions,
            republications=republications,
        ),
    )


def test_a_job_with_one_result_is_lawful() -> None:
    found = verdict(job(mode="reply+stored"), replied=(A,), stored=A)
    assert (found.violations, found.lost, found.results, found.executed_again) == ([], 0, 1, 0)


def test_an_accepted_job_without_stored_result_is_lost() -> None:
    assert verdict(job()).lost == 1


def test_a_reply_does_not_stand_in_for_the_stored_result() -> None:
    assert verdict(job(mode="reply+stored"), replied=(A,)).lost == 1


def test_an_accepted_job_without_reply_is_lost() -> None:
    assert verdict(job(mode="reply")).lost == 1


def test_a_reply_that_had_nowhere_to_go_is_counted_if_the_job_was_executed() -> None:
    found = verdict(job(mode="reply"), gone="cut")
    assert (found.lost, found.reply_gone, found.violations) == (0, 1, [])


@pytest.mark.parametrize("executions", [(), (KILLED,)], ids=["never", "cut off"])
def test_a_job_whose_reply_queue_is_gone_is_lost_if_it_was_not_executed(executions: tuple[Execution, ...]) -> None:
    assert verdict(job(mode="reply"), gone="cut", executions=executions).lost == 1


def test_two_different_results_are_seen_twice() -> None:
    assert verdict(job(mode="reply+stored"), replied=(A,), stored=B).visible_twice == 1


def test_the_same_reply_twice_is_seen_twice() -> None:
    assert verdict(job(mode="reply"), replied=(A, A)).visible_twice == 1


@pytest.mark.parametrize(
    "found",
    [
        verdict(job(), enqueued="refused", stored=A),
        verdict(job(), enqueued="refused"),
        verdict(job(), enqueued="refused", executions=(), dead=("TASK_ERROR",)),
    ],
    ids=["stored", "executed", "dead"],
)
def test_a_refused_job_has_no_trace(found: Verdict) -> None:
    assert found.without_job == 1
    assert found.violations


def test_a_result_of_a_job_that_was_never_planned_is_found() -> None:
    evidence = Evidence(journal=Journal(), executions={}, stored={"x": A}, dead={}, left={})
    assert judge([], evidence).without_job == 1


def test_an_execution_of_a_job_that_was_never_planned_is_found() -> None:
    evidence = Evidence(journal=Journal(), executions={"x": [ONCE]}, stored={}, dead={}, left={})
    assert judge([], evidence).without_job == 1


@pytest.mark.parametrize("stored", [None, A])
def test_an_unknown_job_may_have_a_result_or_none(stored: Seen | None) -> None:
    found = verdict(job(), enqueued="unknown", stored=stored, executions=(ONCE,) if stored else ())
    assert (found.violations, found.lost, found.unknown) == ([], 0, 1)


def test_executions_beyond_one_for_each_attempt_are_counted() -> None:
    second = replace(ONCE, attempt=2)
    found = verdict(job("flaky"), stored=A, executions=(ONCE, KILLED, ONCE, second), disruptions=2)
    assert (found.executed_again, found.most_executions, found.violations) == (2, 3, [])


@pytest.mark.parametrize(("disruptions", "republications", "lawful"), [(0, 0, False), (1, 0, True), (0, 1, True)])
def test_an_attempt_is_run_again_for_a_reason_only(disruptions: int, republications: int, lawful: bool) -> None:
    found = verdict(job(), stored=A, executions=(ONCE, ONCE), disruptions=disruptions, republications=republications)
    assert (not found.violations) is lawful


@pytest.mark.parametrize(
    ("attempt", "disruptions", "lawful"), [(1, 1, False), (1, 2, True), (2, 0, False), (2, 1, True)]
)
def test_a_retry_may_be_run_three_times_where_a_worker_has_lost_its_confirms_with_its_deliveries(
    attempt: int, disruptions: int, lawful: bool
) -> None:
    again = replace(ONCE, attempt=attempt)
    executions = (*(ONCE for _ in range(attempt - 1)), again, again, again)
    found = verdict(job("flaky"), stored=A, executions=executions, disruptions=disruptions)
    assert (not found.violations) is lawful


def test_a_job_that_ended_dead_is_in_the_dead_queue() -> None:
    assert verdict(job("fails"), stored=FAILED, dead=("TASK_ERROR",)).violations == []
    assert verdict(job("fails"), stored=FAILED).violations


def test_a_job_that_ended_well_is_not_in_the_dead_queue() -> None:
    assert verdict(job(), stored=A, dead=("CHILD_LOST",)).violations


def test_a_failure_that_the_task_cannot_have_is_counted_apart() -> None:
    lost_child = replace(FAILED, code="CHILD_LOST")
    assert verdict(job(), stored=lost_child, dead=("CHILD_LOST",)).unexpected == {"CHILD_LOST": 1}


@pytest.mark.parametrize("seen", [A, CANCELLED])
def test_a_job_that_was_to_be_cancelled_is_or_succeeds(seen: Seen) -> None:
    found = verdict(job("cancelled"), stored=seen, cancelled=True)
    assert (found.violations, found.cancelled) == ([], int(seen is CANCELLED))


def test_a_job_that_was_to_be_cancelled_ends_with_no_other_error() -> None:
    lost_child = replace(FAILED, code="CHILD_LOST")
    assert verdict(job("cancelled"), stored=lost_child, dead=("CHILD_LOST",), cancelled=True).violations


@pytest.mark.parametrize("kind", ["ok", "cancelled"])
def test_a_job_is_cancelled_only_if_that_was_asked_for(kind: str) -> None:
    assert verdict(job(kind), stored=CANCELLED).violations


def test_a_job_that_was_cancelled_before_it_started_may_have_nobody_to_tell() -> None:
    found = verdict(job("cancelled", mode="reply"), gone="cut", executions=(), cancelled=True)
    assert (found.lost, found.reply_gone, found.violations) == (0, 1, [])


def test_messages_that_are_left_and_processes_that_are_left_are_found() -> None:
    assert verdict(job(), stored=A, left={"chaos.wait.1s": 1, "chaos.lost": 0}, stray=("17 python",)).violations == [
        "1 messages are left in chaos.wait.1s",
        "a process is left: 17 python",
    ]


def test_a_line_that_was_cut_off_by_a_kill_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"e":"begin","id":"j","t":1}\n{"e":"accepted","id":"j","t"')
    assert read_journal(tmp_path / "journal.jsonl").jobs["j"].enqueued == "begun"


def test_an_execution_that_was_killed_has_no_end(tmp_path: Path) -> None:
    (tmp_path / "executions-7.log").write_text("S j 1 7 10\nS k 2 7 20\nE k 2 7 30\n")
    assert read_executions(tmp_path) == {"j": [Execution(1, 7, 10, None)], "k": [Execution(2, 7, 20, 30)]}
