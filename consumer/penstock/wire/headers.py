"""Names and header values outside the body: grammars, integers, the time in a job id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from penstock.wire.registry import (
    GRAMMAR_INSTANCE,
    GRAMMAR_JOB_ID,
    GRAMMAR_NAMESPACE,
    GRAMMAR_QUEUE,
    GRAMMAR_TASK,
    GRAMMAR_USER,
    MAX_TASK_BYTES,
)

_QUEUE: Final = re.compile(GRAMMAR_QUEUE)
_TASK: Final = re.compile(GRAMMAR_TASK)
_JOB_ID: Final = re.compile(GRAMMAR_JOB_ID)
_NAMESPACE: Final = re.compile(GRAMMAR_NAMESPACE)
_REPLY_TO: Final = re.compile(f"{GRAMMAR_USER}\\.{GRAMMAR_INSTANCE}")


def is_queue(name: str) -> bool:
    """Whether `name` may be a queue's name."""
    return _QUEUE.fullmatch(name) is not None


def is_task(name: str) -> bool:
    """Whether `name` may be a task's name, `<queue>.<function>`."""
    return len(name) <= MAX_TASK_BYTES and _TASK.fullmatch(name) is not None


def is_job_id(text: str) -> bool:
    """Whether `text` is a UUIDv7 in lower case."""
    return _JOB_ID.fullmatch(text) is not None


def is_namespace(name: str) -> bool:
    """Whether `name` may prefix exchanges, queues and keys."""
    return _NAMESPACE.fullmatch(name) is not None


def is_reply_to(key: str) -> bool:
    """Whether `key` is `<user>.<instance>`."""
    return _REPLY_TO.fullmatch(key) is not None


def queue_of(task: str) -> str:
    """The queue of a task: the word before the first dot."""
    return task.partition(".")[0]


def job_id_time_ms(job_id: str) -> int:
    """When a job id was made, Unix ms: the first 48 bits of a UUIDv7 (RFC 9562, section 5.7)."""
    return int(job_id[:8] + job_id[9:13], 16)


def int_header(headers: Mapping[str, Any], name: str) -> int | None:
    """An integer header as a plain int; None when absent or of another type.

    pika decodes 64-bit integers as a subclass of int, hence the conversion; a bool is not an integer.
    """
    value = headers.get(name)
    if value is None or isinstance(value, bool) or not isinstance(value, int):
        return None
    return int(value)


def str_header(headers: Mapping[str, Any], name: str) -> str | None:
    """A text header; None when absent or of another type."""
    value = headers.get(name)
    return value if isinstance(value, str) else None
