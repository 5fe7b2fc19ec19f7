"""What the log says of the end of a child."""

from __future__ import annotations

import dataclasses

from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.supervision import Reason
from penstock.lanes.end import End
from tests.unit.lanes.observed import job

LOST = Outcome(OutcomeKind.CHILD_LOST)


def ended(**changes: object) -> End:
    end = End(
        pid=7,
        status=-9,
        evidence=Evidence(exit="SIGKILL", peak_rss=None, stack=None),
        reason=Reason.MEMORY,
        said=None,
        outcomes=[],
        begun=[],
        apart=[],
        unstarted=[],
    )
    return dataclasses.replace(end, **changes)  # type: ignore[arg-type]


def test_the_reason_is_the_one_that_the_metric_counts() -> None:
    assert ended().fields()["reason"] == "memory"


def test_the_only_job_is_named() -> None:
    fields = ended(outcomes=[(job(1), LOST)]).fields()
    assert (fields["job_id"], fields["task"]) == (job(1).job_id, "q.step")
    assert (fields["tasks"], fields["jobs"]) == (None, None)


def test_of_several_jobs_none_is_named_as_the_cause() -> None:
    fields = ended(outcomes=[(job(1), LOST), (job(2, task="q.quick"), LOST)], apart=[job(3)]).fields()
    assert (fields["job_id"], fields["task"]) == (None, None)
    assert (fields["tasks"], fields["jobs"]) == (["q.quick", "q.step"], 3)


def test_the_only_task_of_several_jobs_is() -> None:
    fields = ended(apart=[job(1), job(2)]).fields()
    assert (fields["job_id"], fields["task"], fields["tasks"], fields["jobs"]) == (None, "q.step", None, 2)
