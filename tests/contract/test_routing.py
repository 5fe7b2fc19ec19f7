"""The golden vectors of names, through the Python that makes and reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from penstock.domain.topology import Topology, level_for, retry_key, task_of_returned
from penstock.wire import headers
from penstock.wire.blob import Blob
from penstock.wire.registry import GRAMMAR_SHA256, REDIS_RESULT_CHANNEL, REDIS_RESULT_KEY
from tests.contract.test_vectors import vectors

MAKE: dict[str, Callable[..., Any]] = {
    "is_task": headers.is_task,
    "is_queue": headers.is_queue,
    "is_namespace": headers.is_namespace,
    "is_reply_to": headers.is_reply_to,
    "is_job_id": headers.is_job_id,
    "is_sha256": lambda text: re.fullmatch(GRAMMAR_SHA256, text) is not None,
    "queue_of": headers.queue_of,
    "exchange": lambda namespace, exchange: Topology(namespace).name(exchange),
    "work_queue": lambda namespace, queue: Topology(namespace).work_queue(queue),
    "dead_queue": lambda namespace, queue: Topology(namespace).dead_queue(queue),
    "reply_queue": lambda namespace, user, instance: Topology(namespace).name(f"reply.{user}.{instance}"),
    "result_key": lambda namespace, job_id: filled(REDIS_RESULT_KEY, namespace=namespace, job_id=job_id),
    "result_channel": lambda namespace, reply_to: filled(REDIS_RESULT_CHANNEL, namespace=namespace, reply_to=reply_to),
    "blob_key": lambda namespace, job_id, sha256: Blob(sha256, 1).key(namespace, job_id),
    "retry_key": lambda wait_ms, task: retry_key(level_for(wait_ms), task),
    "task_of_returned": task_of_returned,
    "time_of_job_id": headers.job_id_time_ms,
}


def filled(template: str, **names: str) -> str:
    for name, text in names.items():
        template = template.replace(f"{{{name}}}", text)
    return template


@pytest.mark.parametrize("vector", vectors("routing/names.json"))
def test_a_name_is_what_the_vector_says(vector: dict[str, Any]) -> None:
    assert MAKE[vector["of"]](*vector["given"].values()) == vector["is"]


def test_the_broker_has_the_queues_and_exchanges_that_the_vectors_name() -> None:
    made = [param.values[0] for param in vectors("routing/names.json")]
    named = {vector["of"]: vector["is"] for vector in made}
    topology = Topology("shop-eu")
    assert {named["work_queue"], named["dead_queue"]} <= {queue.name for queue in topology.queues(["stats"])}
    exchanges = {
        param.values[0]["is"] for param in vectors("routing/names.json") if param.values[0]["of"] == "exchange"
    }
    assert {exchange.name for exchange in topology.exchanges()} <= exchanges
