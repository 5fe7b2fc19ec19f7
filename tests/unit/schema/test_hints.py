"""Signatures: what they say on the wire, and what is said of one that no contract can express."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Required, TypedDict, TypeVar
from uuid import UUID

import annotated_types
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from penstock import DeclarationError, Limits
from penstock.errors import ContractError
from penstock.schema.derive import derive, in_order_of
from penstock.schema.model import Contract, Object, Property
from penstock.schema.reader import read
from penstock.schema.writer import document, schema, text
from tests.unit.schema.contracts import BIN, BOOL, FLOAT, INT, NULL, STR, ref

if typing.TYPE_CHECKING:
    from fractions import Fraction


T = TypeVar("T")
Celsius = NewType("Celsius", float)


def derived(function: Callable[..., Any], **raises: type[BaseException]) -> Contract:
    return derive(function, name="stats.describe", version=1, raises=raises)


def property_of(annotation: Any, **default: Any) -> tuple[dict[str, Any], Property, Contract]:
    """The schema that an annotation becomes."""

    def function(x: Any = None) -> None: ...

    if not default:

        def function(x: Any) -> None: ...  # type: ignore[misc]

    function.__annotations__["x"] = annotation
    function.__defaults__ = tuple(default.values()) or None
    made = derived(function)
    (of,) = made.arguments.properties
    return document(made)["$defs"]["DescribeArgs"]["properties"]["x"], of, made


def refused(function: Callable[..., Any]) -> str:
    with pytest.raises(ContractError) as caught:
        derived(function)
    return str(caught.value)


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Circle:
    """All points at one distance.

    Attributes:
        radius: That distance.
    """

    radius: float
    kind: Literal["circle"] = "circle"


@dataclass
class Box:
    width: float
    kind: Literal["box"] = "box"


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)
    left: Tree | None = None


class Partly(TypedDict, total=False):
    a: Required[int]
    b: str


class Mostly(TypedDict):
    a: int
    b: NotRequired[str]


TIMESTAMP = {"type": "string", "x-wire": "timestamp"}
FLOATS = {"type": "array", "items": FLOAT}


@pytest.mark.parametrize(
    ("annotation", "becomes"),
    [
        (bool, BOOL),
        (int, INT),
        (float, FLOAT),
        (str, STR),
        (bytes, BIN),
        (dt.datetime, TIMESTAMP),
        (Decimal, {"type": "string", "format": "decimal"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (dt.date, {"type": "string", "format": "date"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
        (list[float], FLOATS),
        (Sequence[float], FLOATS),
        (tuple[float, ...], FLOATS),
        (tuple[int, str], {"type": "array", "prefixItems": [INT, STR], "items": False, "minItems": 2}),
        (dict[str, float], {"type": "object", "additionalProperties": FLOAT}),
        (Mapping[str, float], {"type": "object", "additionalProperties": FLOAT}),
        (int | None, {"oneOf": [INT, NULL]}),
        (typing.Optional[int], {"oneOf": [INT, NULL]}),  # noqa: UP045 -- as people still write it
        (NDArray[np.float32], {"type": "object", "x-wire": "ndarray", "x-dtype": "float32"}),
        (Mode, ref("Mode")),
        (Tree, ref("Tree")),
        (Circle | Box, {"oneOf": [ref("Circle"), ref("Box")], "x-discriminator": "kind"}),
        (Annotated[int, Limits(gt=0, lt=10)], {**INT, "minimum": 1, "maximum": 9}),
        (Annotated[int, Limits(ge=0.0)], {**INT, "minimum": 0}),
        (Annotated[float, Limits(gt=0, le=1)], {**FLOAT, "maximum": 1, "exclusiveMinimum": 0}),
        (Annotated[float, Limits(nonfinite=True)], {**FLOAT, "x-allow-nonfinite": True}),
        (Annotated[str, Limits(min_length=1)], {**STR, "minLength": 1}),
        (Annotated[list[float], Limits(max_length=3)], {**FLOATS, "maxItems": 3}),
        (
            Annotated[dict[str, int], Limits(max_length=3)],
            {"type": "object", "additionalProperties": INT, "maxProperties": 3},
        ),
        (
            Annotated[NDArray[np.int8], Limits(ndim=2)],
            {"type": "object", "x-wire": "ndarray", "x-dtype": "int8", "x-ndim": 2},
        ),
        (Annotated[int | None, Limits(ge=0)], {"oneOf": [{**INT, "minimum": 0}, NULL]}),
        (Celsius, FLOAT),
        (Annotated[list[Celsius], Limits(max_length=3)], {**FLOATS, "maxItems": 3}),
        (list[Annotated[float, Limits(ge=0)]], {"type": "array", "items": {**FLOAT, "minimum": 0}}),
        (Annotated[int, annotated_types.Ge(1), annotated_types.Le(5)], {**INT, "minimum": 1, "maximum": 5}),
        (Annotated[str, annotated_types.Len(1, 5)], {**STR, "minLength": 1, "maxLength": 5}),
        (Annotated[int, "a note that says nothing of limits"], INT),
    ],
    ids=str,
)
def test_an_annotation_becomes_its_type(annotation: Any, becomes: dict[str, Any]) -> None:
    made, of, _ = property_of(annotation)
    assert made == becomes
    assert of.required


@pytest.mark.parametrize(
    ("annotation", "default", "becomes"),
    [
        (int, 3, {**INT, "default": 3}),
        (float, 1, {**FLOAT, "default": 1}),
        (bool, False, {**BOOL, "default": False}),
        (Mode, Mode.FAST, ref("Mode") | {"default": "fast"}),
        (Literal["a", "b"], "b", {"type": "string", "enum": ["a", "b"], "default": "b"}),
        (Decimal, Decimal("1E+2"), {"type": "string", "format": "decimal", "default": "100"}),
        (dt.date, dt.date(2024, 5, 3), {"type": "string", "format": "date", "default": "2024-05-03"}),
        (int | None, None, INT),
        (tuple[int, ...], (), {"type": "array", "items": INT}),
    ],
    ids=str,
)
def test_a_default_makes_an_argument_optional(annotation: Any, default: Any, becomes: dict[str, Any]) -> None:
    made, of, _ = property_of(annotation, x=default)
    assert made == becomes
    assert not of.required


def test_classes_become_named_types_with_their_documentation() -> None:
    # Given a function of a dataclass that holds others
    def function(shape: Circle | Box, mode: Mode, level: Level, tree: Tree) -> Circle:
        """Do it."""
        raise NotImplementedError

    made = derived(function)

    # Then each class has its name, the result is one of them, and a tag is a constant
    assert list(made.defs) == ["DescribeArgs", "Circle", "Box", "Mode", "Level", "Tree"]
    assert made.result == "Circle"
    circle = schema(made.defs["Circle"])
    assert circle["description"] == "All points at one distance."
    assert circle["properties"]["radius"] == {**FLOAT, "description": "That distance."}
    assert circle["properties"]["kind"] == {"type": "string", "const": "circle"}
    assert circle["required"] == ["radius", "kind"]
    assert schema(made.defs["Box"]).get("description") is None, "what a dataclass generates is no documentation"
    assert schema(made.defs["Mode"])["x-enum-names"] == ["FAST", "SLOW"]
    assert schema(made.defs["Tree"])["required"] == ["value"]


@pytest.mark.parametrize("kind", [Partly, Mostly])
def test_a_typed_dict_says_which_keys_it_needs(kind: type) -> None:
    made = property_of(kind)[2].defs[kind.__name__]
    assert isinstance(made, Object)
    assert {of.name: of.required for of in made.properties} == {"a": True, "b": False}


def test_a_literal_of_one_is_an_enum_outside_of_a_union_and_always_there() -> None:
    _, _, made = property_of(Circle)
    assert schema(made.defs["Circle"])["properties"]["kind"] == {"type": "string", "enum": ["circle"]}


GOOGLE = """Do it.

