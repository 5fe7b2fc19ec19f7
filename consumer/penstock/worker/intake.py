"""What arrives: AMQP's properties and headers become a Delivery, and some are refused at the door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Outcome, OutcomeKind
from penstock.domain.spent import NOTHING, Spent
from penstock.domain.task import QueueSpec, other_version
from penstock.domain.topology import Topology, task_of_returned
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure
from penstock.wire.headers import int_header, is_job_id, is_reply_to, is_task, queue_of, str_header
from penstock.wire.registry import (
    HARD_MAX_BLOB_BYTES,
    HEADER_ATTEMPT,
    HEADER_BACKOFF_MS,
    HEADER_CONTRACT,
    HEADER_CRASHES,
    HEADER_DEADLINE,
    HEADER_DELIVERIES,
    HEADER_FENCE,
    HEADER_FIRST_AT,
    HEADER_HANGS,
    HEADER_MAX_RESULT,
    HEADER_NOT_BEFORE,
    HEADER_REPEAT,
    HEADER_REPLAYS,
    HEADER_RESULT_MODE,
    HEADER_RUN_MS,
    HEADER_TASK_VERSION,
    HEADER_TRACEPARENT,
    HEADER_TRACESTATE,
    HEADER_USER,
    MAX_BLOB_BYTES,
    MAX_DELIVERIES,
    REFRESH_AFTER,
    TYPE_JOB,
    ErrorCode,
    ResultMode,
)

#: Headers that travel with every copy as they came, and the longest that does, in characters: what a copy needs
#: besides must still fit into one frame.
_KEPT: Final = (HEADER_TRACEPARENT, HEADER_TRACESTATE, HEADER_CONTRACT)
_MAX_KEPT: Final = 1024
_MODES: Final = {mode.value: mode for mode in ResultMode}

#: A job that is due within this many milliseconds is run now: a hop costs more than it gains.
_DUE_TOLERANCE_MS: Final = 500
#: The broker's own counts on a message: hand-outs against its delivery limit, and (from 4.3) all of them.
_DELIVERY_COUNT: Final = "x-delivery-count"
_ACQUIRED_COUNT: Final = "x-acquired-count"
#: Three hundred years: times on the wire are bounded before they are added up.
_MAX_MS: Final = 10**13
#: Attempts and versions are 31-bit numbers in a result.
_MAX_NUMBER: Final = 2**31 - 1
#: More than anybody replays a job; the fence of a job has room for it.
_MAX_REPLAYS: Final = 10**6
_MAX_FENCE: Final = 2**62
#: Longest property and routing key on the wire, in bytes.
_MAX_SHORT_TEXT: Final = 255


class Intake:
    """Reads the deliveries of one queue.

    Args:
        spec: The queue.
        topology: Names of the namespace.
        strict: Production mode: a job must say who sent it, and replies go to its sender only.
        has_store: Whether this worker has Redis, to keep results and to fetch bodies.
        max_body_bytes: Longest body that is taken in a message.
        max_blob_bytes: Longest body that is taken from the store.
    """

    def __init__(
        self,
        spec: QueueSpec,
        topology: Topology,
        *,
        strict: bool,
        has_store: bool,
        max_body_bytes: int,
        max_blob_bytes: int = MAX_BLOB_BYTES,
    ) -> None:
        self._spec = spec
        self._return_exchange = topology.name("return")
        self._strict = strict
        self._has_store = has_store
        self._max_body_bytes = max_body_bytes
        self._max_blob_bytes = max_blob_bytes

    def read(self, channel: Any, method: Any, properties: Any, body: bytes) -> Delivery:
        """A delivery as the parent sees it. Never fails: what is wrong is for `refuse` to find."""
        headers = properties.headers or {}
        returned = method.exchange == self._return_exchange
        key = _text(method.routing_key)
        reply_to = _text(properties.reply_to)
        mode = _MODES.get(str_header(headers, HEADER_RESULT_MODE) or "")
        if mode is None:
            mode = ResultMode.REPLY if reply_to else ResultMode.NONE
        returns = _count(headers, _DELIVERY_COUNT, _MAX_NUMBER) if headers else 0
        # Only workers write to the retry exchange, so only there these headers can be believed.
        spent = _spent(headers if returned else {}, returns) if returned or returns else NOTHING
        repeat = _count(headers, HEADER_REPEAT, _MAX_NUMBER) if headers else 0
        replays = _count(headers, HEADER_REPLAYS, _MAX_REPLAYS) if headers else 0
        return Delivery(
            type=_text(properties.type),
            task=task_of_returned(key) if returned else key,
            queue=self._spec.name,
            job_id=_text(properties.message_id),
            attempt=spent.attempts + 1,
            returns=returns,
            fence=max(
                _fence(headers, spent, repeat, replays),
                _count(headers, HEADER_FENCE, _MAX_FENCE) + 1 if returned else 0,
            ),
            again=bool(method.redelivered or returned or repeat),
            spent=spent,
            repeat=repeat,
            replays=replays,
            version=int_header(headers, HEADER_TASK_VERSION),
            deadline_ms=int_header(headers, HEADER_DEADLINE),
            not_before_ms=int_header(headers, HEADER_NOT_BEFORE),
            mode=mode,
            reply_to=reply_to or None,
            user=_text(properties.user_id) or (str_header(headers, HEADER_USER) if returned else None),
            priority=properties.priority,
            kept=_kept(headers) if headers else {},
            max_result=_count(headers, HEADER_MAX_RESULT, HARD_MAX_BLOB_BYTES) if headers else 0,
            body=body,
            blob=Blob.named_by(headers) if headers else None,
            tag=method.delivery_tag,
            channel=channel,
        )

    def refuse(self, delivery: Delivery, now_ms: int) -> Outcome | None:
        """Why a delivery is not run, as an outcome; None: run it.

        A delivery whose sender is in doubt is not answered either: the reply would go where somebody else listens.
        """
        for rule in (self._envelope, self._sender, self._task, self._result, self._handed_out):
            if (failure := rule(delivery)) is not None:
                if rule == self._sender:
                    delivery.mode = ResultMode.NONE
                return Outcome(OutcomeKind.UNDECODABLE, failure=failure)
        if delivery.deadline_ms is not None and now_ms >= delivery.deadline_ms:
            text = f"{delivery.task}: the deadline passed before the job started"
            return Outcome(OutcomeKind.EXPIRED, failure=_failure(ErrorCode.EXPIRED, text))
        return None

    @staticmethod
    def worn(delivery: Delivery) -> bool:
        """Whether the message was handed out so often that a fresh copy is to take its place."""
        return delivery.returns >= REFRESH_AFTER

    @staticmethod
    def waits(delivery: Delivery, now_ms: int) -> bool:
        """Whether the job is not due yet."""
        return delivery.not_before_ms is not None and delivery.not_before_ms - now_ms > _DUE_TOLERANCE_MS

    def _envelope(self, delivery: Delivery) -> Failure | None:
        if delivery.type != TYPE_JOB:
            text = f"message type {delivery.type!r}: this worker reads {TYPE_JOB}"
            return _failure(ErrorCode.UNSUPPORTED_ENVELOPE, text)
        if not is_job_id(delivery.job_id):
            return _failure(ErrorCode.BAD_ENVELOPE, f"message_id {delivery.job_id!r} is no UUIDv7")
        if len(delivery.body) > self._max_body_bytes:
            text = f"the body has {len(delivery.body)} bytes, the limit is {self._max_body_bytes}"
            return _failure(ErrorCode.TOO_LARGE, text)
        return self._blob(delivery, delivery.blob) if delivery.blob else None

    def _blob(self, delivery: Delivery, blob: Blob) -> Failure | None:
        if blob.size < 0:
            return _failure(ErrorCode.BAD_ENVELOPE, "x-blob and x-blob-size are not a SHA-256 in hex and a size")
        if delivery.body:
            return _failure(ErrorCode.BAD_ENVELOPE, "the message has a body, though x-blob says it is in the store")
        if not self._has_store:
            text = f"the body of {blob.size} bytes is in Redis, but this worker has no Redis (--redis-url)"
            return _failure(ErrorCode.INTERNAL, text)
        if blob.size > self._max_blob_bytes:
            text = f"the body has {blob.size} bytes, the limit is {self._max_blob_bytes}"
            return _failure(ErrorCode.TOO_LARGE, text)
        return None

    def _sender(self, delivery: Delivery) -> Failure | None:
        if delivery.reply_to and not is_reply_to(delivery.reply_to):
            return _failure(ErrorCode.BAD_ENVELOPE, f"reply_to {delivery.reply_to!r} is not <user>.<instance>")
        if not self._strict:
            return None
        if not delivery.user:
            return _failure(ErrorCode.BAD_ENVELOPE, "the message has no user_id, which --strict requires")
        if delivery.reply_to and delivery.reply_to.partition(".")[0] != delivery.user:
            text = f"reply_to {delivery.reply_to!r} does not belong to user {delivery.user!r}"
            return _failure(ErrorCode.ENVELOPE_MISMATCH, text)
        return None

    def _task(self, delivery: Delivery) -> Failure | None:
        name = delivery.task
        if (task := self._spec.find(name, delivery.version)) is not None:
            delivery.yields = task.streams  # noted here, where the task is looked up once
            return None
        if (versions := self._spec.tasks.get(name)) is not None:
            text = other_version(name, delivery.version, versions)
            return _failure(ErrorCode.UNSUPPORTED_TASK_VERSION, text)
        if not is_task(name):
            return _failure(ErrorCode.BAD_ENVELOPE, f"routing key {name!r} is not <queue>.<function>")
        if queue_of(name) != self._spec.name:
            text = f"task {name} came through queue {self._spec.name}"
            return _failure(ErrorCode.ENVELOPE_MISMATCH, text)
        known = ", ".join(sorted(self._spec.tasks))
        return _failure(ErrorCode.UNSUPPORTED_TASK, f"{name}: no such task (known: {known})")

    @staticmethod
    def _handed_out(delivery: Delivery) -> Failure | None:
        if delivery.spent.deliveries < MAX_DELIVERIES:
            return None
        text = (
            f"{delivery.task}: handed out {delivery.spent.deliveries} times without an end; "
            "its workers died or gave it back each time"
        )
        return Failure(code=ErrorCode.DELIVERY_LIMIT, message=text, retryable=True)

    def _result(self, delivery: Delivery) -> Failure | None:
        if delivery.mode in (ResultMode.STORED, ResultMode.REPLY_AND_STORED) and not self._has_store:
            text = f"{delivery.task}: a stored result was asked for, but this worker has no Redis (--redis-url)"
            return _failure(ErrorCode.INTERNAL, text)
        return None


def _failure(code: ErrorCode, message: str) -> Failure:
    return Failure(code=code, message=message, retryable=False)


def _kept(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name in _KEPT if (text := str_header(headers, name)) and len(text) <= _MAX_KEPT}


def _count(headers: Mapping[str, Any], name: str, most: int) -> int:
    """A header that counts, at least 0 and at most `most`; 0 when absent."""
    return min(max(0, int_header(headers, name) or 0), most)


def _spent(headers: Mapping[str, Any], returns: int) -> Spent:
    """What the job has spent: as its last worker wrote it, and with this message's own hand-outs."""
    attempts = max(1, _count(headers, HEADER_ATTEMPT, _MAX_NUMBER)) - 1
    crashes = _count(headers, HEADER_CRASHES, attempts)
    hangs = _count(headers, HEADER_HANGS, attempts - crashes)
    return Spent(
        failures=attempts - crashes - hangs,
        crashes=crashes,
        hangs=hangs,
        deliveries=min(_MAX_NUMBER, _count(headers, HEADER_DELIVERIES, _MAX_NUMBER) + returns),
        first_at_ms=int_header(headers, HEADER_FIRST_AT),
        run_ms=_count(headers, HEADER_RUN_MS, _MAX_MS),
        backoff_ms=_count(headers, HEADER_BACKOFF_MS, _MAX_MS),
    )


def _fence(headers: Mapping[str, Any], spent: Spent, repeat: int, replays: int) -> int:
    """A number that grows with each start of a job: twelve digits below the replay, four below the attempt.

    Of the four, the first tells the messages apart that a producer has published of one job, the others are hand-outs.
    """
    if not headers:
        return 10**4
    # RabbitMQ 4.3 does not count a job that was given back, but it counts how often one was taken.
    uncounted = max(0, _count(headers, _ACQUIRED_COUNT, _MAX_NUMBER) - _count(headers, _DELIVERY_COUNT, _MAX_NUMBER))
    handed_out = min(999, spent.deliveries + uncounted)
    return replays * 10**12 + min(spent.attempts + 1, 10**8 - 1) * 10**4 + min(9, repeat) * 1000 + handed_out


def _text(value: str | bytes | None) -> str:
    """A property as text, "" when absent. pika gives what is no UTF-8 as bytes; a copy must be able to carry it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").encode()[:_MAX_SHORT_TEXT].decode(errors="ignore")
    return value or ""
