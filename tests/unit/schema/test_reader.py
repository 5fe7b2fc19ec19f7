"""A contract's file: what it may say, and what is said of one that says something else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import ContractError
from penstock.schema.library import Library
from penstock.schema.model import ABSENT, Array, Float, Formatted, Int, NDArray, Nullable, Str, Tuple
from penstock.schema.reader import load, read
from penstock.schema.writer import text
from tests.unit.schema.contracts import (
    BIN,
    BOOL,
    FLOAT,
    INT,
    NULL,
    SHAPES,
    STR,
    UNION,
    contract,
    document,
    obj,
    ref,
    tagged,
)

ROOT = Path(__file__).parents[3]
CONTRACTS = [
    *sorted((ROOT / "contracts/tasks").rglob("*.json")),
    *sorted((ROOT / "tests/contract/tasks").rglob("*.json")),
]


def problems(made: dict[str, Any]) -> str:
    with pytest.raises(ContractError) as caught:
        read(json.dumps(made), "it")
    return str(caught.value)


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_writing_what_was_read_gives_the_same_bytes(path: Path) -> None:
    assert text(load(path)).encode() == path.read_bytes()


def test_the_example_of_the_dialect_is_one_in_the_one_form() -> None:
    page = (ROOT / "contracts/DIALECT.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert text(read(example)) == example


def test_a_property_is_read_with_all_that_is_said_of_it() -> None:
    made = contract({"trim": {**FLOAT, "minimum": 0, "default": 0.5, "description": "How much."}}, required=[])
    (of,) = made.arguments.properties
    assert (of.name, of.type, of.required, of.default) == ("trim", Float(minimum=0), False, 0.5)
    assert of.type.description == "How much."


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        (INT, Int()),
        ({**INT, "minimum": -1, "maximum": 5}, Int(minimum=-1, maximum=5)),
        ({**FLOAT, "exclusiveMinimum": 0, "x-allow-nonfinite": True}, Float(exclusive_minimum=0, nonfinite=True)),
        ({**STR, "maxLength": 3}, Str(max_length=3)),
        ({"type": "string", "format": "uuid"}, Formatted(format="uuid")),
        ({"type": "array", "items": INT, "minItems": 1}, Array(items=Int(), min_items=1)),
        (
            {"type": "array", "prefixItems": [INT, STR], "items": False, "minItems": 2},
            Tuple(items=(Int(), Str())),
        ),
        ({"oneOf": [INT, NULL]}, Nullable(of=Int())),
        (
            {"type": "object", "x-wire": "ndarray", "x-dtype": "int8", "x-ndim": 0},
            NDArray(dtype="int8", ndim=0),
        ),
    ],
)
def test_each_form_is_read_as_its_type(schema: dict[str, Any], type_: Any) -> None:
    (of,) = contract({"x": schema}).arguments.properties
    assert (of.type, of.default) == (type_, ABSENT)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({}, "none of the dialect's types"),
        ({"type": "integer", "format": "int32"}, "format has no meaning here"),
        ({"type": "integer", "multipleOf": 2}, "multipleOf has no meaning here"),
        ({"type": ["integer", "null"]}, "none of the dialect's types"),
        ({"type": "number", "minimum": "0"}, "minimum is not a number"),
        ({"type": "integer", "minimum": 0.5}, "minimum is not a whole number"),
        ({"type": "integer", "minimum": True}, "minimum is not a whole number"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "the bounds leave no value"),
        ({"type": "number", "minimum": 1, "exclusiveMaximum": 1}, "the bounds leave no value"),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": 1}, "both inclusive and exclusive"),
        ({"type": "string", "minLength": -1}, "minLength is not a whole number"),
        ({"type": "string", "pattern": "a*"}, "pattern has no meaning here"),
        ({"type": "string", "format": "email"}, "format is none of decimal, uuid, date"),
        ({"type": "string", "x-wire": "base64"}, "none of the dialect's types"),
        ({"type": "string", "const": 1}, "const is not a string"),
        ({"type": "string", "const": "a"}, "const tells the objects of a union"),
        ({"type": "string", "enum": []}, "enum is not a list of one or more str"),
        ({"type": "string", "enum": ["a", 1]}, "enum is not a list of one or more str"),
        ({"type": "string", "enum": ["a", ""]}, "enum is not a list of one or more str"),
        ({"type": "string", "enum": ["a", "a"]}, "enum has a value twice"),
        ({"type": "integer", "enum": [1, True]}, "enum is not a list of one or more int"),
        ({"type": "string", "enum": ["a"], "x-enum-names": ["a"]}, "UPPER_SNAKE"),
        ({"type": "string", "enum": ["a", "b"], "x-enum-names": ["A"]}, "a different name for each"),
        ({"type": "array"}, "none of the dialect's types"),
        ({"type": "array", "items": {}}, "none of the dialect's types"),
        ({"type": "array", "prefixItems": [INT], "items": False}, "minItems: 1"),
        ({"type": "array", "prefixItems": [], "items": False, "minItems": 0}, "one or more types"),
        ({"type": "object"}, "none of the dialect's types"),
        (obj({"a": INT}), "give it a name in $defs"),
        ({"type": "object", "x-wire": "ndarray", "x-dtype": "complex64"}, "x-dtype is none of"),
        ({"type": "object", "x-wire": "ndarray", "x-dtype": "int8", "x-ndim": 33}, "x-ndim is not in 0 to 32"),
        (
            {"type": "object", "x-wire": "ndarray", "x-dtype": "int8", "x-allow-nonfinite": True},
            "no meaning with int8",
        ),
        (NULL, "null, which only a result is"),
        ({"oneOf": [INT, STR]}, 'is [S, {"type": "null"}]'),
        ({"oneOf": [{"oneOf": [INT, NULL]}, NULL]}, "cannot be nullable again"),
        ({"$ref": "#/$defs/Nobody"}, "names nothing in $defs"),
        ({"$ref": "#/$defs/DescribeArgs", "description": "x"}, "$ref stands alone"),
        ({"oneOf": [ref("DescribeArgs")], "x-discriminator": "kind"}, "two or more objects"),
        ({"oneOf": [INT, STR], "x-discriminator": "kind"}, "something other than references"),
        ({**INT, "description": 1}, "description is not a string"),
        ({**INT, "default": 1}, "it is required and has a default"),
    ],
)
def test_what_the_dialect_does_not_have_is_refused_with_its_place(schema: dict[str, Any], says: str) -> None:
    said = problems(document({"x": schema}))
    assert says in said
    assert "$defs.DescribeArgs.x" in said


@pytest.mark.parametrize(
    ("schema", "default"),
    [
        (INT, 1.5),
        (INT, True),
        (INT, None),
        ({**INT, "maximum": 1}, 2),
        (BOOL, 0),
        (FLOAT, "1"),
        ({**FLOAT, "exclusiveMinimum": 0}, 0),
        ({**STR, "maxLength": 1}, "ab"),
        ({"type": "string", "format": "date"}, "2024-02-30"),
        ({"type": "string", "enum": ["a"]}, "b"),
        (BIN, "x"),
        ({"type": "array", "items": INT}, []),
    ],
)
def test_a_default_that_does_not_fit_is_refused(schema: dict[str, Any], default: Any) -> None:
    said = problems(document({"x": {**schema, "default": default}}, required=[]))
    assert "does not fit its type, or its type takes none" in said


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (document({"x": {"oneOf": [INT, NULL]}}, required=[]), "it is optional and nullable"),
        (document({"a_b": INT, "aB": INT}), "are the same in CamelCase; rename one"),
        (document({"a b": INT}), "'a b' is not an identifier"),
        (document({"a": INT}, required=["b"]), "required names 'b', which is no property"),
        (document({"a": INT}, required=["a", "a"]), "required names a property twice"),
        (document(defs={"Alone": obj({})}), "$defs.Alone: nothing refers to it"),
        (document(defs={"low": obj({})}), "'low' is not CamelCase"),
        (document({"x": UNION}, defs={**SHAPES, "Box": tagged("circle")}), "two of its objects have the same 'kind'"),
        (document({"x": UNION}, defs={**SHAPES, "Box": obj({"w": FLOAT})}), "Box has no required property 'kind'"),
        (
            document({"x": UNION}, defs={**SHAPES, "Box": obj({"kind": {"type": "string", "const": "box"}}, [])}),
            "Box has no required property 'kind'",
        ),
        (document({"x": ref("Tree")}, defs={"Tree": obj({"left": ref("Tree")})}), "it holds itself without end"),
        (document(name="describe"), "x-task.name: it is no task's name"),
        (document(version=0), "x-task.version: it is not in 1 to 2^31-1"),
        (document(args="Nobody"), "x-task.args: it names no object of $defs"),
        (document(args="DescribeResult"), "x-task.args: it names no object of $defs"),
        (document(result=INT, name=None), "x-task: name is missing"),
        (document(items="Nothing"), "x-task.items: it names no type of $defs"),
        (document(items=1), "x-task.items: it names no type of $defs"),
        (document(items="DescribeResult"), "x-task.items: an item is never null"),
        (document(errors={"EXPIRED": "core"}), "x-task.errors"),
        (document(errors={"lower": "x"}), "x-task.errors"),
        (document(callable="numpy"), "x-task.callable: it is not MODULE:CALLABLE"),
        (document({"x": INT}, positional=["y"]), "'y' is no argument"),
        (document(deprecated_since="2024-13-01"), "x-task.deprecated_since: it is not a date"),
        (document(idempotent=True), "idempotent is not a key of the dialect"),
        ({**document(), "title": "x"}, "title is not a key of the dialect"),
        ({**document(), "$schema": "draft-07"}, "$schema: it is not"),
        ([], "it is not a JSON object"),
    ],
)
def test_a_document_that_is_no_contract_is_refused(made: Any, says: str) -> None:
    assert says in problems(made)


@pytest.mark.parametrize(
    "ends",
    [
        obj({"left": ref("Tree")}, []),
        obj({"children": {"type": "array", "items": ref("Tree")}}),
        obj({"left": {"oneOf": [ref("Tree"), NULL]}}),
        obj({"by": {"type": "object", "additionalProperties": ref("Tree")}}),
    ],
)
def test_a_type_may_hold_itself_where_a_value_can_end(ends: dict[str, Any]) -> None:
    assert contract({"x": ref("Tree")}, defs={"Tree": ends}).defs["Tree"] is not None


def test_all_problems_are_told_at_once() -> None:
    said = problems(document({"a": {"type": "nothing"}, "b": {"type": "integer", "minimum": "x"}}, version=-1))
    assert len(said.splitlines()) == 4
    assert "$defs.DescribeArgs.a" in said
    assert "$defs.DescribeArgs.b" in said
    assert "x-task.version" in said


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{", "is not JSON"),
        (b"\xff", "is not JSON"),
        ('{"a": 1, "a": 2}', "names 'a' twice"),
        ('{"a": 9007199254740993}', "numbers lie within"),
        ('{"a": NaN}', "numbers lie within"),
        ('{"a": 1e400}', "numbers lie within"),
    ],
)
def test_json_that_could_be_read_in_two_ways_is_refused(data: str | bytes, says: str) -> None:
    with pytest.raises(ContractError, match=re.escape(says)):
        read(data, "it")


def test_a_file_lies_where_its_name_and_version_say(tmp_path: Path) -> None:
    # Given a contract under another task's name
    path = tmp_path / "stats.other" / "v1.json"
    path.parent.mkdir()
    path.write_text(text(contract()))

    # When it is read, then it is said where it belongs
    with pytest.raises(ContractError, match=r"belongs to stats\.describe/v1\.json"):
        load(path)


def test_the_contract_hash_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    library = Library(tmp_path)
    assert library.digest("stats.describe", 1) is None
    path = library.path("stats.describe", 1)
    path.parent.mkdir()
    path.write_text("abc")
    assert library.digest("stats.describe", 1) == "ba7816bf8f01cfea"
