"""A dead job as its message tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from penstock.broker.dead_queue import Held
from penstock.wire.blob import Blob
from penstock.wire.headers import int_header, is_job_id, is_task, job_id_time_ms, queue_of, str_header
from penstock.wire.registry import (
    HEADER_ATTEMPT,
    HEADER_BACKOFF_MS,
    HEADER_CONTRACT,
    HEADER_CRASHES,
    HEADER_DEADLINE,
    HEADER_EDITED_AT,
    HEADER_ERROR_CODE,
    HEADER_ERROR_MESSAGE,
    HEADER_ERROR_TYPE,
    HEADER_EXIT,
    HEADER_FAILED_AT,
    HEADER_FIRST_AT,
    HEADER_HANGS,
    HEADER_PEAK_RSS,
    HEADER_REPLAYS,
    HEADER_RESULT_MODE,
    HEADER_RUN_MS,
    HEADER_TASK_VERSION,
    HEADER_TRACE,
    HEADER_TRACEPARENT,
    HEADER_USER,
    HEADER_WORKER,
    ErrorCode,
    ResultMode,
)

#: What is known of a job that the broker itself gave up.
_LIMIT_MESSAGE: Final = "the broker handed the job out until its delivery limit was reached; its workers died each time"
_MODES: Final = {mode.value: mode for mode in ResultMode}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadJob:
    """What a message of a dead queue says, all of it as it was found: nobody vouches for it.

    Attributes:
        name: How commands call it: its id or, for a message without a proper one, `~` and a hash of its body.
        job_id: Its id; None when that is missing or malformed.
        task: `<queue>.<function>`; None when the message does not name one of this queue.
        code: Why it is dead.
        message: The same in words.
        exc_type: The exception's class; None when there was none.
        attempt: Number of its last attempt; 0: it was refused before it was tried, or not known.
        crashes: Attempts that killed their child.
        hangs: Attempts that ran out of time.
        made_at_ms: When the job was made, Unix ms, from its id; None: not known.
        first_at_ms: When its first attempt that failed ended, Unix ms; None: not known.
        failed_at_ms: When it was given up, Unix ms; None: not known.
        run_ms: Run time of all attempts; None: not known.
        backoff_ms: What it was told to wait between them; None: not known.
        worker: The worker that gave it up; None: the broker did.
        replays: How often it was replayed before.
        edited_at_ms: When an operator changed it, Unix ms; None: never.
        exit: How its child ended; None: it did not.
        peak_rss: Most bytes that the child had resident; None: not known.
        trace: Traceback or stack; "" when there is none.
        user: Its producer's user; None: not known.
        mode: Where its result goes.
        deadline_ms: Its deadline, Unix ms; None: it has none.
        version: Version of the task's contract; None: not said.
        contract: Hash of the contract; None: not said.
        traceparent: W3C trace context; None: not said.
        exchange: The exchange through which it came to its end.
        size: Bytes of its body, as it travels.
        blob: Its body, when that lies in Redis; None: the message has it.
    """

    name: str
    job_id: str | None
    task: str | None
    code: str
    message: str
    exc_type: str | None
    attempt: int
    crashes: int
    hangs: int
    made_at_ms: int | None
    first_at_ms: int | None
    failed_at_ms: int | None
    run_ms: int | None
    backoff_ms: int | None
    worker: str | None
    replays: int
    edited_at_ms: int | None
    exit: str | None
    peak_rss: int | None
    trace: str
    user: str | None
    mode: ResultMode
    deadline_ms: int | None
    version: int | None
    contract: str | None
    traceparent: str | None
    exchange: str
    size: int
    blob: Blob | None


def read(held: Held, *, queue: str, return_exchange: str) -> DeadJob:
    """The job of a message. Never fails: what is not there or malformed is None.

    Args:
        held: The message, with its body.
        queue: The queue's name, for instance `stats`.
        return_exchange: Full name of the exchange whose keys begin with a ladder level.
    """
    properties = held.properties
    headers: Mapping[str, Any] = properties.headers or {}
    death = _death(headers)
    job_id = properties.message_id if isinstance(properties.message_id, str) else ""
    proper = is_job_id(job_id)
    task, exchange = held.routing_key, held.exchange
    if death is not None:
        task, exchange = death.task(return_exchange), death.exchange
    code = str_header(headers, HEADER_ERROR_CODE) or (death.code if death else "?")
    reply_to = properties.reply_to
    blob = Blob.named_by(headers)
    mode = _MODES.get(str_header(headers, HEADER_RESULT_MODE) or "")
    return DeadJob(
        name=job_id if proper else f"~{sha256(held.body).hexdigest()[:12]}",
        job_id=job_id if proper else None,
        task=task if is_task(task) and queue_of(task) == queue else None,
        code=code,
        message=str_header(headers, HEADER_ERROR_MESSAGE) or (death.message if death else ""),
        exc_type=str_header(headers, HEADER_ERROR_TYPE),
        attempt=int_header(headers, HEADER_ATTEMPT) or (1 if death else 0),
        crashes=int_header(headers, HEADER_CRASHES) or 0,
        hangs=int_header(headers, HEADER_HANGS) or 0,
        made_at_ms=job_id_time_ms(job_id) if proper else None,
        first_at_ms=int_header(headers, HEADER_FIRST_AT),
        failed_at_ms=int_header(headers, HEADER_FAILED_AT) or (death.at_ms if death else None),
        run_ms=int_header(headers, HEADER_RUN_MS),
        backoff_ms=int_header(headers, HEADER_BACKOFF_MS),
        worker=str_header(headers, HEADER_WORKER),
        replays=max(0, int_header(headers, HEADER_REPLAYS) or 0),
        edited_at_ms=int_header(headers, HEADER_EDITED_AT),
        exit=str_header(headers, HEADER_EXIT),
        peak_rss=int_header(headers, HEADER_PEAK_RSS),
        trace=str_header(headers, HEADER_TRACE) or "",
        user=str_header(headers, HEADER_USER) or (properties.user_id if isinstance(properties.user_id, str) else None),
        mode=mode or (ResultMode.REPLY if reply_to else ResultMode.NONE),
        deadline_ms=int_header(headers, HEADER_DEADLINE),
        version=int_header(headers, HEADER_TASK_VERSION),
        contract=str_header(headers, HEADER_CONTRACT),
        traceparent=str_header(headers, HEADER_TRACEPARENT),
        exchange=exchange,
        size=len(held.body) if blob is None else blob.size,
        blob=blob,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Death:
    """The newest entry of x-death of a message that the broker itself put into the dead queue."""

    reason: str
    exchange: str
    key: str
    at_ms: int | None

    @property
    def code(self) -> str:
        return str(ErrorCode.DELIVERY_LIMIT) if self.reason == "delivery_limit" else "?"

    @property
    def message(self) -> str:
        limit = self.reason == "delivery_limit"
        return _LIMIT_MESSAGE if limit else f"the broker gave the job up; the reason that it gives is {self.reason!r}"

    def task(self, return_exchange: str) -> str:
        """The key at the work queue, without the level that a returned copy still has in front."""
        return self.key.partition(".")[2] if self.exchange == return_exchange else self.key


def _death(headers: Mapping[str, Any]) -> _Death | None:
    """How the broker gave the job up; None: a worker did, and said why."""
    entries = headers.get("x-death")
    if HEADER_ERROR_CODE in headers or not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        return None
    entry = entries[0]
    keys, at = entry.get("routing-keys"), entry.get("time")
    key = keys[0] if isinstance(keys, list) and keys else ""
    at_ms = int(at.timestamp() * 1000) if isinstance(at, datetime) else None
    return _Death(reason=str(entry.get("reason")), exchange=str(entry.get("exchange")), key=str(key), at_ms=at_ms)
