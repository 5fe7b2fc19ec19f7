"""The vector files keep their schema; a small validator knows the keywords that it uses and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[2] / "contracts" / "vectors"
FILES = sorted(VECTORS.glob("*/*.json"))
SCHEMA: dict[str, Any] = json.loads((VECTORS / "schema.json").read_text(encoding="utf-8"))

TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
ABOUT = {"$schema", "$defs", "title", "description", "prefixItems", "properties"}
CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda want, it: any(type(it) in TYPES[name] for name in ([want] if isinstance(want, str) else want)),
    "const": lambda want, it: bool(it == want),
    "enum": lambda want, it: it in want,
    "pattern": lambda want, it: not isinstance(it, str) or re.search(want, it) is not None,
    "minLength": lambda want, it: not isinstance(it, str) or len(it) >= want,
    "minimum": lambda want, it: not isinstance(it, int | float) or it >= want,
    "maximum": lambda want, it: not isinstance(it, int | float) or it <= want,
    "minItems": lambda want, it: not isinstance(it, list) or len(it) >= want,
    "minProperties": lambda want, it: not isinstance(it, dict) or len(it) >= want,
    "maxProperties": lambda want, it: not isinstance(it, dict) or len(it) <= want,
    "required": lambda want, it: not isinstance(it, dict) or set(want) <= it.keys(),
    "$ref": lambda want, it: fits(SCHEMA["$defs"][want.removeprefix("#/$defs/")], it),
    "oneOf": lambda want, it: sum(fits(branch, it) for branch in want) == 1,
    "propertyNames": lambda want, it: not isinstance(it, dict) or all(fits(want, key) for key in it),
}


def fits(schema: Any, it: Any) -> bool:
    """Whether JSON `it` is valid against `schema`."""
    if isinstance(schema, bool):
        return schema
    own = all(
        CHECKS[word](want, it) for word, want in schema.items() if word not in {*ABOUT, "items", "additionalProperties"}
    )
    return own and all(fits(part_schema, part) for part_schema, part in parts(schema, it))


def parts(schema: dict[str, Any], it: Any) -> list[tuple[Any, Any]]:
    """The parts of an array or object, each with the schema that it has to fit."""
    if isinstance(it, list):
        heads = schema.get("prefixItems", [])
        rest = [(schema.get("items", True), item) for item in it[len(heads) :]]
        return [*zip(heads, it, strict=False), *rest]
    if isinstance(it, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return [(known.get(key, others), value) for key, value in it.items()]
    return []


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    assert len(made) == len(pairs), "two equal keys in an object"
    return made


def loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_file_of_vectors_keeps_the_schema(path: Path) -> None:
    content = loaded(path)
    for vector in content["vectors"]:
        kind = kind_of(vector)
        assert fits({"$ref": f"#/$defs/{kind}"}, vector), vector["name"]
        assert path.stem.rpartition("_")[2] in (kind, "arguments", "items", f"{kind}s"), vector["name"]
    assert fits(SCHEMA, content)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_names_are_unique_within_a_file(path: Path) -> None:
    names = [vector["name"] for vector in loaded(path)["vectors"]]
    assert len(set(names)) == len(names)


def kind_of(vector: dict[str, Any]) -> str:
    """Which of the schema's kinds a vector is."""
    good = vector.get("expect") == "ok"
    if "task" in vector:
        return "fits" if good else "misfit"
    if "of" in vector:
        return "name"
    return "delay" if "expect" not in vector else "valid" if good else "invalid"


def test_all_files_are_there_and_none_is_unknown() -> None:
    names = {str(path.relative_to(VECTORS).with_suffix("")) for path in FILES}
    kinds = ["job_invalid", "job_valid", "result_invalid", "result_valid"]
    envelopes = {f"{folder}/{kind}" for folder in ("envelope", "future") for kind in kinds}
    assert names == {
        "backoff/delay",
        *envelopes,
        "profile/invalid",
        "profile/valid",
        "routing/names",
        "tasks/arguments",
        "tasks/items",
    }


def test_there_are_more_than_1000_vectors() -> None:
    assert sum(len(loaded(path)["vectors"]) for path in FILES) > 1000


GOOD = {"name": "n", "hex": "c0", "expect": "ok", "value": None, "canonical": True}
DELAY: dict[str, Any] = {
    "name": "n",
    "policy": {"base": 1, "cap": 2.5, "jitter": "full"},
    "attempt": 1,
    "seed": "",
    "delay": 0.5,
}
BAD = {"name": "n", "rule": "P2", "about": "a", "hex": "", "expect": "BAD_ENVELOPE"}


@pytest.mark.parametrize(
    "change",
    [
        {"hex": "C0"},
        {"hex": "c"},
        {"hex": []},
        {"hex": [{"repeat": ["c0", 0]}]},
        {"hex": [{"repeat": ["c0"]}]},
        {"hex": [{"repeat": ["c0", 1, 2]}]},
        {"hex": [{"keys": ["c0", 1]}]},
        {"expect": "OK"},
        {"canonical": 1},
        {"value": 1.5},
        {"value": 2**53 + 1},
        {"value": {"$ts": [0]}},
        {"value": {"$ts": [0, 10**9]}},
        {"value": {"$f64": "0"}},
        {"value": {"$what": 1}},
        {"value": {"$int": "1", "$bin": ""}},
        {"value": [{"$bin": 1}]},
        {"name": ""},
        {"extra": 1},
    ],
)
def test_the_schema_refuses_a_vector_that_is_wrong(change: dict[str, Any]) -> None:
    assert fits({"$ref": "#/$defs/valid"}, GOOD)
    assert not fits({"$ref": "#/$defs/valid"}, GOOD | change)


@pytest.mark.parametrize(
    "change",
    [{"rule": "P0"}, {"rule": "Id"}, {"expect": "ok"}, {"expect": "EXPIRED"}, {"about": ""}, {"value": 1}],
)
def test_the_schema_refuses_an_invalid_vector_that_is_wrong(change: dict[str, Any]) -> None:
    assert fits({"$ref": "#/$defs/invalid"}, BAD)
    assert not fits({"$ref": "#/$defs/invalid"}, BAD | change)


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": 0},
        {"attempt": 1.0},
        {"attempt": 2**31},
        {"seed": 1},
        {"delay": -1},
        {"delay": "1"},
        {"delay": 1e10},
        {"policy": {"base": 1, "cap": 1}},
        {"policy": {"base": 1, "cap": 1, "jitter": "half"}},
        {"policy": {"base": True, "cap": 1, "jitter": "full"}},
        {"expect": "ok"},
        {"name": ""},
    ],
)
def test_the_schema_refuses_a_delay_that_is_wrong(change: dict[str, Any]) -> None:
    assert fits({"$ref": "#/$defs/delay"}, DELAY)
    assert not fits({"$ref": "#/$defs/delay"}, DELAY | change)
