"""Types of a contract as schemas that everybody's tools read: JSON Schema draft-07, which AsyncAPI is based on.

Nothing is lost: what draft-07 has no word for is left as it is (`x-wire`), and validators pass over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_DEFINITION: Final = "#/$defs/"
_MAX_DIMENSIONS: Final = 32


def definitions(contract: Schema, root: str, prefix: str, *, strict: bool) -> dict[str, dict[str, Any]]:
    """The types that one of a contract's uses, itself included, by their names in the new document.

    Args:
        contract: The JSON document.
        root: Name of the type in `$defs` to begin with.
        prefix: What the new names begin with.
        strict: Whether readers refuse unknown properties, as they do in arguments. In results they ignore them.
    """
    found: dict[str, dict[str, Any]] = {}
    left = [root]
    while left:
        name = left.pop()
        if prefix + name not in found:
            rewriting = _Rewriting(prefix, strict)
            found[prefix + name] = rewriting.schema(contract["$defs"][name])
            left += rewriting.referred
    return dict(sorted(found.items()))


def reference(name: str) -> dict[str, str]:
    """A reference to a schema of the new document."""
    return {"$ref": f"#/components/schemas/{name}"}


class _Rewriting:
    def __init__(self, prefix: str, strict: bool) -> None:
        self._prefix = prefix
        self._strict = strict
        self.referred: list[str] = []

    def schema(self, old: Schema) -> dict[str, Any]:
        if old.get("x-wire") == "ndarray":
            return self._ndarray(old)
        new: dict[str, Any] = {}
        for key, value in old.items():
            new |= self._keyword(key, value, old)
        if "$ref" in new and len(new) > 1:  # draft-07 passes over whatever stands beside a reference
            new = {"allOf": [{"$ref": new.pop("$ref")}], **new}
        return new

    def _keyword(self, key: str, value: Any, beside: Schema) -> dict[str, Any]:
        match key:
            case "$ref":
                name = value.removeprefix(_DEFINITION)
                self.referred.append(name)
                return reference(self._prefix + name)
            case "properties":
                return {key: {name: self.schema(each) for name, each in value.items()}}
            case "oneOf":
                return {key: [self.schema(each) for each in value]}
            case "prefixItems":
                return {"items": [self.schema(each) for each in value], "additionalItems": False}
            case "items" if "prefixItems" in beside:
                return {}
            case "items" | "additionalProperties" if isinstance(value, Mapping):
                return {key: self.schema(value)}
            case "additionalProperties" if not self._strict:
                return {}
        return {key: value}

    def _ndarray(self, old: Schema) -> dict[str, Any]:
        dimensions = old.get("x-ndim")
        shape = {
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "minItems": 0 if dimensions is None else dimensions,
            "maxItems": _MAX_DIMENSIONS if dimensions is None else dimensions,
        }
        new: dict[str, Any] = {
            **old,
            "properties": {
                "dtype": {"type": "string", "const": old["x-dtype"]},
                "shape": shape,
                "data": {"type": "string", "x-wire": "bin", "description": "In C order, little-endian, without gaps."},
            },
            "required": ["dtype", "shape", "data"],
        }
        return {**new, "additionalProperties": False} if self._strict else new
