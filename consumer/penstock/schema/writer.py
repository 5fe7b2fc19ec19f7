"""A contract becomes a file: the one form that it has."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Final

from penstock.schema.model import (
    ABSENT,
    Array,
    Bin,
    Bool,
    Const,
    Contract,
    Document,
    Enum,
    Float,
    Formatted,
    Int,
    Map,
    NDArray,
    Null,
    Nullable,
    Object,
    Property,
    Ref,
    Str,
    Timestamp,
    Tuple,
    Type,
    Union,
)

SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
#: Lines up to this length hold a whole object or array, below the first two levels.
_WIDTH: Final = 120


def text(contract: Contract) -> str:
    """The file's text: UTF-8, two spaces, short values on one line, a newline at the end."""
    return render(document(contract))


def render(document: Document) -> str:
    """The text of a document, whether or not it is a contract."""
    return _json(document, 0) + "\n"


def document(contract: Contract) -> Document:
    """The contract as JSON has it, keys in their order."""
    task: Document = {
        "name": contract.name,
        "version": contract.version,
        "args": contract.args,
        "result": contract.result,
    }
    if contract.items is not None:
        task["items"] = contract.items
    if contract.errors:
        task["errors"] = dict(contract.errors)
    if contract.callable is not None:
        task["callable"] = contract.callable
    if contract.positional:
        task["positional"] = list(contract.positional)
    if contract.deprecated_since is not None:
        task["deprecated_since"] = contract.deprecated_since
    described = {"description": contract.description} if contract.description else {}
    defs = {name: schema(type_) for name, type_ in contract.defs.items()}
    return {"$schema": SCHEMA, **described, "x-task": task, "$defs": defs}


def schema(type_: Type) -> Document:
    """A type's schema."""
    found = _WRITERS[type(type_)](type_)
    if type_.description:
        found["description"] = type_.description
    return found


def _bounded(type_: Any, names: Mapping[str, str]) -> Document:
    """The keywords whose attribute says something."""
    values = {keyword: getattr(type_, attribute) for keyword, attribute in names.items()}
    return {keyword: value for keyword, value in values.items() if value is not None and value is not False}


LENGTHS: Final = {"minLength": "min_length", "maxLength": "max_length"}
ITEMS: Final = {"minItems": "min_items", "maxItems": "max_items"}
SIZES: Final = {"minProperties": "min_properties", "maxProperties": "max_properties"}
RANGE: Final = {"minimum": "minimum", "maximum": "maximum"}
NONFINITE: Final = {"x-allow-nonfinite": "nonfinite"}
OPEN_RANGE: Final = {**RANGE, "exclusiveMinimum": "exclusive_minimum", "exclusiveMaximum": "exclusive_maximum"}


def _enum(type_: Enum) -> Document:
    base = "string" if type_.base is str else "integer"
    names = {"x-enum-names": list(type_.names)} if type_.names else {}
    return {"type": base, "enum": list(type_.values), **names, **_bounded(type_, {"x-open-enum": "open"})}


def _tuple(type_: Tuple) -> Document:
    items = [schema(item) for item in type_.items]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _ndarray(type_: NDArray) -> Document:
    return {
        "type": "object",
        "x-wire": "ndarray",
        "x-dtype": type_.dtype,
        **_bounded(type_, {"x-ndim": "ndim", **ITEMS, **NONFINITE}),
    }


def _object(type_: Object) -> Document:
    return {
        "type": "object",
        "properties": {p.name: _property(p) for p in type_.properties},
        "required": [p.name for p in type_.properties if p.required],
        "additionalProperties": False,
    }


def _property(of: Property) -> Document:
    found = schema(of.type)
    if of.default is ABSENT:
        return found
    description = {"description": found.pop("description")} if "description" in found else {}
    return {**found, "default": of.default, **description}


_WRITERS: Final[Mapping[type[Type], Callable[[Any], Document]]] = {
    Null: lambda _: {"type": "null"},
    Bool: lambda _: {"type": "boolean"},
    Int: lambda t: {"type": "integer", **_bounded(t, RANGE)},
    Float: lambda t: {"type": "number", **_bounded(t, {**OPEN_RANGE, **NONFINITE})},
    Str: lambda t: {"type": "string", **_bounded(t, LENGTHS)},
    Bin: lambda t: {"type": "string", "x-wire": "bin", **_bounded(t, LENGTHS)},
    Timestamp: lambda _: {"type": "string", "x-wire": "timestamp"},
    Formatted: lambda t: {"type": "string", "format": t.format},
    Enum: _enum,
    Const: lambda t: {"type": "string", "const": t.value},
    Array: lambda t: {"type": "array", "items": schema(t.items), **_bounded(t, ITEMS)},
    Tuple: _tuple,
    Map: lambda t: {"type": "object", "additionalProperties": schema(t.values), **_bounded(t, SIZES)},
    NDArray: _ndarray,
    Object: _object,
    Ref: lambda t: {"$ref": f"#/$defs/{t.name}"},
    Union: lambda t: {
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in t.refs],
        "x-discriminator": t.discriminator,
    },
    Nullable: lambda t: {"oneOf": [schema(t.of), {"type": "null"}]},
}


def _json(value: Any, depth: int, used: int = 0) -> str:
    """JSON with short containers on one line; `used` is what already stands on it."""
    flat = json.dumps(value, ensure_ascii=False)
    fits = depth > 1 and used + 2 * depth + len(flat) < _WIDTH
    if fits or not isinstance(value, dict | list) or not value:
        return flat
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, list):
        items = [_json(item, depth + 1) for item in value]
        if not any(isinstance(item, dict | list) for item in value):
            filled = textwrap.wrap(
                ", ".join(items), _WIDTH - len(inner), break_long_words=False, break_on_hyphens=False
            )
            return "[\n" + "\n".join(inner + line for line in filled) + f"\n{outer}]"
        return "[\n" + ",\n".join(inner + item for item in items) + f"\n{outer}]"
    lines = []
    for key, item in value.items():
        label = json.dumps(key, ensure_ascii=False) + ": "
        lines.append(inner + label + _json(item, depth + 1, len(label)))
    return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
