"""The AsyncAPI document says what the contracts say, and the official parser reads it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import main
from penstock.contract.asyncapi import document, text
from penstock.contract.envelope import ERROR, ITEM_HEADERS, JOB_HEADERS, SCHEMAS
from penstock.wire import registry
from tests.helpers import node
from tests.helpers.worker import ROOT

PARSER = ROOT / "tests/contract/asyncapi"
KITCHEN = ROOT / "tests/contract/tasks"
#: The parser's severities: 0 is an error, 1 a warning; what comes after is advice.
WARNING = 1

SCHEMAS_AT = "/components/schemas/"


def contracts() -> list[dict[str, Any]]:
    """Contracts that have every type of the dialect."""
    return [json.loads(path.read_text()) for path in sorted(KITCHEN.rglob("v*.json"))]


def made() -> dict[str, Any]:
    return document(contracts())


def judged(document: Mapping[str, Any], values: list[tuple[str, Any]] | None = None) -> dict[str, Any]:
    """What the parser says of a document, and a validator of values under its schemas."""
    ended = subprocess.run(
        [node.node(PARSER), "validate.mjs"],
        cwd=PARSER,
        env=node.environment(),
        input=json.dumps({"document": json.dumps(document), "values": values or []}),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said: dict[str, Any] = json.loads(ended.stdout)
    said["wrong"] = [each for each in said["diagnostics"] if each["severity"] <= WARNING]
    return said


def test_the_official_parser_finds_nothing_wrong_in_a_document_with_every_type() -> None:
    said = judged(made())
    assert said["wrong"] == []
    assert said["operations"] == [
        "kitchen.arrays.v1",
        "kitchen.everything.v1",
        "kitchen.heat.v1",
        "kitchen.limits.v1",
        "kitchen.nothing.v1",
        "kitchen.nothing.v2",
        "kitchen.serve.v1",
        "kitchen.stack.v1",
        "kitchen.weather.v1",
    ]
    assert said["replies"] == len(said["operations"])


def test_the_official_parser_finds_nothing_wrong_in_the_repositorys_own_document() -> None:
    own = json.loads((ROOT / "contracts/asyncapi.json").read_text())
    said = judged(own)
    assert said["wrong"] == []
    assert said["operations"]


def test_a_document_without_contracts_is_valid_too() -> None:
    assert judged(document([]))["wrong"] == []


@pytest.mark.parametrize("break_it", ["type", "reference", "reply", "item"])
def test_the_parser_would_notice(break_it: str) -> None:
    broken = made()
    if break_it == "type":
        broken["components"]["schemas"]["kitchen.everything.v1.args.Box"]["properties"]["width"]["type"] = "numeric"
    elif break_it == "reference":
        del broken["components"]["schemas"]["kitchen.everything.v1.args.Box"]
    elif break_it == "item":
        del broken["components"]["messages"]["kitchen.heat.v1.item"]
    else:
        broken["operations"]["kitchen.limits.v1"]["reply"]["address"]["location"] = "the reply queue"
    assert judged(broken)["wrong"] != []


BOX = {"kind": "box", "width": 1, "height": 2.5}
TREE = {"value": 1, "children": [{"value": 2}]}
ARRAY = {"dtype": "float64", "shape": [2, 0], "data": ""}
EVERYTHING = "kitchen.everything.v1."

VALUES: list[tuple[str, str, Any, bool]] = [
    ("a tuple", "args.EverythingArgs/properties/pair", [1, {"kind": "circle", "radius": 1}], True),
    ("a tuple that is too long", "args.EverythingArgs/properties/pair", [1, {"kind": "circle", "radius": 1}, 1], False),
    ("a tuple that is too short", "args.EverythingArgs/properties/pair", [1], False),
    ("a tuple of another kind", "args.EverythingArgs/properties/pair", ["1", {"kind": "circle", "radius": 1}], False),
    ("an object of a union", "args.EverythingArgs/properties/shape", BOX, True),
    ("an object of no union", "args.EverythingArgs/properties/shape", {**BOX, "kind": "sphere"}, False),
    ("a tree", "args.Tree", TREE, True),
    ("a tree with a leaf of another kind", "args.Tree", {"value": 1, "children": [{"value": "2"}]}, False),
    ("an unknown argument", "args.Tree", {**TREE, "colour": "green"}, False),
    ("an unknown property of a result", "result.Tree", {**TREE, "colour": "green"}, True),
    ("nil for a nullable", "result.EverythingResult", None, True),
    ("an ndarray", "args.EverythingArgs/properties/matrix", ARRAY, True),
    ("an ndarray of another dtype", "args.EverythingArgs/properties/matrix", {**ARRAY, "dtype": "int8"}, False),
    ("an ndarray of another dimension", "args.EverythingArgs/properties/matrix", {**ARRAY, "shape": [1]}, False),
    ("a reference with a default", "args.EverythingArgs/properties/how", "slow", True),
    ("a reference with a default, another value", "args.EverythingArgs/properties/how", "never", False),
]


def test_the_schemas_judge_values_as_the_contracts_do() -> None:
    pointers = [(f"{SCHEMAS_AT}{EVERYTHING}{where}", value) for _, where, value, _ in VALUES]
    verdicts = judged(made(), pointers)["valid"]
    assert dict(zip([name for name, *_ in VALUES], verdicts, strict=True)) == {name: ok for name, _, _, ok in VALUES}


RESULT: dict[str, Any] = {
    "v": 1,
    "kind": "result",
    "job_id": "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6",
    "task": "kitchen.everything",
    "tv": 1,
    "attempt": 1,
    "finished_at": 1730000000000,
    "worker": "guest.w",
}
ERROR_VALUE = {"code": "EMPTY", "message": "There is nothing to cook.", "retryable": False}


RESULTS: list[tuple[dict[str, Any], bool]] = [
    ({"status": "ok", "result": TREE}, True),
    ({"status": "ok", "result": None}, True),
    ({"status": "ok"}, False),
    ({"status": "ok", "result": 1}, False),
    ({"status": "error", "error": ERROR_VALUE}, True),
    ({"status": "error", "error": {"code": "EMPTY"}}, False),
    ({"status": "error"}, False),
    ({"status": "ok", "result": TREE, "tv": 2}, False),
]


def test_a_result_is_a_value_or_an_error() -> None:
    pointer = "/components/messages/kitchen.everything.v1.result/payload"
    verdicts = judged(made(), [(pointer, RESULT | fields) for fields, _ in RESULTS])["valid"]
    assert verdicts == [ok for _, ok in RESULTS]


def test_a_task_that_yields_answers_with_items_and_one_result() -> None:
    # Given the operation of a task that yields, and that of one that does not
    document = made()
    yielding, plain = (document["operations"][f"kitchen.{name}.v1"] for name in ("serve", "limits"))

    # Then only the first has an item among its replies, whose payload is an array of them
    assert [each["$ref"].rpartition("/")[2] for each in yielding["reply"]["messages"]] == [
        "kitchen.serve.v1",
        "kitchen.serve.v1.item",
    ]
    assert len(plain["reply"]["messages"]) == 1
    message = document["components"]["messages"]["kitchen.serve.v1.item"]
    assert message["name"] == message["bindings"]["amqp"]["messageType"] == registry.TYPE_ITEM
    pointer = "/components/messages/kitchen.serve.v1.item/payload"
    course = {"name": "soup", "plate": BOX, "new": 1}
    assert judged(document, [(pointer, [course]), (pointer, [course, {"name": "soup"}])])["valid"] == [True, False]


def test_each_task_has_a_channel_for_all_its_versions() -> None:
    channel = made()["channels"]["kitchen.nothing"]
    assert channel["address"] == "kitchen.nothing"
    assert list(channel["messages"]) == ["v1", "v2"]
    assert channel["bindings"]["amqp"]["exchange"]["name"] == "penstock.jobs"


def test_an_operation_carries_the_tasks_words_and_errors() -> None:
    operation = made()["operations"]["kitchen.everything.v1"]
    assert operation["summary"] == "Take one of each."
    assert operation["x-errors"] == {"EMPTY": "There is nothing to cook.", "TOO_HOT": "The oven is too hot."}


def test_the_order_of_the_contracts_does_not_matter() -> None:
    assert text(document(reversed(contracts()))) == text(made())


def test_only_what_a_side_uses_stands_on_that_side() -> None:
    names = {name for name in made()["components"]["schemas"] if name.startswith(EVERYTHING)}
    assert {name for name in names if ".result." in name} == {
        "kitchen.everything.v1.result.EverythingResult",
        "kitchen.everything.v1.result.Tree",
    }
    assert "kitchen.everything.v1.args.EverythingResult" not in names


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    contract = {
        "x-task": {"name": "odd.names", "version": 1, "args": "Args", "result": "Odd"},
        "$defs": {
            "Args": {
                "type": "object",
                "properties": {"default": {"$ref": "#/$defs/Odd"}},
                "additionalProperties": False,
            },
            "Odd": {
                "type": "object",
                "properties": {"prefixItems": {"type": "string"}, "items": {"type": "integer"}},
                "additionalProperties": False,
            },
        },
    }
    made = document([contract])
    odd = made["components"]["schemas"]["odd.names.v1.args.Odd"]
    assert odd["properties"] == {"prefixItems": {"type": "string"}, "items": {"type": "integer"}}
    assert judged(made)["wrong"] == []


@pytest.mark.parametrize(("name", "definition"), [("job.v1", "job"), ("result.v1", "result"), (ERROR, "error")])
def test_the_envelopes_schemas_are_those_of_the_contracts(name: str, definition: str) -> None:
    wanted = json.loads((ROOT / "contracts/envelope/v1.json").read_text())["$defs"][definition]
    found = SCHEMAS[name]
    assert list(found["properties"]) == list(wanted["properties"])
    assert found["required"] == wanted["required"]
    for field, schema in wanted["properties"].items():
        assert set(_bounds(found["properties"][field])) == set(_bounds(schema)), field


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    """What a schema demands, in one spelling: ours has the grammars themselves, and an error's in its place."""
    names = {"x-grammar": "pattern", "pattern": "pattern"}
    for key, value in schema.items():
        if key in names:
            grammar = getattr(registry, f"GRAMMAR_{value}", None)
            yield f"pattern {value if grammar is None else f'^{grammar}$'}"
        elif key in {"type", "const", "enum", "minimum", "maximum", "additionalProperties"}:
            yield f"{key} {value}"


