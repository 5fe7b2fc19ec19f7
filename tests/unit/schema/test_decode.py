"""Arguments: which real values wire values become, and how each rule is broken."""

from __future__ import annotations

import datetime as dt
import enum
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import numpy as np
import pytest
from msgpack import Timestamp
from numpy.typing import NDArray

from penstock import Limits
from penstock.queue import Queue
from penstock.schema.binding import ContractBinding
from penstock.schema.derive import derive
from penstock.schema.misfit import Misfit
from tests.contract import kitchen
from tests.unit.schema.contracts import FLOAT, INT, NULL, SHAPES, STR, UNION, contract, obj, ref


def bind(function: Any, args: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a call under the function's own contract."""
    queue = Queue("stats")
    queue.task(name="describe")(function)
    task = queue.tasks["stats.describe"][1]
    made = derive(function, name="stats.describe", version=1, raises={})
    positional, keywords = ContractBinding(task, made).bind(args)
    assert positional == []
    return keywords


def takes_x(x: Any) -> None: ...


def misfit(schema: dict[str, Any], value: Any, **options: Any) -> tuple[str, str, str]:
    """How a value breaks the schema of the argument `x`: path, rule, kind."""
    queue = Queue("stats")
    queue.task(name="describe")(takes_x)
    made = ContractBinding(queue.tasks["stats.describe"][1], contract({"x": schema}, **options))
    with pytest.raises(Misfit) as caught:
        made.bind({"x": value})
    details = caught.value.details()
    assert caught.value.text()
    return details["path"], details["rule"], details["kind"]


class Mode(enum.StrEnum):
    FAST = "fast"


@dataclass(frozen=True)
class Circle:
    radius: float
    kind: Literal["circle"] = "circle"


@dataclass(frozen=True)
class Box:
    width: float
    kind: Literal["box"] = "box"


@dataclass(frozen=True)
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)
    left: Tree | None = None


class Options(TypedDict):
    depth: int


UTC_NOON = dt.datetime(2024, 5, 3, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("annotation", "sent", "received"),
    [
        (float, 1, 1.0),
        (float, -(2**53), -float(2**53)),
        (bytes, b"\x00", b"\x00"),
        (dt.datetime, UTC_NOON, UTC_NOON),
        (dt.datetime, Timestamp(0, 1999), dt.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)),
        (Decimal, "-12.50", Decimal("-12.50")),
        (UUID, "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6", UUID("0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6")),
        (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
        (Mode, "fast", Mode.FAST),
        (Literal["a", "b"], "b", "b"),
        (list[float], [1.0, 2], [1.0, 2.0]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, Circle], [1, {"radius": 2.0, "kind": "circle"}], (1, Circle(2.0))),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (int | None, None, None),
        (Circle | Box, {"kind": "box", "width": 1.0}, Box(1.0)),
        (list[Circle | Box], [{"kind": "circle", "radius": 1}], [Circle(1.0)]),
        (Tree, {"value": 1, "left": {"value": 2}}, Tree(1, [], Tree(2))),
        (Tree, {"value": 1, "children": [{"value": 2, "children": []}]}, Tree(1, [Tree(2)])),
        (Options, {"depth": 1}, {"depth": 1}),
        (Annotated[float, Limits(nonfinite=True)], math.inf, math.inf),
    ],
    ids=str,
)
def test_a_wire_value_becomes_what_the_annotation_says(annotation: Any, sent: Any, received: Any) -> None:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    made = bind(function, {"x": sent})["x"]
    assert made == received
    assert type(made) is type(received)


def test_what_is_left_out_is_the_contracts_default_or_the_functions_own() -> None:
    def function(
        x: float = 1, mode: Mode = Mode.FAST, price: Decimal = Decimal(2), left: Tree | None = None
    ) -> None: ...

    made = bind(function, {})
    assert made == {"x": 1.0, "mode": Mode.FAST, "price": Decimal(2)}
    assert (type(made["x"]), type(made["mode"]), type(made["price"])) == (float, Mode, Decimal)


def test_an_array_is_a_view_of_the_body_that_cannot_be_written() -> None:
    # Given an array on the wire
    data = np.arange(6, dtype="<f8").tobytes()

    def function(x: NDArray[np.float64]) -> None: ...

    # When it is bound
    made = bind(function, {"x": {"dtype": "float64", "shape": [2, 3], "data": data}})["x"]

    # Then it is numpy's, without a copy
    assert (made.shape, made.dtype, made[1, 2]) == ((2, 3), np.float64, 5.0)
    assert np.shares_memory(made, np.frombuffer(data))
    assert not made.flags.writeable


