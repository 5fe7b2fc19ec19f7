"""What lies in the dialect means what JSON Schema says: JSON-Schema-Test-Suite (MIT), which a Go module holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from penstock.errors import ContractError
from penstock.schema.model import Contract
from penstock.schema.reader import read
from penstock.schema.writer import SCHEMA
from penstock.wire.codec import encode
from tests.helpers.differ import DOCUMENT, differ, running
from tests.helpers.go import MADE, build_made, generate
from tests.helpers.modules import module
from tests.helpers.subject import Arguments

FOLDER: Final = "jsonschema/testdata/draft2020-12"
#: The type that a keyword is about.
ABOUT: Final = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), "number"),
    **dict.fromkeys(("minLength", "maxLength"), "string"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems"), "array"),
    **dict.fromkeys(("properties", "required", "additionalProperties", "minProperties", "maxProperties"), "object"),
}
#: Keywords of the dialect, and those that say nothing about values.
DIALECT: Final = {*ABOUT, "type", "enum", "const", "oneOf", "$ref", "default", "description", "format"}
JSON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class Group(NamedTuple):
    """Several values and whether a schema takes each."""

    title: str
    schema: Any
    tests: list[tuple[Any, bool]]


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    folder = module(
        "github.com/google/jsonschema-go", "v0.4.3", "h1:/DBOLZTfDow7pe2GmaJNhltueGTtDKICi8V8p+DQPd0="
    ) / Path(FOLDER)
    return [
        Group(
            f"{path.stem}: {group['description']}",
            _without_schema(group["schema"]),
            [(_as_sent(test["data"]), test["valid"]) for test in group["tests"]],
        )
        for path in sorted(folder.glob("*.json"))
        for group in json.loads(path.read_text(encoding="utf-8"))
    ]


def _without_schema(schema: Any) -> Any:
    """The document around it has that."""
    return {key: part for key, part in schema.items() if key != "$schema"} if isinstance(schema, dict) else schema


def _as_sent(value: Any) -> Any:
    """JSON has one type for numbers; on the wire a whole one is an int."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if isinstance(value, list):
        return [_as_sent(item) for item in value]
    return {key: _as_sent(item) for key, item in value.items()} if isinstance(value, dict) else value


def document(schema: Any, number: int = 0) -> str:
    """A contract whose one argument has this schema."""
    schema = dict(schema) if isinstance(schema, dict) else schema
    defs = schema.pop("$defs", {}) if isinstance(schema, dict) else {}
    args = {
        "type": "object",
        "properties": {"value": {"$ref": "#/$defs/Value"}},
        "required": ["value"],
        "additionalProperties": False,
    }
    task = {"name": f"suite.g{number}", "version": 1, "args": "Args", "result": "Nothing"}
    return json.dumps(
        {
            "$schema": SCHEMA,
            "x-task": task,
            "$defs": {"Args": args, "Nothing": {"type": "null"}, "Value": schema, **defs},
        }
    )


def contract(text: str) -> Contract | None:
    try:
        return read(text, "it")
    except ContractError:
        return None


def closed(schema: Any) -> Any:
    """The schema with what the dialect asks for besides: a type everywhere, and no property without a name."""
    if schema in ({}, True):
        return {"type": "integer"}
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    about = {ABOUT[key] for key in schema if key in ABOUT}
    about |= {"string" if isinstance(value, str) else "integer" for value in schema.get("enum", ())}
    if len(about) == 1:
        made.setdefault("type", *about)
    if "properties" in made:
        made["properties"] = {name: closed(part) for name, part in made["properties"].items()}
        made = {"required": [], "additionalProperties": False, **made}
    elif "prefixItems" in made:
        made["prefixItems"] = [closed(part) for part in made["prefixItems"]]
        made = {"items": False, "minItems": len(made["prefixItems"]), **made}
    elif made.get("type") == "array":
        made["items"] = closed(made.get("items", {}))
    elif made.get("type") == "object":
        made["additionalProperties"] = closed(made.get("additionalProperties", {}))
    return made


