"""Every kind of change, in arguments and in results: who is broken, by which rule, and what is said."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from penstock.contract.compat import RETENTION_DAYS, judge, removed
from penstock.schema.compare import drift
from tests.unit.schema.contracts import BIN, FLOAT, INT, NULL, SHAPES, STR, UNION, contract, obj, ref, tagged

OK, BREAK = False, True
ENUM = {"type": "string", "enum": ["a", "b"]}
OPEN = {**ENUM, "x-open-enum": True}
ARRAY = {"type": "object", "x-wire": "ndarray", "x-dtype": "float64"}
BOX_GONE = {**UNION, "oneOf": [ref("Circle"), ref("Star")]}
STAR = {"Star": tagged("star", n=INT)}


def bounded(**bounds: float) -> dict[str, Any]:
    return {**INT, **bounds}


#: name, before, after, breaks arguments, breaks results, rule. A part is a property's schema, None: there is none;
#: a pair is schema and whether it is required.
CHANGES: list[tuple[str, Any, Any, bool, bool, str]] = [
    ("optional property added", None, (INT, False), OK, OK, "OPTIONAL_ADDED"),
    ("required property added", None, INT, BREAK, OK, "REQUIRED_ADDED"),
    ("required property removed", INT, None, BREAK, BREAK, "PROPERTY_REMOVED"),
    ("optional property removed", (INT, False), None, BREAK, BREAK, "PROPERTY_REMOVED"),
    ("optional becomes required", (INT, False), INT, BREAK, OK, "BECAME_REQUIRED"),
    ("required becomes optional", INT, (INT, False), OK, BREAK, "BECAME_OPTIONAL"),
    ("enum value added", ENUM, {**ENUM, "enum": ["a", "b", "c"]}, OK, BREAK, "ENUM_VALUE_ADDED"),
    ("open enum value added", OPEN, {**OPEN, "enum": ["a", "b", "c"]}, OK, OK, "OPEN_ENUM_VALUE_ADDED"),
    ("enum value removed", ENUM, {**ENUM, "enum": ["a"]}, BREAK, OK, "ENUM_VALUE_REMOVED"),
    ("enum opened", ENUM, OPEN, OK, BREAK, "ENUM_OPENED"),
    ("enum closed", OPEN, ENUM, OK, OK, "ENUM_CLOSED"),
    ("int becomes float", INT, FLOAT, OK, BREAK, "WIDENED"),
    ("float becomes int", FLOAT, INT, BREAK, OK, "NARROWED"),
    ("becomes nullable", INT, {"oneOf": [INT, NULL]}, OK, BREAK, "WIDENED"),
    ("no longer nullable", {"oneOf": [INT, NULL]}, INT, BREAK, OK, "NARROWED"),
    ("maximum raised", bounded(maximum=1), bounded(maximum=2), OK, BREAK, "WIDENED"),
    ("maximum lowered", bounded(maximum=2), bounded(maximum=1), BREAK, OK, "NARROWED"),
    ("maximum gone", bounded(maximum=1), INT, OK, BREAK, "WIDENED"),
    ("minimum came", INT, bounded(minimum=0), BREAK, OK, "NARROWED"),
    ("bound excluded", {**FLOAT, "minimum": 0}, {**FLOAT, "exclusiveMinimum": 0}, BREAK, OK, "NARROWED"),
    ("bound included", {**FLOAT, "exclusiveMaximum": 1}, {**FLOAT, "maximum": 1}, OK, BREAK, "WIDENED"),
    ("maxLength lowered", {**STR, "maxLength": 2}, {**STR, "maxLength": 1}, BREAK, OK, "NARROWED"),
    ("NaN allowed", FLOAT, {**FLOAT, "x-allow-nonfinite": True}, OK, BREAK, "WIDENED"),
    ("NaN forbidden", {**FLOAT, "x-allow-nonfinite": True}, FLOAT, BREAK, OK, "NARROWED"),
    ("default changed", ({**INT, "default": 1}, False), ({**INT, "default": 2}, False), BREAK, OK, "DEFAULT_CHANGED"),
    ("default came", (INT, False), ({**INT, "default": 2}, False), BREAK, OK, "DEFAULT_CHANGED"),
    ("str becomes bytes", STR, BIN, BREAK, BREAK, "WIRE_CHANGED"),
    ("str becomes timestamp", STR, {"type": "string", "x-wire": "timestamp"}, BREAK, BREAK, "WIRE_CHANGED"),
    ("format came", STR, {"type": "string", "format": "uuid"}, BREAK, BREAK, "FORMAT_CHANGED"),
    (
        "format changed",
        {"type": "string", "format": "date"},
        {"type": "string", "format": "uuid"},
        BREAK,
        BREAK,
        "FORMAT_CHANGED",
    ),
    ("another type", INT, STR, BREAK, BREAK, "TYPE_CHANGED"),
    ("another base of an enum", ENUM, {"type": "integer", "enum": [1]}, BREAK, BREAK, "TYPE_CHANGED"),
    ("array becomes ndarray", {"type": "array", "items": FLOAT}, ARRAY, BREAK, BREAK, "WIRE_CHANGED"),
    ("dtype changed", ARRAY, {**ARRAY, "x-dtype": "float32"}, BREAK, BREAK, "DTYPE_CHANGED"),
    ("ndim came", ARRAY, {**ARRAY, "x-ndim": 2}, BREAK, OK, "NARROWED"),
    (
        "tuple longer",
        {"type": "array", "prefixItems": [INT], "items": False, "minItems": 1},
        {"type": "array", "prefixItems": [INT, INT], "items": False, "minItems": 2},
        BREAK,
        BREAK,
        "TYPE_CHANGED",
    ),
    ("items change", {"type": "array", "items": INT}, {"type": "array", "items": STR}, BREAK, BREAK, "TYPE_CHANGED"),
    (
        "values of a map change",
        {"type": "object", "additionalProperties": INT},
        {"type": "object", "additionalProperties": FLOAT},
        OK,
        BREAK,
        "WIDENED",
    ),
]


def with_part(role: str, part: Any) -> Any:
    """A contract with this part as the property `x` of its arguments, its result or its items."""
    schema, required = part if isinstance(part, tuple) else (part, True)
    properties = {"id": INT} if schema is None else {"id": INT, "x": schema}
    names = ["id", *(["x"] if schema is not None and required else [])]
    if role == "arguments":
        return contract(properties, required=names)
    if role == "items":
        return contract(items="Word", defs={"Word": obj(properties, names)})
    return contract(result=obj(properties, names))


@pytest.mark.parametrize("role", ["arguments", "result", "items"])
@pytest.mark.parametrize(("name", "before", "after", "args", "result", "rule"), CHANGES, ids=[c[0] for c in CHANGES])
def test_a_change_is_judged_by_where_it_is(
    name: str, before: Any, after: Any, args: bool, result: bool, rule: str, role: str
) -> None:
    # Given a contract before and after a change
    old, new = with_part(role, before), with_part(role, after)

    # When it is judged
    (finding,) = judge(old, new)

    # Then the verdict is that of the table in the dialect, with place, meaning and remedy
    assert (finding.rule, finding.where) == (rule, role)
    assert finding.breaks is (args if role == "arguments" else result), name
    assert finding.path.startswith({"arguments": "x", "result": "result.x", "items": "item.x"}[role])
    assert finding.change
    assert finding.means
    assert bool(finding.remedy) is finding.breaks
    if finding.breaks:
        assert "v2.json" in finding.remedy


@pytest.mark.parametrize("part", [c[1] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_what_has_not_changed_is_no_finding(part: Any) -> None:
    for role in ("arguments", "result", "items"):
        assert judge(with_part(role, part), with_part(role, part)) == []


def test_there_are_at_least_the_26_kinds_of_change() -> None:
    assert len(CHANGES) >= 26


@pytest.mark.parametrize(
    ("before", "after", "defs", "args", "result", "rule"),
    [
        (
            UNION,
            {**UNION, "oneOf": [*UNION["oneOf"], ref("Star")]},
            (SHAPES, {**SHAPES, **STAR}),
            OK,
            BREAK,
            "VARIANT_ADDED",
        ),
        (
            {**UNION, "oneOf": [*UNION["oneOf"], ref("Star")]},
            UNION,
            ({**SHAPES, **STAR}, SHAPES),
            BREAK,
            OK,
            "VARIANT_REMOVED",
        ),
        (
            UNION,
            {**UNION, "x-discriminator": "type"},
            (
                SHAPES,
                {
                    name: obj({"type": {"type": "string", "const": name}, "kind": STR, "r": FLOAT})
                    for name in ("Circle", "Box")
                },
            ),
            BREAK,
            BREAK,
            "DISCRIMINATOR_CHANGED",
        ),
    ],
    ids=["variant added", "variant removed", "discriminator"],
)
def test_a_change_of_a_union(before: Any, after: Any, defs: Any, args: bool, result: bool, rule: str) -> None:
    old, new = contract({"x": before}, defs=defs[0]), contract({"x": after}, defs=defs[1])
    assert [(f.rule, f.breaks) for f in judge(old, new)] == [(rule, args)]
    old, new = (contract(result=obj({"x": part}), defs=each) for part, each in zip((before, after), defs, strict=True))
    assert [(f.rule, f.breaks) for f in judge(old, new)] == [(rule, result)]


def test_a_change_inside_an_object_of_a_union_has_its_place() -> None:
    old = contract({"x": UNION}, defs=SHAPES)
    new = contract({"x": UNION}, defs={**SHAPES, "Box": tagged("box", w=INT)})
    (finding,) = judge(old, new)
    assert (finding.path, finding.rule, finding.breaks) == ("x(box).w", "NARROWED", BREAK)


def test_a_type_in_both_roles_is_judged_in_both() -> None:
    # Given a type that comes and goes
    old = contract({"x": ref("Point")}, result=obj({"x": ref("Point")}), defs={"Point": obj({"a": INT})})

    # When it gets a required property
    new = contract({"x": ref("Point")}, result=obj({"x": ref("Point")}), defs={"Point": obj({"a": INT, "b": INT})})

    # Then it breaks callers that send it, and nobody who receives it
    assert [(f.where, f.path, f.breaks) for f in judge(old, new)] == [
        ("arguments", "x.b", BREAK),
        ("result", "result.x.b", OK),
    ]


def test_a_type_that_holds_itself_is_compared_once() -> None:
    tree = obj({"children": {"type": "array", "items": ref("Tree")}, "value": INT})
    other = obj({"children": {"type": "array", "items": ref("Tree")}, "value": STR})
    (finding,) = judge(
        contract({"x": ref("Tree")}, defs={"Tree": tree}), contract({"x": ref("Tree")}, defs={"Tree": other})
    )
    assert (finding.rule, finding.path) == ("TYPE_CHANGED", "x.value")


def test_what_the_wire_does_not_show_is_no_change() -> None:
    # Given a contract with a named type
    old = contract({"x": ref("Point"), "y": INT}, defs={"Point": obj({"a": INT, "b": STR})}, description=None)

    # When the type has another name, the order is another, and something is said of it
    new = contract(
        {"y": {**INT, "description": "new"}, "x": ref("Place")},
        defs={"Place": {**obj({"b": STR, "a": INT}), "description": "where"}},
    )

    # Then nobody is concerned
    assert judge(old, new) == []


def test_a_renamed_argument_is_told_in_words_that_a_go_developer_understands() -> None:
    (finding,) = judge(contract({"values": FLOAT}), contract({"sample": FLOAT}))
    assert (finding.rule, finding.change) == ("PROPERTY_RENAMED", "`values` was renamed to `sample`")
    for words in ("every Go caller", "sends `values`", "does not send `sample`", "INVALID_ARGS", "does not compile"):
        assert words in finding.means
    assert "version=2" in finding.remedy


def test_the_tasks_own_errors_may_come_and_go() -> None:
    old, new = contract(errors={"A": "a", "B": "b"}), contract(errors={"B": "b", "C": "c"})
    assert [(f.rule, f.breaks) for f in judge(old, new)] == [("ERROR_REMOVED", OK), ("ERROR_ADDED", OK)]


def test_the_order_by_position_is_nobodys_business_but_the_workers() -> None:
    args = {"a": INT, "b": INT}
    (finding,) = judge(contract(args, positional=["a", "b"]), contract(args, positional=["b", "a"]))
    assert (finding.rule, finding.breaks) == ("POSITIONAL_CHANGED", OK)


def test_a_task_that_begins_to_yield_breaks_its_callers_in_words_that_a_go_developer_understands() -> None:
    (finding,) = judge(contract(), contract(items="Word", defs={"Word": INT}))
    assert (finding.rule, finding.breaks, finding.where) == ("ITEMS_ADDED", BREAK, "the task")
    assert (finding.path, finding.change) == ("the items", "an int is new")
    for words in ("every Go caller", "takes no items", "stops once it has yielded 64", "does not compile"):
        assert words in finding.means
    assert "version=2" in finding.remedy


def test_a_task_that_yields_no_longer_breaks_its_callers() -> None:
    (finding,) = judge(contract(items="Word", defs={"Word": INT}), contract())
    assert (finding.rule, finding.breaks, finding.change) == ("ITEMS_REMOVED", BREAK, "an int is gone")
    assert "waits for items, and none come" in finding.means
    assert "version=2" in finding.remedy


def test_breaking_changes_come_first() -> None:
    old, new = contract({"a": INT, "b": INT}), contract({"a": FLOAT, "b": STR})
    assert [finding.breaks for finding in judge(old, new)] == [BREAK, OK]


@pytest.mark.parametrize(
    ("since", "breaks"),
    [(None, True), ("2024-05-03", True), ("2024-04-03", True), ("2024-04-02", False), ("2020-01-01", False)],
)
def test_a_version_may_go_when_it_has_been_deprecated_for_long_enough(since: str | None, breaks: bool) -> None:
    assert RETENTION_DAYS == 30
    finding = removed(contract(deprecated_since=since), dt.date(2024, 5, 3))
    assert (finding.rule, finding.breaks) == ("VERSION_REMOVED", breaks)
    assert bool(finding.remedy) is breaks


def test_drift_says_which_side_says_what() -> None:
    committed, derived = contract({"values": FLOAT, "n": INT}), contract({"sample": FLOAT, "n": {**INT, "minimum": 0}})
    assert drift(derived, committed) == [
        "values: the contract calls it values, the code sample; Go callers send `values`",
        "n: the contract says an int, the code an int from 0",
    ]


def test_drift_in_a_list_of_words_says_which_side_has_the_word() -> None:
    committed = contract({"how": {**STR, "enum": ["fast", "slow"]}}, errors={"EMPTY": "There is nothing."})
    derived = contract({"how": {**STR, "enum": ["fast", "late"]}}, errors={"FULL": "There is too much."})
    assert sorted(drift(derived, committed)) == [
        "how: the code has `late`, the contract has not",
        "how: the contract has `slow`, the code has not",
        "the errors: the code has `FULL`, the contract has not",
        "the errors: the contract has `EMPTY`, the code has not",
    ]


def test_drift_in_what_tells_a_union_apart_says_so() -> None:
    other = {name: obj({"type": {"type": "string", "const": name}, "kind": STR}) for name in SHAPES}
    committed = contract({"shape": UNION}, defs=SHAPES)
    derived = contract({"shape": {**UNION, "x-discriminator": "type"}}, defs=other)
    assert drift(derived, committed)[0] == "shape: the contract tells its objects apart by `kind`, the code by `type`"