def test_parameters_that_are_positional_only_are_bound_by_name() -> None:
    queue = Queue("stats")
    queue.expose("math:copysign", name="describe")
    task = queue.tasks["stats.describe"][1]
    made = contract({"x": FLOAT, "y": FLOAT}, positional=["x", "y"], callable="math:copysign")
    assert ContractBinding(task, made).bind({"y": -1.0, "x": 2}) == ([2.0, -1.0], {})


BOUNDED = {**FLOAT, "minimum": 0, "exclusiveMaximum": 10}
ARRAY = {"type": "object", "x-wire": "ndarray", "x-dtype": "float64"}


def nd(shape: list[Any], data: bytes, dtype: str = "float64") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data": data}


@pytest.mark.parametrize(
    ("schema", "value", "path", "rule", "kind"),
    [
        (INT, 1.0, "x", "type", "float"),
        (INT, True, "x", "type", "bool"),
        (INT, None, "x", "type", "nil"),
        ({**INT, "minimum": 1}, 0, "x", "minimum", "int"),
        ({**INT, "maximum": 1}, 2, "x", "maximum", "int"),
        (FLOAT, "1", "x", "type", "str"),
        (FLOAT, 2**53 + 1, "x", "type", "int"),
        (FLOAT, math.nan, "x", "finite", "float"),
        (BOUNDED, -0.1, "x", "minimum", "float"),
        (BOUNDED, 10, "x", "exclusiveMaximum", "float"),
        ({**FLOAT, "exclusiveMinimum": 0}, 0.0, "x", "exclusiveMinimum", "float"),
        ({"type": "boolean"}, 1, "x", "type", "int"),
        (STR, b"a", "x", "type", "bin"),
        ({**STR, "minLength": 2}, "ä", "x", "minLength", "str"),
        ({**STR, "maxLength": 1}, "ab", "x", "maxLength", "str"),
        ({"type": "string", "x-wire": "bin"}, "a", "x", "type", "str"),
        ({"type": "string", "x-wire": "bin", "maxLength": 1}, b"ab", "x", "maxLength", "bin"),
        ({"type": "string", "x-wire": "timestamp"}, 1, "x", "type", "int"),
        ({"type": "string", "format": "decimal"}, "1e5", "x", "format", "str"),
        ({"type": "string", "format": "decimal"}, "٣", "x", "format", "str"),
        ({"type": "string", "format": "decimal"}, "1" * 401, "x", "format", "str"),
        ({"type": "string", "format": "uuid"}, "0192F3C4-5B6A-7C8D-9E0F-A1B2C3D4E5F6", "x", "format", "str"),
        ({"type": "string", "format": "date"}, "2024-02-30", "x", "format", "str"),
        ({"type": "string", "format": "date"}, 20240230, "x", "type", "int"),
        ({"type": "string", "enum": ["a"]}, "b", "x", "enum", "str"),
        ({"type": "string", "enum": ["a"]}, 1, "x", "type", "int"),
        ({"type": "integer", "enum": [1]}, True, "x", "type", "bool"),
        ({"type": "array", "items": INT}, {}, "x", "type", "map"),
        ({"type": "array", "items": INT}, [1, "2"], "x[1]", "type", "str"),
        ({"type": "array", "items": FLOAT}, [1.0, math.inf], "x[1]", "finite", "float"),
        ({"type": "array", "items": FLOAT}, [1e308] * 3 + [math.nan], "x[3]", "finite", "float"),
        ({"type": "array", "items": INT, "minItems": 1}, [], "x", "minItems", "array"),
        ({"type": "array", "items": INT, "maxItems": 1}, [1, 2], "x", "maxItems", "array"),
        ({"type": "array", "prefixItems": [INT, STR], "items": False, "minItems": 2}, [1], "x", "minItems", "array"),
        ({"type": "array", "prefixItems": [INT, STR], "items": False, "minItems": 2}, [1, 2], "x[1]", "type", "int"),
        ({"type": "object", "additionalProperties": INT}, {"a b": "1"}, 'x["a b"]', "type", "str"),
        ({"type": "object", "additionalProperties": INT, "maxProperties": 0}, {"a": 1}, "x", "maxProperties", "map"),
        ({"oneOf": [INT, NULL]}, "a", "x", "type", "str"),
        (ref("Circle"), {"kind": "circle"}, "x.r", "missing", "absent"),
        (ref("Circle"), {"kind": "circle", "r": 1.0, "s": None}, "x.s", "unknown", "nil"),
        (ref("Circle"), {"kind": "box", "r": 1.0}, "x.kind", "const", "str"),
        (UNION, {"r": 1.0}, "x.kind", "missing", "absent"),
        (UNION, {"kind": "star"}, "x.kind", "discriminator", "str"),
        (UNION, {"kind": ["circle"]}, "x.kind", "discriminator", "array"),
        (UNION, {"kind": "circle", "r": "1"}, "x.r", "type", "str"),
        (UNION, [], "x", "type", "array"),
        (ARRAY, [1.0], "x", "type", "array"),
        (ARRAY, {"dtype": "float64", "shape": [0]}, "x.data", "missing", "absent"),
        (ARRAY, {**nd([0], b""), "order": "F"}, "x.order", "unknown", "str"),
        (ARRAY, nd([1], b"1234", "float32"), "x.dtype", "dtype", "str"),
        (ARRAY, nd([1], b"1234"), "x.data", "shape", "bin"),
        (ARRAY, nd([-1], b""), "x.shape[0]", "shape", "int"),
        (ARRAY, nd([1.0], b""), "x.shape[0]", "type", "float"),
        (ARRAY, nd([2**40, 2**40, 0], b""), "x.data", "shape", "bin"),
        (ARRAY, nd([1] * 33, b"\0" * 8), "x.shape", "shape", "array"),
        ({**ARRAY, "x-ndim": 2}, nd([1], b"\0" * 8), "x.shape", "shape", "array"),
        ({**ARRAY, "minItems": 2}, nd([1], b"\0" * 8), "x", "minItems", "map"),
        (ARRAY, nd([1], b"\x00\x00\x00\x00\x00\x00\xf8\x7f"), "x", "finite", "map"),
    ],
)
def test_a_value_that_breaks_a_rule_is_told_by_place_rule_and_kind(
    schema: dict[str, Any], value: Any, path: str, rule: str, kind: str
) -> None:
    # A union that uses both, so that a reference to one is allowed.
    both = {"result": obj({"shape": UNION}), "defs": SHAPES} if "Circle" in str(schema) else {}
    assert misfit(schema, value, **both) == (path, rule, kind)