More of it.

Args:
    x: The one,
        in long.
    y (int): The other.
"""
NUMPY = """Do it.

More of it.

Parameters
----------
x : int
    The one,
    in long.
y : int
    The other.

Returns
-------
x : int
    Nothing.
"""
SPHINX = """Do it.

More of it.

:param x: The one,
    in long.
:param int y: The other.
:return: x
"""


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_documentation_becomes_descriptions(doc: str) -> None:
    def function(x: int, y: int) -> None: ...

    function.__doc__ = doc
    made = derived(function)
    assert made.description == "Do it.\n\nMore of it."
    assert [of.type.description for of in made.arguments.properties] == ["The one, in long.", "The other."]


def test_errors_have_the_first_line_of_their_class() -> None:
    class EmptySample(Exception):  # noqa: N818
        """There are no values.

        At all.
        """

    class Odd(Exception): ...  # noqa: N818

    def function() -> None: ...

    assert derived(function, EMPTY=EmptySample, ODD=Odd).errors == {
        "EMPTY": "There are no values.",
        "ODD": "Odd was raised.",
    }


def test_positional_only_parameters_are_named() -> None:
    def function(a: int, b: int, /, c: int) -> None: ...

    assert derived(function).positional == ("a", "b")


def test_what_wraps_a_function_has_its_signature() -> None:
    def function(x: int) -> int:
        return x

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    assert derived(wrapper).arguments == derived(function).arguments


class Named(NamedTuple):
    x: int


class Opaque: ...


@dataclass
class _Private:
    x: int


@dataclass
class Pair(Generic[T]):
    left: T


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Cyclic:
    inner: Cyclic


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Any, "Any cannot travel; name the type"),
        (object, "object cannot travel; name the type"),
        (list, "list cannot travel; name what it holds, as in list[float]"),
        (dict, "dict cannot travel; name what it holds"),
        (tuple, "tuple cannot travel; name what it holds"),
        (set[int], "cannot travel; take a list"),
        (dict[int, str], "keys of type int cannot travel"),
        (complex, "complex cannot travel; take its two parts"),
        (dt.timedelta, "take a number of milliseconds"),
        (bytearray, "take bytes"),
        (Callable[[], int], "nothing on the wire names code"),
        (Named, "Named is a NamedTuple, whose names would be lost; make it a dataclass"),
        (Opaque, "Opaque cannot travel; make it a dataclass"),
        (int | str, "int, str cannot be told apart; say one of them, or take dataclasses that a Literal field tells"),
        (int | float, "a float takes an int, too; say float"),
        (Circle | Tree, "Circle, Tree cannot be told apart; give each a field like kind"),
        (Literal[True, "a"], "only str that are not empty, or only int"),
        (NDArray[np.complex128], "elements of type complex128 have no fixed form; say NDArray[np.float64]"),
        (NDArray[Any], "elements of type Any have no fixed form"),
        (np.ndarray, "elements of type Any have no fixed form"),
        (ArrayLike, "it takes whatever becomes an array; say NDArray[np.float64]"),
        (np.float32, "float32 is numpy's; say float"),
        (np.int64, "int64 is numpy's; say int"),
        (np.bool_, "is numpy's; say bool"),
        (Path, "Path cannot travel; take a str, or the file's bytes"),
        (None, "NoneType cannot travel; drop it, or say T | None"),
        (T, "T is a type parameter; name the type"),
        (Pair[int], "Pair[int] has type parameters; write a class of its own for it"),
        (Rights, "Rights is a Flag, whose members combine to values that no contract lists; take an int, or a list"),
        (Literal["a", None], "None stands beside a Literal, not in it: Literal[...] | None"),  # noqa: PYI061 -- as people write it
        (Annotated[int, Limits(le=2**60)], "x: the limit le is 1152921504606846976; numbers in a contract lie within"),
        (_Private, "the class _Private needs a name in CamelCase"),
        (Annotated[str, Limits(ge=0)], "the limit ge means nothing for str"),
        (Annotated[int, Limits(ge=0.5)], "the limit ge of an int is a whole number"),
        (Annotated[NDArray[np.int8], Limits(nonfinite=True)], "the limit nonfinite means nothing for elements of int8"),
        (list[Any], "x[]: Any cannot travel"),
        (Cyclic, "it holds itself without end"),
    ],
    ids=str,
)
def test_what_cannot_be_expressed_is_refused_with_the_remedy(annotation: Any, says: str) -> None:
    with pytest.raises(ContractError) as caught:
        property_of(annotation)
    assert says in str(caught.value)
    assert "stats.describe" in str(caught.value)


def made_anew() -> list[int]:
    return [1]


@dataclass
class Filled:
    values: list[int] = field(default_factory=made_anew)


@pytest.mark.parametrize(
    ("annotation", "default", "says"),
    [
        (int | None, 3, "nobody can tell None from nothing"),
        (float, None, "its default is None, which float is not"),
        (float, float("nan"), "its default nan cannot stand in a contract; write T | None = None"),
        (int, "a", "its default 'a' does not fit its type and limits; change one of them"),
        (Annotated[int, Limits(le=3)], 5, "its default 5 does not fit its type and limits"),
        (int, 2**60, "cannot stand in a contract"),
        (bytes, b"", "cannot stand in a contract"),
        (list[int], [1], "cannot stand in a contract"),
    ],
    ids=str,
)
def test_a_default_that_no_contract_can_hold_is_refused(annotation: Any, default: Any, says: str) -> None:
    with pytest.raises(ContractError) as caught:
        property_of(annotation, x=default)
    assert says in str(caught.value)


def test_a_default_that_is_made_anew_and_not_empty_is_refused() -> None:
    with pytest.raises(ContractError, match=r"Filled\.values: its default is made anew each time and not empty"):
        property_of(Filled)


def test_all_that_is_wrong_with_a_signature_is_told_at_once() -> None:
    def function(a, b: Any, *args, c: set[int] = frozenset(), **kwargs): ...  # type: ignore[no-untyped-def, assignment]

    said = refused(function)
    for each in (
        "*args: it takes anything",
        "**kwargs: ",
        "a: it has no annotation",
        "b: Any",
        "c: set",
        "the result: ",
    ):
        assert each in said


def test_a_name_that_is_imported_for_type_checkers_only_is_said() -> None:
    def function(x: Fraction) -> None: ...

    assert "its annotations name Fraction, which cannot be found" in refused(function)


def test_two_classes_of_one_name_are_told_apart_by_their_users() -> None:
    Other = dataclasses.make_dataclass("Circle", [("x", int)])  # noqa: N806

    def function(a: Circle, b: Any) -> None: ...

    function.__annotations__["b"] = Other
    assert "there are two classes Circle" in refused(function)


def test_a_class_cannot_have_the_name_of_the_arguments() -> None:
    made = dataclasses.make_dataclass("DescribeArgs", [("x", int)])

    def function(a: Any) -> None: ...

    function.__annotations__["a"] = made
    assert "a class has the name that the task's DescribeArgs needs" in refused(function)


def test_the_order_of_a_committed_contract_is_kept_and_what_is_new_comes_last() -> None:
    def before(a: int, b: int) -> None: ...

    def after(c: int, b: int, a: int) -> None: ...

    made = in_order_of(derived(after), derived(before))
    assert [of.name for of in made.arguments.properties] == ["a", "b", "c"]


def test_a_contract_that_was_derived_is_one() -> None:
    def function(shape: Circle | Box, tree: Tree, x: Annotated[float, Limits(ge=0)] = 1.0) -> list[Tree]:
        raise NotImplementedError

    made = derived(function)
    assert text(read(text(made))) == text(made)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"ge": "0"}, "ge must be a finite number"),
        ({"le": float("inf")}, "le must be a finite number"),
        ({"min_length": -1}, "min_length must be a number from 0"),
        ({"ndim": 1.5}, "ndim must be a number from 0"),
        ({"min_length": 2, "max_length": 1}, "min_length is above max_length"),
    ],
)
def test_limits_that_cannot_be_are_refused_where_they_are_written(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        Limits(**limits)
