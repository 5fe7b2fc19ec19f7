"""Python's side of published_job/expected.json: the worker reads in the message what the caller meant."""

from __future__ import annotations

import json
from pathlib import Path

from pika import BasicProperties, spec

from penstock.domain.lane import Processes
from penstock.domain.retry import NO_RETRY
from penstock.domain.task import QueueSpec, TaskSpec
from penstock.domain.topology import Topology
from penstock.wire.job import Job, decode_job, encode_job
from penstock.worker.intake import Intake

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())


def test_the_worker_reads_what_go_publishes() -> None:
    # Given the message that Go publishes
    job, message = EXPECTED["job"], EXPECTED["message"]
    body = encode_job(
        Job(
            id=job["id"],
            task=job["task"],
            tv=job["version"],
            args=job["args"],
            created_at=1730000000000,
            deadline=job["deadline"],
            meta=job["meta"],
        )
    )
    names = ("type", "content_type", "message_id", "correlation_id", "delivery_mode", "headers")
    properties = BasicProperties(**{name: message[name] for name in names}, reply_to="guest.i1", user_id="guest")
    method = spec.Basic.Deliver("c", 1, False, f"penstock.{message['exchange']}", message["routing_key"])
    task = TaskSpec(name=job["task"], version=job["version"], timeout_s=None, retry=NO_RETRY)
    queue = QueueSpec(name="q", target="m:q", lane=Processes(1), tasks={task.name: {task.version: task}})

    # When a strict worker takes it in
    intake = Intake(queue, Topology(), strict=True, has_store=True, max_body_bytes=len(body))
    delivery = intake.read(None, method, properties, body)

    # Then nothing is refused, and every field says what the caller said
    assert intake.refuse(delivery, now_ms=1730000000000) is None
    assert intake.waits(delivery, now_ms=1730000000000)
    assert (delivery.task, delivery.job_id, delivery.version) == (job["task"], job["id"], job["version"])
    assert (delivery.deadline_ms, delivery.not_before_ms) == (job["deadline"], job["not_before"])
    assert (delivery.mode, delivery.attempt, delivery.user) == (job["result"], 1, "guest")
    seen = decode_job(delivery.body)
    assert (seen.args, dict(seen.meta), seen.deadline) == (job["args"], job["meta"], job["deadline"])
