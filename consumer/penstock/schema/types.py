"""A schema becomes a type: one reader per form, each knowing its keywords."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from penstock.schema.model import (
    ABSENT,
    DTYPES,
    FORMATS,
    Array,
    Bin,
    Bool,
    Const,
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
    camel,
)
from penstock.schema.problems import Problems
from penstock.schema.writer import ITEMS, LENGTHS, NONFINITE, OPEN_RANGE, RANGE, SIZES

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REF: Final = "#/$defs/"
_MAX_NDIM: Final = 32
_NULL: Final = {"type": "null"}


class TypeReader:
    """Reads the schemas of one document.

    Args:
        problems: Where problems go.
        names: The names in `$defs`.
    """

    def __init__(self, problems: Problems, names: Collection[str]) -> None:
        self._problems = problems
        self._names = names

    def definition(self, schema: Any, at: str) -> Type | None:
        """The type of an entry of `$defs`, where alone objects and null stand; None: there was a problem."""
        if isinstance(schema, dict):
            if schema.get("type") == "object" and "properties" in schema:
                return self._form(self._object, schema, at, {"type", "properties", "required", "additionalProperties"})
            if schema.get("type") == "null":
                return self._form(lambda *_: Null(), schema, at, {"type"})
        return self.read(schema, at)

    def read(self, schema: Any, at: str) -> Type | None:
        """The type of any other schema; None: there was a problem."""
        if not isinstance(schema, dict):
            return self._problem(at, "it is not an object")
        if "$ref" in schema:
            return self._ref(schema, at)
        if "oneOf" in schema:
            if "x-discriminator" in schema:
                return self._form(self._union, schema, at, {"oneOf", "x-discriminator"})
            return self._form(self._nullable, schema, at, {"oneOf"})
        form = _form_of(schema)
        if form is None:
            return self._problem(at, f"it is none of the dialect's types ({_seen(schema)})")
        read, keywords = _FORMS[form]
        return self._form(lambda s, a: read(self, s, a), schema, at, {"type", *keywords})

    # ── one form ────────────────────────────────────────────────────────────────────────────────

    def _form(
        self, read: Callable[[Any, str], Type | None], schema: dict[str, Any], at: str, keywords: set[str]
    ) -> Type | None:
        """Check the keywords, read the type, and give it its description."""
        for key in sorted(set(schema) - keywords - {"description"}):
            self._problem(at, f"{key} has no meaning here")
        description = schema.get("description", "")
        if not isinstance(description, str):
            return self._problem(at, "its description is not a string")
        type_ = read(schema, at)
        return type_ and replace(type_, description=description)

    def _problem(self, at: str, what: str) -> Type | None:
        """Note a problem; returns None for the type that there is not."""
        self._problems.add(at, what)
        return None

    def _ref(self, schema: dict[str, Any], at: str) -> Type | None:
        target = schema["$ref"]
        if len(schema) > 1:
            return self._problem(at, "$ref stands alone")
        if not isinstance(target, str) or not target.startswith(_REF) or target[len(_REF) :] not in self._names:
            return self._problem(at, f"$ref {target!r} names nothing in $defs")
        return Ref(name=target[len(_REF) :])

    def _union(self, schema: dict[str, Any], at: str) -> Type | None:
        refs, discriminator = schema["oneOf"], schema["x-discriminator"]
        if not isinstance(discriminator, str) or not _NAME.fullmatch(discriminator):
            return self._problem(at, "x-discriminator is not the name of a property")
        if not isinstance(refs, list) or len(refs) < 2:
            return self._problem(at, "oneOf is not a list of two or more objects")
        read = [self.read(ref, f"{at}.oneOf[{index}]") for index, ref in enumerate(refs)]
        names = [ref.name for ref in read if isinstance(ref, Ref)]
        if len(names) < len(read):
            return self._problem(at, "oneOf holds something other than references")
        if len(set(names)) < len(names):
            return self._problem(at, "oneOf names an object twice")
        return Union(refs=tuple(names), discriminator=discriminator)

    def _nullable(self, schema: dict[str, Any], at: str) -> Type | None:
        of = schema["oneOf"]
        if not isinstance(of, list) or len(of) != 2 or of[1] != _NULL or of[0] == _NULL:
            return self._problem(at, 'oneOf without x-discriminator is [S, {"type": "null"}]')
        inner = self.read(of[0], f"{at}.oneOf[0]")
        if isinstance(inner, Nullable):
            return self._problem(at, "a nullable type cannot be nullable again")
        return Nullable(of=inner) if inner is not None else None

    def _object(self, schema: dict[str, Any], at: str) -> Type | None:
        properties, required = schema["properties"], schema.get("required")
        if schema.get("additionalProperties") is not False:
            self._problem(at, "additionalProperties is not false")
        if not isinstance(properties, dict):
            return self._problem(at, "properties is not an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            return self._problem(at, "required is not a list of names")
        if len(set(required)) < len(required):
            self._problem(at, "required names a property twice")
        for name in required:
            if name not in properties:
                self._problem(at, f"required names {name!r}, which is no property")
        self._check_names(properties, at)
        read = [self._property(name, name in required, s, f"{at}.{name}") for name, s in properties.items()]
        return Object(properties=tuple(of for of in read if of is not None))

    def _check_names(self, properties: Collection[str], at: str) -> None:
        seen: dict[str, str] = {}
        for name in properties:
            if not _NAME.fullmatch(name):
                self._problem(at, f"{name!r} is not an identifier")
            elif (other := seen.setdefault(camel(name), name)) != name:
                self._problem(at, f"{other!r} and {name!r} are the same in CamelCase; rename one")

    def _property(self, name: str, required: bool, schema: Any, at: str) -> Property | None:
        default: Any = ABSENT
        if isinstance(schema, dict):
            if schema.get("type") == "string" and "const" in schema:
                type_ = self._form(self._const, schema, at, {"type", "const"})
                return None if type_ is None else Property(name=name, type=type_, required=required)
            default = schema.get("default", ABSENT)
            schema = {key: value for key, value in schema.items() if key != "default"}
        type_ = self.read(schema, at)
        return None if type_ is None else Property(name=name, type=type_, required=required, default=default)

    def _const(self, schema: dict[str, Any], at: str) -> Type | None:
        if not isinstance(schema["const"], str):
            return self._problem(at, "const is not a string")
        return Const(value=schema["const"])

    def _enum(self, schema: dict[str, Any], at: str) -> Type | None:
        base = str if schema["type"] == "string" else int
        values, names, is_open = schema["enum"], schema.get("x-enum-names", []), schema.get("x-open-enum", False)
        if not isinstance(values, list) or not values or any(type(v) is not base for v in values) or "" in values:
            return self._problem(at, f"enum is not a list of one or more {base.__name__}")
        if len(set(values)) < len(values):
            return self._problem(at, "enum has a value twice")
        if not isinstance(names, list) or not all(
            isinstance(n, str) and re.fullmatch("[A-Z][A-Z0-9_]*", n) for n in names
        ):
            return self._problem(at, "x-enum-names is not a list of UPPER_SNAKE names")
        if names and (len(names) != len(values) or len(set(names)) < len(names)):
            return self._problem(at, "x-enum-names does not have a different name for each value")
        if not isinstance(is_open, bool):
            return self._problem(at, "x-open-enum is not a boolean")
        return Enum(values=tuple(values), names=tuple(names), open=is_open)

    def _formatted(self, schema: dict[str, Any], at: str) -> Type | None:
        if schema["format"] not in FORMATS:
            return self._problem(at, f"format is none of {', '.join(FORMATS)}")
        return Formatted(format=schema["format"])

    def _array(self, schema: dict[str, Any], at: str) -> Type | None:
        bounds = self._counts(schema, at, ITEMS)
        items = self.read(schema["items"], f"{at}[]")
        return Array(items=items, **bounds) if items is not None else None

    def _tuple(self, schema: dict[str, Any], at: str) -> Type | None:
        items = schema["prefixItems"]
        if not isinstance(items, list) or not items:
            return self._problem(at, "prefixItems is not a list of one or more types")
        if schema.get("items") is not False or schema.get("minItems") != len(items):
            self._problem(at, f"beside prefixItems stand items: false and minItems: {len(items)}")
        read = [self.read(item, f"{at}[{index}]") for index, item in enumerate(items)]
        found = tuple(item for item in read if item is not None)
        return Tuple(items=found) if len(found) == len(read) else None

    def _map(self, schema: dict[str, Any], at: str) -> Type | None:
        bounds = self._counts(schema, at, SIZES)
        values = self.read(schema["additionalProperties"], f"{at}{{}}")
        return Map(values=values, **bounds) if values is not None else None

    def _ndarray(self, schema: dict[str, Any], at: str) -> Type | None:
        dtype: Any = schema.get("x-dtype")
        ndim: Any = schema.get("x-ndim")
        if dtype not in DTYPES:
            return self._problem(at, f"x-dtype is none of {', '.join(DTYPES)}")
        if ndim is not None and not (type(ndim) is int and 0 <= ndim <= _MAX_NDIM):
            return self._problem(at, f"x-ndim is not in 0 to {_MAX_NDIM}")
        nonfinite = self._nonfinite(schema, at)
        if nonfinite and "float" not in dtype:
            self._problem(at, f"x-allow-nonfinite has no meaning with {dtype}")
        return NDArray(dtype=dtype, ndim=ndim, nonfinite=nonfinite, **self._counts(schema, at, ITEMS))

    def _float(self, schema: dict[str, Any], at: str) -> Type | None:
        bounds = self._bounds(schema, at, OPEN_RANGE, (int, float), below=None)
        lows = [value for key, value in bounds.items() if "minimum" in key]
        highs = [value for key, value in bounds.items() if "maximum" in key]
        if len(lows) > 1 or len(highs) > 1:
            self._problem(at, "a bound is both inclusive and exclusive")
        elif lows and highs and (lows > highs or (lows == highs and any("exclusive" in key for key in bounds))):
            self._problem(at, "the bounds leave no value")
        return Float(nonfinite=self._nonfinite(schema, at), **bounds)

    def _nonfinite(self, schema: dict[str, Any], at: str) -> bool:
        value = schema.get("x-allow-nonfinite", False)
        if not isinstance(value, bool):
            self._problem(at, "x-allow-nonfinite is not a boolean")
            return False
        return value

    def _counts(self, schema: dict[str, Any], at: str, names: Mapping[str, str]) -> dict[str, Any]:
        """Inclusive bounds of a count or a length."""
        return self._ordered(self._bounds(schema, at, names, (int,), below=0), at)

    def _range(self, schema: dict[str, Any], at: str) -> dict[str, Any]:
        return self._ordered(self._bounds(schema, at, RANGE, (int,), below=None), at)

    def _ordered(self, bounds: dict[str, Any], at: str) -> dict[str, Any]:
        low, high = (next((v for k, v in bounds.items() if k.startswith(way)), None) for way in ("min", "max"))
        if low is not None and high is not None and low > high:
            self._problem(at, "the bounds leave no value")
        return bounds

    def _bounds(
        self, schema: dict[str, Any], at: str, names: Mapping[str, str], kinds: tuple[type, ...], *, below: int | None
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for keyword, attribute in names.items():
            if keyword not in schema:
                continue
            value = schema[keyword]
            if type(value) not in kinds or (below is not None and value < below):
                self._problem(at, f"{keyword} is not {'a number' if float in kinds else 'a whole number'}")
            else:
                found[attribute] = value
        return found


def _form_of(schema: Mapping[str, Any]) -> str | None:
    """Which of the dialect's forms a schema wants to be; its other keywords are checked later."""
    kind, wire = schema.get("type"), schema.get("x-wire")
    if not isinstance(kind, str):
        return None
    if wire is not None:
        return wire if (kind, wire) in {("string", "bin"), ("string", "timestamp"), ("object", "ndarray")} else None
    if kind in ("string", "integer") and "enum" in schema:
        return "enum"
    if kind == "string" and "format" in schema:
        return "formatted"
    if kind == "array":
        return "tuple" if "prefixItems" in schema else "array" if "items" in schema else None
    if kind == "object":
        return "map" if "additionalProperties" in schema and "properties" not in schema else None
    return kind if kind in _FORMS else None


