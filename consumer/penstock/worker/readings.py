"""The metrics that are read when somebody asks: how the parts of a worker are, not what happened to its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from penstock import __version__
from penstock.broker.ports import Broker, ConnectionState
from penstock.domain.supervision import Reason
from penstock.lanes.supervisor import STATES
from penstock.results.ports import ResultStore
from penstock.telemetry.metrics import Labels, Metrics
from penstock.worker.served import ServedQueue


def register(metrics: Metrics, queues: Sequence[ServedQueue], broker: Broker, store: ResultStore | None) -> None:
    """Have them read from these parts."""

    def each_queue(value: Callable[[ServedQueue], float]) -> Callable[[], dict[Labels, float]]:
        return lambda: {(queue.spec.name,): float(value(queue)) for queue in queues}

    def each_count(
        counts: Callable[[ServedQueue], Mapping[str, int]], known: Iterable[str]
    ) -> Callable[[], dict[Labels, float]]:
        # All from the start, at 0: the first increase of a series that was not there is none.
        zeros = dict.fromkeys(known, 0)
        return lambda: {(q.spec.name, key): float(n) for q in queues for key, n in {**zeros, **counts(q)}.items()}

    def each_connection(value: Callable[[ConnectionState], float]) -> Callable[[], dict[Labels, float]]:
        return lambda: {(state.label,): float(value(state)) for state in broker.connections()}

    read = metrics.read
    read("penstock_build_info", lambda: {(__version__,): 1.0})
    read("penstock_jobs_in_progress", each_queue(lambda queue: queue.lane.in_progress))
    read("penstock_intake_paused", each_queue(lambda queue: queue.paused))
    read("penstock_room", each_queue(lambda queue: queue.lane.room))
    read("penstock_children", each_count(lambda queue: queue.lane.states(), STATES))
    read("penstock_child_exits_total", each_count(lambda queue: queue.lane.exits, Reason))
    read("penstock_amqp_connection_up", each_connection(lambda state: state.up))
    read("penstock_amqp_blocked", each_connection(lambda state: state.blocked))
    read("penstock_amqp_reconnects_total", each_connection(lambda state: max(0, state.opened - 1)))
    read("penstock_redis_up", lambda: {(): float(store.up)} if store is not None else {})
