"""Metrics: plain numbers become the page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from penstock.domain.outcome import OutcomeKind
from penstock.telemetry.metrics import Metrics
from penstock.wire.registry import METRICS
from tests.unit.builders import make_delivery, make_queue, make_task

NORM = {"queue": "stats", "task": "stats.norm"}
ROWS = {row.name: row for row in METRICS}
HISTOGRAMS = [row for row in METRICS if row.type == "histogram"]


def make_metrics() -> Metrics:
    """Metrics of two queues, one of them with two tasks."""
    return Metrics(
        [
            make_queue(make_task("stats.norm"), make_task("stats.sqrt")),
            make_queue(make_task("images.thumb"), name="images"),
        ]
    )


def families(metrics: Metrics) -> dict[str, Metric]:
    """The page, read as Prometheus reads it."""
    return {family.name: family for family in text_string_to_metric_families(metrics.page().decode())}


def samples(metrics: Metrics, name: str) -> list[Sample]:
    return [sample for family in families(metrics).values() for sample in family.samples if sample.name == name]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    (found,) = [sample.value for sample in samples(metrics, name) if sample.labels == labels]
    return float(found)


def read_everything(metrics: Metrics) -> None:
    """Give every metric that is read on demand a value."""
    for row in METRICS:
        if row.type != "histogram" and not samples(metrics, row.name):
            labels = tuple(f"{label}-1" for label in row.labels)
            metrics.read(row.name, lambda labels=labels: {labels: 5.0})  # type: ignore[misc]


# ── the page ────────────────────────────────────────────────────────────────────────────────────────


def test_every_metric_of_the_registry_is_on_the_page_with_its_type_labels_and_meaning() -> None:
    # Given metrics, and something to read for each that is read on demand
    metrics = make_metrics()
    read_everything(metrics)

    # When the page is read
    page = families(metrics)

    # Then the registry's metrics are on it, and no others
    assert set(page) == {row.name.removesuffix("_total") for row in METRICS}
    for row in METRICS:
        family = page[row.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (row.type, row.meaning)
        labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        assert labels == {frozenset(row.labels)}, row.name


def test_every_series_of_a_queue_exists_from_the_start_at_zero() -> None:
    """A series that appears with its first increase has no increase that Prometheus can see."""
    # Given a worker that has done nothing
    metrics = make_metrics()

    # When its page is read
    # Then the counters of each task and each outcome are there
    for task, queue in (("stats.norm", "stats"), ("stats.sqrt", "stats"), ("images.thumb", "images")):
        for name in ("jobs_started", "jobs_retried", "retries_postponed", "jobs_quarantined", "jobs_dead_lettered"):
            assert value(metrics, f"penstock_{name}_total", queue=queue, task=task) == 0
        for kind in OutcomeKind:
            assert value(metrics, "penstock_jobs_finished_total", queue=queue, task=task, outcome=kind) == 0
        for row in HISTOGRAMS:
            assert value(metrics, f"{row.name}_count", queue=queue, task=task) == 0
    for name in ("replies_unroutable", "results_duplicate", "jobs_found_done", "deliveries_adopted"):
        found = samples(metrics, f"penstock_{name}_total")
        assert {sample.labels["queue"] for sample in found} == {"stats", "images"}


def test_what_is_read_on_demand_is_read_anew_for_every_page() -> None:
    # Given a reading that changes
    metrics = make_metrics()
    ages = iter([1.0, 2.0])
    metrics.read("penstock_redis_up", lambda: {(): next(ages)})

    # When two pages are made, then each has its own value
    assert [value(metrics, "penstock_redis_up") for _ in range(2)] == [1.0, 2.0]


def test_a_counter_may_be_read_on_demand_too() -> None:
    metrics = make_metrics()
    metrics.read("penstock_child_exits_total", lambda: {("stats", "crash"): 3.0})
    assert value(metrics, "penstock_child_exits_total", queue="stats", reason="crash") == 3


def test_a_name_that_is_not_in_the_registry_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        make_metrics().read("penstock_made_up", dict)


# ── what happens to jobs ────────────────────────────────────────────────────────────────────────────


def test_each_event_counts_in_its_own_series() -> None:
    # Given two jobs of one task and one of another
    metrics = make_metrics()
    norm, thumb = make_delivery(), make_delivery(task="images.thumb", queue="images")

    # When things happen to them
    metrics.started(norm, None)
    metrics.started(norm, None)
    metrics.started(thumb, None)
    metrics.finished(norm, OutcomeKind.RAISED, 0.1)
    metrics.retried(norm)
    metrics.retry_postponed(norm)
    metrics.quarantined(thumb)
    metrics.found_done(norm)
    metrics.adopted(thumb)
    metrics.dead_lettered(thumb)
    metrics.unroutable_reply(norm)
    metrics.duplicate_result(thumb)

    # Then each is counted once, where it belongs
    counted = {
        (sample.name.removeprefix("penstock_"), *sample.labels.values()): sample.value
        for row in METRICS
        if row.type == "counter"
        for sample in samples(metrics, row.name)
        if sample.value
    }
    assert counted == {
        ("jobs_started_total", "stats", "stats.norm"): 2,
        ("jobs_started_total", "images", "images.thumb"): 1,
        ("jobs_finished_total", "raised", "stats", "stats.norm"): 1,
        ("jobs_retried_total", "stats", "stats.norm"): 1,
        ("retries_postponed_total", "stats", "stats.norm"): 1,
        ("jobs_quarantined_total", "images", "images.thumb"): 1,
        ("jobs_found_done_total", "stats"): 1,
        ("deliveries_adopted_total", "images"): 1,
        ("jobs_dead_lettered_total", "images", "images.thumb"): 1,
        ("replies_unroutable_total", "stats"): 1,
        ("results_duplicate_total", "images"): 1,
    }


def test_tasks_that_are_unknown_are_counted_together() -> None:
    """Labels are closed sets: what a producer writes must not become a series."""
    # Given a thousand messages for tasks that do not exist
    metrics = make_metrics()
    for number in range(1000):
        stranger = make_delivery(task=f"stats.nonsense_{number}")
        metrics.finished(stranger, OutcomeKind.UNDECODABLE, 0.0)
        metrics.dead_lettered(stranger)

    # When the page is read, then they have one series each for the outcome and the dead letter
    other = {"queue": "stats", "task": "_OTHER"}
    assert value(metrics, "penstock_jobs_finished_total", **other, outcome="undecodable") == 1000
    assert value(metrics, "penstock_jobs_dead_lettered_total", **other) == 1000
    assert b"nonsense" not in metrics.page()


def test_a_job_that_never_ran_has_no_run_time() -> None:
    metrics = make_metrics()
    metrics.finished(make_delivery(), OutcomeKind.EXPIRED, 0.0)
    assert value(metrics, "penstock_job_run_seconds_count", **NORM) == 0


# ── histograms ──────────────────────────────────────────────────────────────────────────────────────


def observe(metrics: Metrics, values: Iterable[float]) -> None:
    for seconds in values:
        metrics.finished(make_delivery(), OutcomeKind.SUCCEEDED, seconds)


def buckets(metrics: Metrics, name: str = "penstock_job_run_seconds") -> dict[float, float]:
    return {
        float(sample.labels["le"]): sample.value
        for sample in samples(metrics, f"{name}_bucket")
        if sample.labels["task"] == "stats.norm"
    }


def test_buckets_are_those_of_the_registry_and_one_for_the_rest() -> None:
    for row in HISTOGRAMS:
        assert list(buckets(make_metrics(), row.name)) == [*map(float, row.buckets), float("inf")]


def test_buckets_are_cumulative() -> None:
    # Given run times below, between and above the buckets
    metrics = make_metrics()
    observe(metrics, [0.001, 0.02, 0.02, 3.0, 5000.0])

    # When the page is read
    counts = buckets(metrics)

    # Then each bucket counts everything up to its bound
    expected = {bound: float(sum(s <= bound for s in (0.001, 0.02, 0.02, 3.0, 5000.0))) for bound in counts}
    assert counts == expected
    assert list(counts.values()) == sorted(counts.values())
    assert value(metrics, "penstock_job_run_seconds_count", **NORM) == 5
    assert value(metrics, "penstock_job_run_seconds_sum", **NORM) == pytest.approx(5003.041)


@pytest.mark.parametrize("bound", ROWS["penstock_job_run_seconds"].buckets)
def test_a_value_at_a_bound_is_within_its_bucket(bound: float) -> None:
    """`le` means less or equal."""
    metrics = make_metrics()
    observe(metrics, [bound])
    counts = buckets(metrics)
    assert counts[bound] == 1
    assert sum(counts.values()) == len([other for other in counts if other >= bound])


def test_the_wait_of_a_first_attempt_is_observed_and_of_later_ones_is_not() -> None:
    metrics = make_metrics()
    metrics.started(make_delivery(), 0.3)
    metrics.started(make_delivery(attempt=2), None)
    assert value(metrics, "penstock_job_wait_seconds_count", **NORM) == 1
    assert value(metrics, "penstock_job_wait_seconds_sum", **NORM) == pytest.approx(0.3)


def test_a_wait_of_nothing_is_a_wait() -> None:
    metrics = make_metrics()
    metrics.started(make_delivery(), 0.0)
    assert value(metrics, "penstock_job_wait_seconds_count", **NORM) == 1
