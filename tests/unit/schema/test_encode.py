"""Results: what a task may return for each type, and how it breaks its contract."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from msgpack import Timestamp

from penstock.schema.encode import Encoders
from penstock.schema.misfit import Misfit
from penstock.schema.model import Ref
from penstock.wire.registry import MAX_DEPTH, MAX_NODES
from tests.unit.schema.contracts import FLOAT, INT, NULL, SHAPES, STR, UNION, contract, obj, ref


def encoded(schema: dict[str, Any], value: Any, defs: dict[str, Any] | None = None) -> Any:
    made = contract(result=schema, defs=defs)
    encoders = Encoders(made)
    encoders.begin(1)
    return encoders.of(Ref(name=made.result))(value, 1)


def misfit(schema: dict[str, Any], value: Any, defs: dict[str, Any] | None = None) -> tuple[str, str]:
    with pytest.raises(Misfit) as caught:
        encoded(schema, value, defs)
    details = caught.value.details("result")
    return details["path"], details["rule"]


class Mode(enum.Enum):
    FAST = "fast"


@dataclass
class Point:
    y: float
    x: float
    note: str | None = None


POINT = {"x": FLOAT, "y": FLOAT, "note": STR}
Pair = namedtuple("Pair", "x y")  # noqa: PYI024 -- as libraries return it
FLOATS = {"type": "array", "items": FLOAT}
TIMESTAMP = {"type": "string", "x-wire": "timestamp"}


@pytest.mark.parametrize(
    ("schema", "returned", "sent"),
    [
        (NULL, None, None),
        (INT, np.int32(3), 3),
        (INT, np.array(3), 3),
        (FLOAT, 1, 1.0),
        (FLOAT, np.float32(0.5), 0.5),
        ({"type": "boolean"}, np.bool_(True), True),
        (STR, Mode.FAST, "fast"),
        ({"type": "string", "x-wire": "bin"}, bytearray(b"x"), b"x"),
        ({"type": "string", "x-wire": "bin"}, memoryview(b"xy")[1:], b"y"),
        (TIMESTAMP, dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), Timestamp(0, 0)),
        (TIMESTAMP, pd.Timestamp(1, unit="ns", tz="UTC"), Timestamp(0, 1)),
        ({"type": "string", "format": "decimal"}, Decimal("1E+2"), "100"),
        ({"type": "string", "format": "uuid"}, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"type": "string", "format": "date"}, dt.date(2024, 5, 3), "2024-05-03"),
        ({"type": "string", "format": "date"}, "2024-05-03", "2024-05-03"),
        ({"type": "string", "enum": ["fast"]}, Mode.FAST, "fast"),
        (FLOATS, (1, 2.5), [1.0, 2.5]),
        (FLOATS, np.array([1, 2]), [1.0, 2.0]),
        (FLOATS, pd.Series([1.5]), [1.5]),
        ({"type": "array", "prefixItems": [INT, STR], "items": False, "minItems": 2}, (1, "a"), [1, "a"]),
        ({"type": "object", "additionalProperties": INT}, {"b": 1, "a": 2}, {"a": 2, "b": 1}),
        (obj(POINT, ["x", "y"]), Point(2, 1), {"x": 1.0, "y": 2.0}),
        (obj(POINT, ["x", "y"]), {"y": 2, "x": 1, "note": None}, {"x": 1.0, "y": 2.0}),
        (obj(POINT, ["x", "y"]), Pair(1, 2), {"x": 1.0, "y": 2.0}),
        (obj(POINT, ["x", "y"]), SimpleNamespace(x=1, y=2, other=object()), {"x": 1.0, "y": 2.0}),
        ({"oneOf": [INT, NULL]}, None, None),
    ],
    ids=str,
)
def test_what_a_task_returns_becomes_a_wire_value(schema: dict[str, Any], returned: Any, sent: Any) -> None:
    made = encoded(schema, returned)
    assert made == sent
    assert type(made) is type(sent)
    if isinstance(made, dict):
        assert list(made) == list(sent), "the order is that of the bytes"


@pytest.mark.parametrize(
    ("returned", "shape"),
    [
        (np.arange(6, dtype=">f8").reshape(2, 3), [2, 3]),
        (np.asfortranarray(np.arange(6.0).reshape(2, 3)), [2, 3]),
        (np.arange(12.0).reshape(2, 6)[:, ::2], [2, 3]),
        (np.arange(6, dtype=np.int32), [6]),
        ([[1, 2.5]], [1, 2]),
        (2.5, []),
        ([], [0]),
    ],
    ids=["big-endian", "fortran", "strided", "int32", "lists", "a number", "nothing"],
)
def test_an_array_travels_in_c_order_and_little_endian(returned: Any, shape: list[int]) -> None:
    made = encoded({"type": "object", "x-wire": "ndarray", "x-dtype": "float64"}, returned)
    assert (made["dtype"], made["shape"]) == ("float64", shape)
    assert np.array_equal(np.frombuffer(made["data"], "<f8").reshape(shape), np.asarray(returned))


def test_an_array_that_lies_as_it_travels_is_not_copied() -> None:
    array = np.arange(1000.0)
    made = encoded({"type": "object", "x-wire": "ndarray", "x-dtype": "float64"}, array)
    assert np.shares_memory(np.frombuffer(made["data"]), array)


@pytest.mark.parametrize(
    ("schema", "returned", "path", "rule"),
    [
        (NULL, 1, "result", "type"),
        (INT, 1.5, "result", "type"),
        (INT, 2**63, "result", "type"),
        (INT, True, "result", "type"),
        ({**INT, "maximum": 1}, 2, "result", "maximum"),
        (FLOAT, math.nan, "result", "finite"),
        (FLOAT, "1", "result", "type"),
        (FLOAT, np.array([1.0]), "result", "type"),
        ({**STR, "maxLength": 1}, "ab", "result", "maxLength"),
        (TIMESTAMP, dt.datetime(2024, 5, 3), "result", "type"),  # noqa: DTZ001 -- it must not have a zone
        ({"type": "string", "format": "decimal"}, Decimal("NaN"), "result", "type"),
        ({"type": "string", "format": "decimal"}, Decimal("1E+999999"), "result", "type"),
        ({"type": "string", "format": "decimal"}, 1.5, "result", "type"),
        ({"type": "string", "format": "date"}, dt.datetime(2024, 5, 3, tzinfo=dt.UTC), "result", "type"),
        ({"type": "string", "enum": ["fast"]}, "slow", "result", "enum"),
        (FLOATS, [1.0, None], "result[1]", "type"),
        (FLOATS, {1.0}, "result", "type"),
        ({"type": "object", "additionalProperties": INT}, {1: 1}, "result", "type"),
        ({"type": "object", "additionalProperties": INT}, {"a b": "x"}, 'result["a b"]', "type"),
        (obj(POINT, ["x", "y"]), {"x": 1}, "result.y", "missing"),
        (obj(POINT, ["x", "y"]), {"x": 1, "y": 2, "z": 3}, "result.z", "unknown"),
        (obj(POINT, ["x", "y"]), [1, 2], "result", "type"),
        (obj(POINT, ["x", "y"]), None, "result", "type"),
        ({"type": "object", "x-wire": "ndarray", "x-dtype": "float32"}, np.arange(2.0), "result", "dtype"),
        ({"type": "object", "x-wire": "ndarray", "x-dtype": "int8"}, np.array(["a"]), "result", "dtype"),
        ({"type": "object", "x-wire": "ndarray", "x-dtype": "float64", "x-ndim": 2}, np.arange(2.0), "result", "shape"),
        ({"type": "object", "x-wire": "ndarray", "x-dtype": "float64"}, np.array([math.nan]), "result", "finite"),
        ({"type": "object", "x-wire": "ndarray", "x-dtype": "float64"}, [[1], [1, 2]], "result", "type"),
    ],
)
def test_a_result_that_breaks_its_contract_is_told_by_place_and_rule(
    schema: dict[str, Any], returned: Any, path: str, rule: str
) -> None:
    assert misfit(schema, returned) == (path, rule)


def test_the_object_of_a_union_is_told_by_its_tag() -> None:
    schema = obj({"shape": UNION})
    assert encoded(schema, {"shape": SimpleNamespace(kind="box", w=1)}, SHAPES) == {"shape": {"kind": "box", "w": 1.0}}
    assert misfit(schema, {"shape": {"kind": "star"}}, SHAPES) == ("result.shape.kind", "discriminator")
    assert misfit(schema, {"shape": {"w": 1}}, SHAPES) == ("result.shape.kind", "missing")


def test_a_value_that_holds_itself_is_stopped_by_the_depth_of_the_profile() -> None:
    # Given a tree that is its own child
    tree: dict[str, Any] = {}
    tree["children"] = [tree]
    schema = obj({"children": {"type": "array", "items": ref("Tree")}})

    # When it is returned
    path, rule = misfit({"oneOf": [ref("Tree"), NULL]}, tree, {"Tree": schema})

    # Then it ends where the profile does
    assert rule == "type"
    assert path.count("children") >= 10
    assert MAX_DEPTH == 32


def test_more_values_than_a_body_may_have_are_refused_with_the_remedy() -> None:
    with pytest.raises(Misfit, match="return arrays of numbers"):
        encoded({"type": "array", "items": INT}, [0] * (MAX_NODES + 1))