def _seen(schema: Mapping[str, Any]) -> str:
    """What was there, so that the reader of the message finds it."""
    if schema.get("type") == "object" and "properties" in schema:
        return "an object; give it a name in $defs and refer to it"
    if schema.get("type") == "null":
        return "null, which only a result is"
    return ", ".join(f"{key}: {value!r}"[:40] for key, value in list(schema.items())[:3]) or "an empty schema"


#: By form: its reader and its keywords besides `type` and `description`.
_FORMS: Final[Mapping[str, tuple[Callable[[TypeReader, Any, str], Type | None], tuple[str, ...]]]] = {
    "boolean": (lambda *_: Bool(), ()),
    "integer": (lambda r, s, at: Int(**r._range(s, at)), tuple(RANGE)),  # noqa: SLF001 -- a part of the class
    "number": (TypeReader._float, (*OPEN_RANGE, *NONFINITE)),  # noqa: SLF001
    "string": (lambda r, s, at: Str(**r._counts(s, at, LENGTHS)), tuple(LENGTHS)),  # noqa: SLF001
    "bin": (lambda r, s, at: Bin(**r._counts(s, at, LENGTHS)), ("x-wire", *LENGTHS)),  # noqa: SLF001
    "timestamp": (lambda *_: Timestamp(), ("x-wire",)),
    "ndarray": (TypeReader._ndarray, ("x-wire", "x-dtype", "x-ndim", *ITEMS, *NONFINITE)),  # noqa: SLF001
    "enum": (TypeReader._enum, ("enum", "x-enum-names", "x-open-enum")),  # noqa: SLF001
    "formatted": (TypeReader._formatted, ("format",)),  # noqa: SLF001
    "array": (TypeReader._array, ("items", *ITEMS)),  # noqa: SLF001
    "tuple": (TypeReader._tuple, ("prefixItems", "items", "minItems")),  # noqa: SLF001
    "map": (TypeReader._map, ("additionalProperties", *SIZES)),  # noqa: SLF001
}
