"""Small contracts for tests."""

from __future__ import annotations

import json
from typing import Any

from penstock.schema.model import Contract
from penstock.schema.reader import read
from penstock.schema.writer import SCHEMA


def document(
    properties: dict[str, Any] | None = None,
    *,
    required: list[str] | None = None,
    result: dict[str, Any] | None = None,
    defs: dict[str, Any] | None = None,
    **task: Any,
) -> dict[str, Any]:
    """A contract of `stats.describe` with these arguments, all of them required unless something else is said."""
    args = obj(properties or {}, required)
    x_task = {"name": "stats.describe", "version": 1, "args": "DescribeArgs", "result": "DescribeResult", **task}
    return {
        "$schema": SCHEMA,
        "x-task": {key: value for key, value in x_task.items() if value is not None},
        "$defs": {"DescribeArgs": args, "DescribeResult": result or {"type": "null"}, **(defs or {})},
    }


def obj(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def contract(*arguments: Any, **options: Any) -> Contract:
    return read(json.dumps(document(*arguments, **options)), "it")


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def tagged(value: str, **properties: Any) -> dict[str, Any]:
    """An object of a union."""
    return obj({"kind": {"type": "string", "const": value}, **properties})


INT = {"type": "integer"}
FLOAT = {"type": "number"}
STR = {"type": "string"}
BOOL = {"type": "boolean"}
BIN = {"type": "string", "x-wire": "bin"}
NULL = {"type": "null"}
UNION = {"oneOf": [ref("Circle"), ref("Box")], "x-discriminator": "kind"}
SHAPES = {"Circle": tagged("circle", r=FLOAT), "Box": tagged("box", w=FLOAT)}
