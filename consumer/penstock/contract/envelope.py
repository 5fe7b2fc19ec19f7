"""Bodies and headers of contracts/PROFILE.md as schemas of an AsyncAPI document.

contracts/envelope/v1.json says the same of the bodies; a test holds the two together. Here are the grammars and
bounds themselves, for readers without the registry.
"""

from __future__ import annotations

from typing import Any, Final

from penstock.wire import registry

_TIME: Final = {"type": "integer", "minimum": 0, "description": "Unix time in milliseconds."}
_TASK: Final = {
    "type": "string",
    "pattern": f"^{registry.GRAMMAR_TASK}$",
    "maxLength": registry.MAX_TASK_BYTES,
    "description": "<queue>.<function>",
}
_VERSION: Final = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
_JOB_ID: Final = {"type": "string", "pattern": f"^{registry.GRAMMAR_JOB_ID}$", "description": "A UUIDv7."}

_JOB: Final = {
    "type": "object",
    "properties": {
        "v": {"type": "integer", "const": 1},
        "kind": {"type": "string", "const": "job"},
        "id": _JOB_ID,
        "task": _TASK,
        "tv": _VERSION,
        "args": {"type": "object", "description": "The arguments by name."},
        "created_at": _TIME,
        "deadline": {**_TIME, "description": "Unix time in milliseconds, after which the job is not started."},
        "meta": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "The caller's own notes.",
        },
    },
    "required": ["v", "kind", "id", "task", "tv", "args", "created_at"],
}
_ERROR: Final = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "description": "A code of penstock or one of the task's own (x-errors)."},
        "message": {"type": "string", "description": "One sentence for people."},
        "retryable": {"type": "boolean", "description": "Whether the same job might succeed another time."},
        "exc_type": {"type": "string", "description": "The exception's class, for information."},
        "details": {
            "type": "object",
            "additionalProperties": {"type": ["string", "integer", "number", "boolean"]},
            "description": "Facts for programs.",
        },
    },
    "required": ["code", "message", "retryable"],
}
_RESULT: Final = {
    "type": "object",
    "properties": {
        "v": {"type": "integer", "const": 1},
        "kind": {"type": "string", "const": "result"},
        "job_id": _JOB_ID,
        "task": _TASK,
        "tv": _VERSION,
        "status": {"type": "string", "enum": ["ok", "error"]},
        "result": {"description": "The task's answer, there when status is ok."},
        "error": {"description": "What went wrong, there when status is error."},
        "attempt": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**31 - 1,
            "description": "The attempt that ended the job; 0 when it was refused before it was tried.",
        },
        "started_at": _TIME,
        "finished_at": _TIME,
        "worker": {"type": "string", "description": "Name of the worker that answered."},
        "items": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**31 - 1,
            "description": "How many items the task has yielded; absent: it yields none.",
        },
    },
    "required": ["v", "kind", "job_id", "task", "tv", "status", "attempt", "finished_at", "worker"],
}

#: Headers that a producer may set.
_HEADERS: Final = {
    "type": "object",
    "properties": {
        registry.HEADER_RESULT_MODE: {"type": "string", "enum": [mode.value for mode in registry.ResultMode]},
        registry.HEADER_TASK_VERSION: {**_VERSION, "description": "As tv in the body."},
        registry.HEADER_DEADLINE: {**_TIME, "description": "As deadline in the body."},
        registry.HEADER_NOT_BEFORE: {**_TIME, "description": "Earliest start, Unix time in milliseconds."},
        registry.HEADER_CONTRACT: {
            "type": "string",
            "pattern": "^[0-9a-f]{16}$",
            "description": "First 16 hex digits of the SHA-256 of the contract file; for diagnosis only.",
        },
        registry.HEADER_REPEAT: {
            "type": "integer",
            "minimum": 1,
            "description": "How often the job was published before without a known outcome.",
        },
        registry.HEADER_BLOB: {
            "type": "string",
            "pattern": f"^{registry.GRAMMAR_SHA256}$",
            "description": "The body is empty and lies in Redis: its SHA-256.",
        },
        registry.HEADER_BLOB_SIZE: {
            "type": "integer",
            "minimum": 1,
            "description": "Bytes of the body in Redis.",
        },
        registry.HEADER_MAX_RESULT: {
            "type": "integer",
            "minimum": 1,
            "description": "Longest result in bytes that the requester takes; a long one lies in Redis.",
        },
        registry.HEADER_TRACEPARENT: {"type": "string", "description": "W3C trace context."},
        registry.HEADER_TRACESTATE: {"type": "string", "description": "W3C trace context."},
    },
}

#: Headers of an item.
_ITEM_HEADERS: Final = {
    "type": "object",
    "properties": {
        registry.HEADER_FENCE: {
            "type": "integer",
            "minimum": 0,
            "description": "Which start of the job has yielded it; a later start has a larger number.",
        },
        registry.HEADER_SEQ: {
            "type": "integer",
            "minimum": 0,
            "description": "Number of the item within its start, from 0.",
        },
        registry.HEADER_WORKER: {"type": "string", "description": "The worker that sends it."},
    },
    "required": [registry.HEADER_FENCE, registry.HEADER_SEQ, registry.HEADER_WORKER],
}

#: Names of schemas: of the error in a result, and of the headers of a job and of an item.
ERROR: Final = "error.v1"
JOB_HEADERS: Final = f"{registry.TYPE_JOB}.headers"
ITEM_HEADERS: Final = f"{registry.TYPE_ITEM}.headers"

#: What `components.schemas` begins with.
SCHEMAS: Final[dict[str, Any]] = {
    registry.TYPE_JOB: _JOB,
    JOB_HEADERS: _HEADERS,
    ITEM_HEADERS: _ITEM_HEADERS,
    registry.TYPE_RESULT: _RESULT,
    ERROR: _ERROR,
}
