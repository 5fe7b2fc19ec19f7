"""Python's side of repeat/expected.json: a worker looks up what its producer published again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pika import BasicProperties, spec

from penstock.domain.topology import Topology
from penstock.worker.intake import Intake
from tests.unit.builders import JOB_ID, make_queue

PUBLICATIONS = json.loads(Path(__file__).with_name("expected.json").read_text())["publications"]


@pytest.mark.parametrize("publication", PUBLICATIONS, ids=lambda publication: publication["name"])
def test_the_worker_looks_up_what_was_published_again(publication: dict[str, Any]) -> None:
    # Given the message as Go publishes it
    headers: dict[str, Any] = {"x-result": "stored", "x-task-version": 1}
    if publication["repeat"] is not None:
        headers["x-repeat"] = publication["repeat"]
    properties = BasicProperties(type="job.v1", message_id=JOB_ID, headers=headers)
    method = spec.Basic.Deliver("c", 1, False, "penstock.jobs", "stats.norm")

    # When a worker takes it in
    intake = Intake(make_queue(), Topology(), strict=False, has_store=True, max_body_bytes=100)
    delivery = intake.read(None, method, properties, b"sealed")

    # Then it knows whether the job may have ended before
    assert delivery.again is publication["looked_up"]
    assert intake.refuse(delivery, now_ms=0) is None
