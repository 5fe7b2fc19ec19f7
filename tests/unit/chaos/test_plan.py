"""A run can be repeated from its seed."""

from __future__ import annotations

import random
from dataclasses import replace

from penstock.wire.headers import is_job_id
from tests.chaos.plan import PER_MILLE, draw_jobs
from tests.chaos.recovery import recovery

SECOND = 1_000_000_000


def test_the_same_seed_draws_the_same_jobs_but_for_the_moment_in_their_ids() -> None:
    def drawn() -> list[object]:
        return [replace(job, id=job.id[19:]) for job in draw_jobs(random.Random(7), 500)]

    assert drawn() == drawn()


def test_ids_are_unique_and_well_formed() -> None:
    ids = [job.id for job in draw_jobs(random.Random(7), 2000)]
    assert len(set(ids)) == 2000
    assert all(map(is_job_id, ids))


def test_every_kind_comes_and_a_crowd_stands_together() -> None:
    kinds = [job.kind for job in draw_jobs(random.Random(7), 20_000, [("hangs", 6)])]
    assert set(kinds) == {"ok", *PER_MILLE}
    assert "hangs " * 6 in " ".join(kinds) + " "
    assert len(kinds) == 20_000


def test_only_jobs_that_are_to_be_cancelled_are() -> None:
    jobs = draw_jobs(random.Random(7), 500, [("cancelled", 12)] * 2)
    assert [job.kind for job in jobs if job.cancel_ms is not None] == ["cancelled"] * 24


def test_recovery_ends_with_the_first_window_that_is_as_full_as_before() -> None:
    # given a job every 10 ms, nothing from second 1 to 3, and the same pace again
    ends = [n * SECOND // 100 for n in (*range(100), *range(300, 400))]
    # when the fault healed at second 2
    found = recovery(ends, harmed_ns=SECOND, healed_ns=2 * SECOND)
    # then the flow was back one second later
    assert found == {"recovery_s": 1.0, "gap_s": 2.0}


def test_recovery_ends_with_the_last_job_when_there_is_no_flow_any_more() -> None:
    ends = [n * SECOND // 100 for n in (*range(100), 250)]
    assert recovery(ends, harmed_ns=SECOND, healed_ns=2 * SECOND)["recovery_s"] == 0.5


def test_a_run_without_executions_has_no_recovery() -> None:
    assert recovery([], harmed_ns=1, healed_ns=2) == {"recovery_s": None, "gap_s": None}