def added(schema: Any, value: Any) -> bool:
    """Whether a value keeps what `closed` may have added."""
    if type(value) not in JSON_TYPES[schema["type"]]:
        return False
    if "properties" in schema:
        parts = schema["properties"]
        return parts.keys() >= value.keys() and all(added(parts[name], item) for name, item in value.items())
    if "prefixItems" in schema:
        parts = schema["prefixItems"]
        return len(parts) == len(value) and all(added(part, item) for part, item in zip(parts, value, strict=True))
    if schema["type"] == "array":
        return all(added(schema["items"], item) for item in value)
    if schema["type"] == "object":
        return all(added(schema["additionalProperties"], item) for item in value.values())
    return True


def keywords(schema: Any) -> Iterator[str]:
    """The keywords of a schema and of those in it."""
    for key, part in schema.items() if isinstance(schema, dict) else ():
        yield key
        inner = part.values() if key in ("properties", "$defs") else part if isinstance(part, list) else [part]
        if key not in ("enum", "const", "default", "required"):
            for each in inner:
                yield from keywords(each)


def test_both_readers_refuse_what_is_outside_of_the_dialect_and_agree_on_the_rest(
    groups: list[Group], tmp_path: Path
) -> None:
    # Given all groups, as they stand and with what the dialect asks for besides
    assert len(groups) == 342
    assert sum(len(group.tests) for group in groups) == 1099
    schemas = [(group.title, schema) for group in groups for schema in (group.schema, closed(group.schema))]

    # When both languages read them
    ours = [contract(document(schema)) is not None for _, schema in schemas]
    with differ(tmp_path) as go:
        theirs = [said.kind == "k" for said in go.ask([(DOCUMENT, document(schema).encode()) for _, schema in schemas])]

    # Then they agree, and take none with a keyword that the dialect does not have
    assert [title for (title, _), one, other in zip(schemas, ours, theirs, strict=True) if one != other] == []
    outside = [title for (title, schema), ok in zip(schemas, ours, strict=True) if ok and {*keywords(schema)} - DIALECT]
    assert outside == []


def test_what_lies_in_the_dialect_takes_the_values_that_the_suite_says(groups: list[Group], tmp_path: Path) -> None:
    # Given the groups that are contracts, with what the dialect asks for besides
    found: list[tuple[Group, Any, Contract]] = []
    folder = tmp_path / "contracts"
    for group in groups:
        schema = closed(group.schema)
        text = document(schema, len(found))
        if made := contract(text):
            path = folder / f"suite.g{len(found)}/v1.json"
            path.parent.mkdir(parents=True)
            path.write_text(text)
            found.append((group, schema, made))
    cases = [
        (number, value, valid and added(schema, value))
        for number, (group, schema, _) in enumerate(found)
        for value, valid in group.tests
    ]

    # When Python's converters and generated Go take the values
    judges = [Arguments(made) for _, _, made in found]
    bodies = [(number, encode({"value": value})) for number, value, _ in cases]
    ours = [judges[number].judge(body) for number, body in bodies]
    files = {**generate(folder, tmp_path), "main.go": _program(len(found))}
    with running(build_made(files, tmp_path)) as go:
        theirs = go.ask(bodies)

    # Then both say what the suite says, and the same place, rule and kind of what they refuse
    assert [
        (found[number][0].title, value)
        for (number, value, valid), one in zip(cases, ours, strict=True)
        if one.kind != ("k" if valid else "m")
    ] == []
    assert [(case, one, other) for case, one, other in zip(cases, ours, theirs, strict=True) if one != other] == []

    # And there are many, of each keyword that stands alone
    assert len(found) >= 35
    assert len(cases) >= 170
    seen = {word for _, schema, _ in found for word in keywords(schema)}
    assert seen >= {*ABOUT, "enum", "type"}


def _program(tasks: int) -> str:
    subjects = ", ".join(f"differ.Args(suite.G{number}Task.Args)" for number in range(tasks))
    return f"""package main

import (
	"github.com/penstock-mq/penstock/producer_go/internal/differ"
	"{MADE}/suite"
)

func main() {{ differ.Main({subjects}) }}
"""