def test_the_headers_are_in_the_registry() -> None:
    listed = {each["header"] for each in json.loads((ROOT / "contracts/registry/amqp.json").read_text())["headers"]}
    for headers in (JOB_HEADERS, ITEM_HEADERS):
        assert SCHEMAS[headers]["properties"].keys() <= listed


# ── the command ─────────────────────────────────────────────────────────────────────────────────────


def test_the_command_writes_the_document_beside_the_contracts_and_then_finds_it_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given contracts without a document
    folder = tmp_path / "tasks"
    folder.symlink_to(KITCHEN)
    command = ["contract", "asyncapi", "--contracts", str(folder)]
    assert main([*command, "--check"]) == registry.Exit.DATA
    assert "penstock contract asyncapi" in capsys.readouterr().err
    # when it is written
    assert main(command) == registry.Exit.OK
    # then it is that of all of them, and up to date until it is changed
    out = tmp_path / "asyncapi.json"
    assert out.read_text() == text(made())
    assert main([*command, "--check"]) == registry.Exit.OK
    out.write_text("{}\n")
    assert main([*command, "--check"]) == registry.Exit.DATA


def test_the_command_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["contract", "asyncapi", "--contracts", str(KITCHEN), "--out", "-", "--namespace", "test"]
    assert main(arguments) == registry.Exit.OK
    printed = json.loads(capsys.readouterr().out)
    assert printed["channels"]["replies"]["bindings"]["amqp"]["exchange"]["name"] == "test.replies"
