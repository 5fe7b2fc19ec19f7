"""Bodies too long for a message: they lie in Redis, and whatever becomes of the job they are there when it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from penstock.wire.blob import Blob
from penstock.wire.job import Job, encode_job
from penstock.wire.registry import BLOB_SETTLED_MS, BLOB_TTL_MS, MAX_BLOB_BYTES
from penstock.wire.result import decode_result
from tests.helpers.private import private_redis
from tests.helpers.producer import Producer, new_id
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

LONG = bytes(range(256)) * 12_000
DAY_MS = 86_400_000


class Blobs:
    """The producer's side of the store."""

    def __init__(self, client: Any, producer: Producer) -> None:
        self._client = client
        self._producer = producer

    def key(self, job_id: str, blob: Blob) -> str:
        return blob.key(self._producer.topology.namespace, job_id)

    def lives_ms(self, job_id: str, blob: Blob) -> int:
        return int(self._client.pttl(self.key(job_id, blob)))

    def put(self, job_id: str, task: str, args: dict[str, Any]) -> tuple[Blob, dict[str, Any]]:
        """Put a job's body there; returns what it is, and the headers that say so."""
        job = Job(id=job_id, task=task, tv=1, args=args, created_at=int(time.time() * 1000))
        body = encode_job(job, max_bytes=MAX_BLOB_BYTES)
        blob = Blob.of(body)
        self._client.set(self.key(job_id, blob), body, px=DAY_MS)
        return blob, {**blob.headers(), "x-max-result": MAX_BLOB_BYTES}

    def enqueue(self, task: str, args: dict[str, Any], **headers: Any) -> tuple[str, Blob]:
        """Enqueue a job whose body lies there."""
        job_id = new_id()
        blob, claim = self.put(job_id, task, args)
        self._producer.enqueue(task, message_id=job_id, body=b"", headers={**claim, **headers})
        return job_id, blob

    def claimed(self, job_id: str) -> bytes:
        """The result that a reply names."""
        blob = until(lambda: self._producer.claim(job_id), "a reply")
        assert blob is not None
        stored = bytes(self._client.get(self.key(job_id, blob)))
        assert Blob.of(stored) == blob
        return stored

    def overwrite(self, job_id: str, blob: Blob, body: bytes) -> None:
        """Put something else under its name."""
        self._client.set(self.key(job_id, blob), body)


@pytest.fixture
def blobs(running: Producer, redis_url: str) -> Iterator[Blobs]:
    with redis.Redis.from_url(redis_url) as client:
        yield Blobs(client, running)


def test_a_long_body_comes_out_of_redis_and_a_long_result_goes_there(blobs: Blobs) -> None:
    # Given a job with 3 MB
    job_id, blob = blobs.enqueue("t.echo", {"value": LONG})

    # When its reply has come
    result = decode_result(blobs.claimed(job_id), max_bytes=MAX_BLOB_BYTES)

    # Then the reply names what the task gave back, and the body of the job will soon be gone
    assert (result.job_id, result.value, result.error) == (job_id, LONG, None)
    until(lambda: 0 < blobs.lives_ms(job_id, blob) <= BLOB_SETTLED_MS, "the end of the body")


def test_a_long_result_can_be_stored(blobs: Blobs, running: Producer, redis_url: str) -> None:
    job_id, _ = blobs.enqueue("t.echo", {"value": LONG}, **{"x-result": "stored"})
    with redis.Redis.from_url(redis_url) as client:
        key = f"{running.topology.namespace}:result:{{{job_id}}}"
        stored: Any = until(lambda: client.get(key), "the result")
        assert decode_result(stored, max_bytes=MAX_BLOB_BYTES).value == LONG
        assert not client.keys(f"{running.topology.namespace}:blob:*{job_id}*{Blob.of(stored).sha256}")


def test_a_body_that_is_gone_or_another_is_a_refusal_and_the_job_is_kept(blobs: Blobs, running: Producer) -> None:
    # Given a job whose body never came to Redis, and one whose body is another
    gone, other = new_id(), new_id()
    running.enqueue("t.echo", message_id=gone, body=b"", headers=Blob.of(b"gone").headers())
    blob, claim = blobs.put(other, "t.echo", {"value": 1})
    blobs.overwrite(other, blob, b"x" * blob.size)
    running.enqueue("t.echo", message_id=other, body=b"", headers=claim)

    # When they are answered
    for job_id, word in ((gone, "not in the store"), (other, "SHA-256")):
        error = running.result(job_id).error
        assert error is not None
        assert (error.code, error.retryable) == ("BLOB_UNAVAILABLE", False)
        assert word in error.message

    # Then both are in the dead queue, and say which bodies they had
    dead = {}
    while taken := running.take("dead.t"):
        dead[taken[1].message_id] = taken[1].headers
    assert set(dead) == {gone, other}
    assert dead[other]["x-blob"] == blob.sha256


def test_a_body_waits_for_the_next_attempt_of_its_job(blobs: Blobs) -> None:
    job_id, _ = blobs.enqueue("t.second_time", {"value": LONG, "good": True})
    result = decode_result(blobs.claimed(job_id), max_bytes=MAX_BLOB_BYTES)
    assert (result.value, result.attempt) == (LONG, 2)


def test_a_body_outlives_the_death_of_its_job(blobs: Blobs, running: Producer) -> None:
    # Given a job with a long body that fails for good
    job_id, blob = blobs.enqueue("t.second_time", {"value": LONG, "good": False})
    assert running.result(job_id).error is not None

    # Then its body is kept for a replay
    until(lambda: blobs.lives_ms(job_id, blob) > BLOB_TTL_MS - DAY_MS, "a week for the dead")


def test_a_long_body_comes_through_a_loss_of_redis(
    start_worker: Callable[..., WorkerProcess], producer: Producer
) -> None:
    # Given a worker whose Redis is gone, and a job whose body lies there
    with private_redis(durable=True) as server, redis.Redis.from_url(server.url) as client:
        worker = start_worker("--redis-url", server.url)
        blobs = Blobs(client, producer)
        job_id = new_id()
        _, claim = blobs.put(job_id, "t.echo", {"value": LONG})
        server.kill()
        producer.enqueue("t.echo", message_id=job_id, body=b"", headers=claim)
        until(lambda: worker.records("redis.unavailable"), "the worker to notice")

        # When Redis is back with all that it had
        server.start()

        # Then the job is answered
        assert decode_result(blobs.claimed(job_id), max_bytes=MAX_BLOB_BYTES).value == LONG


def test_a_worker_without_redis_says_so(start_worker: Callable[..., WorkerProcess], producer: Producer) -> None:
    start_worker("--redis-url", "")
    error = producer.call("t.echo", body=b"", headers=Blob.of(b"x" * 5000).headers()).error
    assert error is not None
    assert (error.code, "--redis-url" in error.message) == ("INTERNAL", True)
