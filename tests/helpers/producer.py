"""A producer for tests: publishes exactly what it is told, well-formed or not."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import Any, Self

import pika

from penstock.domain.topology import Topology
from penstock.wire.blob import Blob
from penstock.wire.items import apart
from penstock.wire.job import Job, encode_job
from penstock.wire.result import Result, decode_result


def new_id(at_ms: int | None = None) -> str:
    """A UUIDv7 (RFC 9562, section 5.7)."""
    ms = int(time.time() * 1000) if at_ms is None else at_ms
    random_bits = secrets.randbits(74)
    number = ms << 80 | 7 << 76 | random_bits >> 62 << 64 | 2 << 62 | random_bits & (1 << 62) - 1
    return str(uuid.UUID(int=number))


class Producer:
    """One connection with a reply queue, on a namespace of its own."""

    def __init__(self, url: str, topology: Topology) -> None:
        self.topology = topology
        parameters = pika.URLParameters(url)
        self.user = parameters.credentials.username
        self.reply_to = f"{self.user}.t{secrets.token_hex(4)}"
        self._connection = pika.BlockingConnection(parameters)
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()
        self._replies: dict[str, list[Result]] = {}
        self._answered: list[str] = []
        self._claims: dict[str, Blob] = {}
        self._steps: dict[str, list[tuple[str, str]]] = {}
        self._told: dict[str, list[Any]] = {}
        self._consuming = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.is_open:
            self._connection.close()

    def enqueue(self, task: str, args: dict[str, Any] | None = None, **given: Any) -> str:
        """Publish a job and await the broker's confirm; returns its id.

        Keywords that a property of the message has replace it (`type`, `user_id`, `message_id`, ...); `body`
        replaces the body, `tv` is its version of the task, 1 unless given; `headers` are added, `deadline` goes to the
        body and the header. `exchange` and `key` are jobs and the task unless given.
        """
        self._consume()
        job_id = given.pop("message_id", None) or new_id()
        headers = dict(given.pop("headers", {}))
        deadline = given.pop("deadline", None)
        exchange, key = given.pop("exchange", "jobs"), given.pop("key", task)
        if deadline is not None:
            headers["x-deadline"] = deadline
        body, version = given.pop("body", None), given.pop("tv", 1)
        if body is None:
            now = int(time.time() * 1000)
            body = encode_job(Job(id=job_id, task=task, tv=version, args=args or {}, created_at=now, deadline=deadline))
        properties = {
            "message_id": job_id,
            "correlation_id": job_id,
            "type": "job.v1",
            "content_type": "application/vnd.msgpack",
            "reply_to": self.reply_to,
            "user_id": self.user,
            "delivery_mode": 2,
            "headers": headers,
            **given,
        }
        self.channel.basic_publish(
            self.topology.name(exchange), key, body, pika.BasicProperties(**properties), mandatory=True
        )
        return str(job_id)

    def call(self, task: str, args: dict[str, Any] | None = None, **given: Any) -> Result:
        """Publish a job and await its reply."""
        return self.result(self.enqueue(task, args, **given))

    def result(self, job_id: str, seconds: float = 30.0) -> Result:
        """Await the reply to a job."""
        deadline = time.monotonic() + seconds
        while job_id not in self._replies:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no reply to job {job_id} within {seconds:g} s")
            self._connection.process_data_events(time_limit=left)
        return self._replies[job_id][0]

    def cancel(self, job_id: str, **given: Any) -> None:
        """Tell every worker to cancel a job, and await the broker's confirm; keywords replace properties."""
        self._consume()
        properties = {
            "type": "cancel.v1",
            "message_id": job_id,
            "reply_to": self.reply_to,
            "user_id": self.user,
            "headers": {"x-job": job_id},
            **given,
        }
        self.channel.basic_publish(
            self.topology.name("control"), "", b"", pika.BasicProperties(**properties), mandatory=True
        )

    def told(self, job_id: str, count: int = 0, seconds: float = 30.0) -> list[tuple[Any, bytes]]:
        """Await so much of a job, its items, progress and result; properties and bodies, in their order.

        Items of one message have properties of their own, with their number.
        """
        deadline = time.monotonic() + seconds
        self._connection.process_data_events(time_limit=0)
        while len(self._told.get(job_id, [])) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{len(self._told.get(job_id, []))} of {count} messages within {seconds:g} s")
            self._connection.process_data_events(time_limit=left)
        return self._told.get(job_id, [])

    def credit(self, job_id: str, upto: int) -> None:
        """Let the newest start of a job send so many items in all."""
        headers = self._told[job_id][-1][0].headers
        given = {name: headers[name] for name in ("x-worker", "x-fence")}
        properties = pika.BasicProperties(
            type="credit.v1", user_id=self.user, headers={**given, "x-job": job_id, "x-credit": upto}
        )
        self.channel.basic_publish(self.topology.name("control"), "", b"", properties, mandatory=True)

    def acknowledged(self, job_id: str, count: int = 1, seconds: float = 30.0) -> list[tuple[str, str]]:
        """Await that many acknowledgements of commands to cancel a job: pairs of worker and step, in their order."""
        deadline = time.monotonic() + seconds
        while len(self._steps.get(job_id, [])) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{self._steps.get(job_id)} of {count} workers answered within {seconds:g} s")
            self._connection.process_data_events(time_limit=left)
        return self._steps[job_id]

    def replies(self, job_id: str) -> list[Result]:
        """All replies to a job that have come so far."""
        self._connection.process_data_events(time_limit=0)
        return self._replies.get(job_id, [])

    def claim(self, job_id: str) -> Blob | None:
        """The blob that a reply has named so far."""
        self._connection.process_data_events(time_limit=0)
        return self._claims.get(job_id)

    def take_answered(self) -> list[str]:
        """The jobs to which replies have come since the last call."""
        self._connection.process_data_events(time_limit=0)
        answered, self._answered = self._answered, []
        return answered

    def depth(self, queue: str) -> int:
        """Messages that are ready in a queue, by its name without the namespace."""
        return int(self.channel.queue_declare(self.topology.name(queue), passive=True).method.message_count)

    def take(self, queue: str) -> tuple[Any, Any, bytes] | None:
        """Take one message from a queue, by its name without the namespace."""
        method, properties, body = self.channel.basic_get(self.topology.name(queue), auto_ack=True)
        return None if method is None else (method, properties, body)

    def _consume(self) -> None:
        if self._consuming:
            return
        self._consuming = True
        queue = self.topology.name(f"reply.{self.reply_to}")
        self.channel.queue_declare(queue, exclusive=True)
        self.channel.queue_bind(queue, self.topology.name("replies"), self.reply_to)
        self.channel.basic_consume(queue, self._on_reply, auto_ack=True)

    def _on_reply(self, _: Any, __: Any, properties: Any, body: bytes) -> None:
        if properties.type == "cancelled.v1":
            job, worker, step = (properties.headers[name] for name in ("x-job", "x-worker", "x-step"))
            assert (job, body) == (properties.correlation_id, b"")
            self._steps.setdefault(job, []).append((worker, step))
            return
        told = self._told.setdefault(properties.correlation_id, [])
        if properties.type == "item.v1":
            headers = properties.headers
            for number, item in enumerate(apart(body), headers["x-seq"]):
                numbered = pika.BasicProperties(type="item.v1", headers={**headers, "x-seq": number})
                told.append((numbered, item))
            return
        told.append((properties, body))
        if properties.type != "result.v1":
            return
        self._answered.append(properties.correlation_id)
        if blob := Blob.named_by(properties.headers or {}):
            self._claims[properties.correlation_id] = blob
        else:
            self._replies.setdefault(properties.correlation_id, []).append(decode_result(body))