def test_an_argument_that_the_contract_does_not_have_is_refused() -> None:
    queue = Queue("stats")
    queue.task(name="describe")(takes_x)
    made = ContractBinding(queue.tasks["stats.describe"][1], contract({"x": INT}))
    with pytest.raises(Misfit) as caught:
        made.bind({"x": 1, "y": 2})
    assert caught.value.details() == {"path": "y", "rule": "unknown", "kind": "int"}
    with pytest.raises(Misfit) as caught:
        made.bind({})
    assert caught.value.details() == {"path": "x", "rule": "missing", "kind": "absent"}


def test_the_message_never_has_the_value() -> None:
    queue = Queue("stats")
    queue.task(name="describe")(takes_x)
    made = ContractBinding(queue.tasks["stats.describe"][1], contract({"x": {"type": "string", "enum": ["a"]}}))
    with pytest.raises(Misfit) as caught:
        made.bind({"x": "my secret"})
    assert "secret" not in caught.value.text()


def test_the_kitchen_takes_its_own_values() -> None:
    """Every type at once, with the annotations of a real function."""
    task = kitchen.kitchen.tasks["kitchen.limits"][1]
    made = derive(task.function, name="kitchen.limits", version=1, raises={})
    _, bound = ContractBinding(task, made).bind(
        {
            "whole": 5,
            "real": -1.5,
            "above": 1e-9,
            "text": "äö",
            "data": b"x",
            "items": [1],
            "keys": {"a": 1},
            "vector": {"dtype": "int16", "shape": [1], "data": b"\x01\x00"},
            "free": math.nan,
            "frees": {"dtype": "float32", "shape": [], "data": b"\x00\x00\xc0\x7f"},
        }
    )
    assert bound["vector"].tolist() == [1]
    assert math.isnan(bound["frees"])
