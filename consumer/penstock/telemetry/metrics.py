"""The worker's metrics: plain numbers on the hot path, Prometheus objects when somebody asks.

Names, labels and buckets are those of the registry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import OutcomeKind
from penstock.domain.task import QueueSpec
from penstock.wire.registry import METRICS, MetricRow

_ROWS: Final = {row.name: row for row in METRICS}

Labels = tuple[str, ...]
#: A gauge or counter that is read when somebody asks: its value by labels.
Reading = Callable[[], dict[Labels, float]]


class _Histogram:
    """Counts per bucket and a sum, for one set of labels."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        running, result = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            result.append(("+Inf" if bound == float("inf") else str(float(bound)), float(running)))
        return result


class Metrics(Collector):
    """Counts what happens to jobs.

    Args:
        queues: The queues of the worker; every series of theirs exists from the start, at 0.
    """

    def __init__(self, queues: Iterable[QueueSpec]) -> None:
        self._counters: dict[str, Counter[Labels]] = {row.name: Counter() for row in METRICS if row.type == "counter"}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {
            row.name: {} for row in METRICS if row.type == "histogram"
        }
        self._readings: dict[str, Reading] = {}
        self._started = self._counters["penstock_jobs_started_total"]
        self._finished = self._counters["penstock_jobs_finished_total"]
        self._wait = self._histograms["penstock_job_wait_seconds"]
        self._run = self._histograms["penstock_job_run_seconds"]
        for queue in queues:
            self._create(queue)
        self._page = CollectorRegistry(auto_describe=False)
        self._page.register(self)

    def _create(self, queue: QueueSpec) -> None:
        """All series of a queue, so that their first increase is seen."""
        for name, counter in self._counters.items():
            if _ROWS[name].labels == ("queue",):
                counter[(queue.name,)] = 0
        for task in queue.tasks:
            labels = (queue.name, task)
            for name, counter in self._counters.items():
                if _ROWS[name].labels == ("queue", "task"):
                    counter[labels] = 0
            for kind in OutcomeKind:
                self._finished[(*labels, kind.value)] = 0
            for name, histograms in self._histograms.items():
                histograms[labels] = _Histogram(tuple(_ROWS[name].buckets))

    def read(self, name: str, reading: Reading) -> None:
        """Have a metric of the registry read by a function whenever the page is made."""
        assert name in _ROWS
        self._readings[name] = reading

    # ── what happens to jobs ────────────────────────────────────────────────────────────────────

    def started(self, delivery: Delivery, waited_s: float | None) -> None:
        """An attempt goes to the lane; `waited_s` is given for first attempts."""
        labels = (delivery.queue, delivery.task)
        self._started[labels] += 1
        if waited_s is not None and (histogram := self._wait.get(labels)) is not None:
            histogram.observe(waited_s)

    def finished(self, delivery: Delivery, kind: OutcomeKind, run_s: float) -> None:
        """An attempt has ended. A task that this worker does not know is counted as `_OTHER`."""
        histogram = self._run.get((delivery.queue, delivery.task))
        task = delivery.task if histogram is not None else "_OTHER"
        self._finished[(delivery.queue, task, kind.value)] += 1
        if histogram is not None and run_s > 0:
            histogram.observe(run_s)

    def retried(self, delivery: Delivery) -> None:
        """A retry copy is confirmed."""
        self._counters["penstock_jobs_retried_total"][(delivery.queue, delivery.task)] += 1

    def retry_postponed(self, delivery: Delivery) -> None:
        """A due retry goes back to wait: the task's retry budget is used up."""
        self._counters["penstock_retries_postponed_total"][(delivery.queue, delivery.task)] += 1

    def quarantined(self, delivery: Delivery) -> None:
        """An attempt runs in the quarantine slot."""
        self._counters["penstock_jobs_quarantined_total"][(delivery.queue, delivery.task)] += 1

    def found_done(self, delivery: Delivery) -> None:
        """A job has a result already."""
        self._counters["penstock_jobs_found_done_total"][(delivery.queue,)] += 1

    def adopted(self, delivery: Delivery) -> None:
        """A job that this worker has was handed out again."""
        self._counters["penstock_deliveries_adopted_total"][(delivery.queue,)] += 1

    def items_sent(self, delivery: Delivery, count: int) -> None:
        """Items of a job were confirmed by the broker, or stored."""
        self._counters["penstock_items_sent_total"][(delivery.queue, delivery.task)] += count

    def dead_lettered(self, delivery: Delivery) -> None:
        """A dead copy is confirmed."""
        task = delivery.task if (delivery.queue, delivery.task) in self._run else "_OTHER"
        self._counters["penstock_jobs_dead_lettered_total"][(delivery.queue, task)] += 1

    def unroutable_reply(self, delivery: Delivery) -> None:
        """The requester of a reply is gone."""
        self._counters["penstock_replies_unroutable_total"][(delivery.queue,)] += 1

    def duplicate_result(self, delivery: Delivery) -> None:
        """A stored result lost to an earlier one."""
        self._counters["penstock_results_duplicate_total"][(delivery.queue,)] += 1

    # ── the page ────────────────────────────────────────────────────────────────────────────────

    def page(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._page)

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client: one family per row of the registry."""
        for row in METRICS:
            if row.type == "histogram":
                yield self._histogram(row)
                continue
            values = self._readings[row.name]() if row.name in self._readings else self._counters.get(row.name, {})
            kind = CounterMetricFamily if row.type == "counter" else GaugeMetricFamily
            family = kind(row.name.removesuffix("_total"), row.meaning, labels=list(row.labels))
            for labels, value in values.items():
                family.add_metric(list(labels), value)
            yield family

    def _histogram(self, row: MetricRow) -> HistogramMetricFamily:
        family = HistogramMetricFamily(row.name, row.meaning, labels=list(row.labels))
        for labels, histogram in self._histograms[row.name].items():
            family.add_metric(list(labels), histogram.buckets(), histogram.total)
        return family
