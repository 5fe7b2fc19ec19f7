"""The readings of the metrics page: what is on it is how things are when it is asked for."""

from __future__ import annotations

from penstock.broker.ports import ConnectionState
from penstock.telemetry.metrics import Metrics
from penstock.worker import readings
from tests.unit.builders import make_queue
from tests.unit.worker.parts import FakeBroker, FakeQueue, FakeStore, cast_any


def lines(metrics: Metrics) -> list[str]:
    return metrics.page().decode().splitlines()


def test_the_page_shows_the_parts_as_they_are() -> None:
    # Given a worker
    metrics, queue, broker, store = Metrics([make_queue()]), FakeQueue(), FakeBroker(), FakeStore()
    broker.states = [
        ConnectionState("consume", up=True, blocked=False, opened=1),
        ConnectionState("publish", up=True, blocked=True, opened=4),
    ]
    readings.register(metrics, cast_any([queue]), cast_any(broker), cast_any(store))

    # When the page is asked for, then it has the state of every part
    page = lines(metrics)
    for line in (
        'penstock_jobs_in_progress{queue="stats"} 3.0',
        'penstock_intake_paused{queue="stats"} 0.0',
        'penstock_room{queue="stats"} 2.0',
        'penstock_children{queue="stats",state="idle"} 2.0',
        'penstock_children{queue="stats",state="broken"} 0.0',
        'penstock_child_exits_total{queue="stats",reason="crash"} 1.0',
        'penstock_child_exits_total{queue="stats",reason="memory"} 0.0',
        'penstock_amqp_connection_up{connection="consume"} 1.0',
        'penstock_amqp_blocked{connection="consume"} 0.0',
        'penstock_amqp_blocked{connection="publish"} 1.0',
        'penstock_amqp_reconnects_total{connection="consume"} 0.0',
        'penstock_amqp_reconnects_total{connection="publish"} 3.0',
        "penstock_redis_up 1.0",
    ):
        assert line in page

    # And when they change, so does the page
    queue.paused, store.trouble = True, "away"
    broker.states = [ConnectionState("consume", up=False, blocked=False, opened=0)]
    page = lines(metrics)
    for line in (
        'penstock_intake_paused{queue="stats"} 1.0',
        'penstock_amqp_connection_up{connection="consume"} 0.0',
        'penstock_amqp_reconnects_total{connection="consume"} 0.0',
        "penstock_redis_up 0.0",
    ):
        assert line in page


def test_a_worker_without_a_store_shows_none() -> None:
    metrics = Metrics([make_queue()])
    readings.register(metrics, cast_any([FakeQueue()]), cast_any(FakeBroker()), None)
    assert not any(line.startswith("penstock_redis_up") for line in lines(metrics))
