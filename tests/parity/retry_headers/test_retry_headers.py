"""Python's side of retry_headers/expected.json: what a retry copy carries, and from whom it is believed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pika import BasicProperties, spec

from penstock.broker.messages import waiting_copy
from penstock.domain.delivery import Delivery
from penstock.domain.spent import Spent
from penstock.domain.topology import Topology
from penstock.wire.registry import ResultMode
from penstock.worker.intake import Intake
from tests.unit.builders import make_delivery, make_queue, make_task

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())
JOB = EXPECTED["job"]


def read(exchange: str, routing_key: str) -> Delivery:
    """The copy's headers, as a worker reads them in a delivery from an exchange."""
    queue = make_queue(make_task(JOB["task"], version=JOB["version"]))
    intake = Intake(queue, Topology(), strict=False, has_store=True, max_body_bytes=100)
    properties = BasicProperties(type="job.v1", message_id=JOB["id"], headers=EXPECTED["copy"])
    return intake.read(None, spec.Basic.Deliver("c", 1, False, exchange, routing_key), properties, b"sealed")


def test_a_retry_copy_carries_what_the_job_has_spent() -> None:
    # Given a job with a past
    delivery = make_delivery(
        task=JOB["task"],
        job_id=JOB["id"],
        version=JOB["version"],
        deadline_ms=JOB["deadline"],
        mode=ResultMode(JOB["result"]),
        user=JOB["user"],
        replays=JOB["replays"],
        fence=JOB["fence"],
    )

    # When it is sent to wait
    copy = waiting_copy(delivery, Spent(**EXPECTED["spent"]), not_before_ms=EXPECTED["not_before"])

    # Then the copy says so, and nothing else
    assert copy.headers == EXPECTED["copy"]
    assert copy.user_id is None


def test_a_copy_from_the_return_exchange_is_believed() -> None:
    delivery = read("penstock.return", f"1m.{JOB['task']}")

    assert asdict(delivery.spent) == EXPECTED["spent"]
    assert (delivery.task, delivery.user, delivery.again) == (JOB["task"], JOB["user"], True)
    assert (delivery.attempt, delivery.replays) == (EXPECTED["copy"]["x-attempt"], JOB["replays"])
    assert delivery.fence > JOB["fence"]


def test_a_producer_cannot_say_what_its_job_has_spent() -> None:
    delivery = read("penstock.jobs", JOB["task"])

    believed = EXPECTED["from_producer"]
    assert asdict(delivery.spent) == believed["spent"]
    assert (delivery.attempt, delivery.user, delivery.replays) == (
        believed["attempt"],
        believed["user"],
        believed["replays"],
    )
