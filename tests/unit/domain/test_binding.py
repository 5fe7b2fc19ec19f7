"""Binding: arguments by name become a call."""

from __future__ import annotations

import functools
import math
import os.path
import statistics
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from penstock.domain.binding import AnyNames, Binding, InvalidArgs
from penstock.errors import DeclarationError


def everything(a: Any, b: Any = "b", /, c: Any = "c", *args: Any, d: Any, e: Any = "e", **rest: Any) -> Any:
    return a, b, c, args, d, e, rest


def positional(a: Any, b: Any = "b", c: Any = "c", /) -> Any:
    return a, b, c


def plain(x: Any, y: Any = 2) -> Any:
    return x, y


def nothing() -> str:
    return "called"


def called(function: Callable[..., Any], args: dict[str, Any]) -> Any:
    arguments, keywords = Binding(function, "t.f").bind(args)
    return function(*arguments, **keywords)


@pytest.mark.parametrize(
    ("function", "args", "result"),
    [
        (nothing, {}, "called"),
        (plain, {"x": 1}, (1, 2)),
        (plain, {"y": 1, "x": None}, (None, 1)),
        (positional, {"a": 1}, (1, "b", "c")),
        (positional, {"a": 1, "c": 3}, (1, "b", 3)),
        (positional, {"c": 3, "b": 2, "a": 1}, (1, 2, 3)),
        (everything, {"a": 1, "d": 4}, (1, "b", "c", (), 4, "e", {})),
        (
            everything,
            {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5},
            (1, 2, 3, (), 4, 5, {}),
        ),
        (everything, {"c": 3, "d": 4, "a": 1}, (1, "b", 3, (), 4, "e", {})),
    ],
)
def test_arguments_by_name_reach_their_parameters(
    function: Callable[..., Any], args: dict[str, Any], result: Any
) -> None:
    assert called(function, args) == result


@pytest.mark.parametrize(
    ("function", "args", "result"),
    [
        (math.sqrt, {"x": 9.0}, 3.0),
        (statistics.fmean, {"data": [1.0, 2.0]}, 1.5),
        (os.path.join, {"a": "etc"}, "etc"),
        (Fraction, {"numerator": 3, "denominator": 6}, Fraction(1, 2)),
        (functools.partial(plain, y=5), {"x": 1}, (1, 5)),
        ("a-b".split, {"sep": "-"}, ["a", "b"]),
    ],
)
def test_callables_of_libraries_are_bound_too(function: Callable[..., Any], args: dict[str, Any], result: Any) -> None:
    assert called(function, args) == result


def test_the_arguments_given_are_left_as_they_were() -> None:
    # Given arguments for positional-only parameters
    args = {"a": 1, "c": 3}

    # When they are bound
    Binding(positional, "t.f").bind(args)

    # Then the job's own mapping is whole
    assert args == {"a": 1, "c": 3}


@pytest.mark.parametrize(
    ("function", "args", "text"),
    [
        (plain, {}, "t.f: missing x (it takes x, y)"),
        (plain, {"x": 1, "z": 2}, "t.f: unknown z (it takes x, y)"),
        (plain, {"z": 2, "w": 1}, "t.f: missing x; unknown w, z (it takes x, y)"),
        (nothing, {"x": 1}, "t.f: unknown x (it takes no arguments)"),
        (positional, {"b": 1}, "t.f: missing a (it takes a, b, c)"),
        (everything, {}, "t.f: missing a, d (it takes a, b, c, d, e)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_and_all_of_them_are_named(
    function: Callable[..., Any], args: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidArgs) as refusal:
        Binding(function, "t.f").bind(args)
    assert str(refusal.value) == text


@pytest.mark.parametrize("name", ["args", "rest", "*args", "anything"])
def test_variadic_parameters_take_nothing(name: str) -> None:
    """A caller in another language could not know what they mean."""
    with pytest.raises(InvalidArgs, match="unknown"):
        Binding(everything, "t.f").bind({"a": 1, "d": 4, name: 1})


@pytest.mark.parametrize("function", [max, min, type])
def test_a_callable_without_a_signature_is_refused_with_what_to_do(function: Callable[..., Any]) -> None:
    with pytest.raises(DeclarationError, match=r"t\.f: Python cannot tell the parameters .* wrap it"):
        Binding(function, "t.f")


def test_by_name_a_call_gets_every_argument_by_its_name() -> None:
    """A batch has a dict for each job, and no place for positions."""
    binding = Binding(positional, "t.f", by_name=True)
    assert binding.bind({"a": 1, "c": 3}) == ([], {"a": 1, "c": 3})
    assert binding.defaults == {"b": "b", "c": "c"}
    with pytest.raises(InvalidArgs, match="missing a"):
        binding.bind({"b": 2})


def test_where_nothing_says_the_names_any_will_do() -> None:
    binding = AnyNames()
    assert binding.bind({"x": 1, "anything": 2}) == ([], {"x": 1, "anything": 2})
    assert (binding.takes, binding.requires, binding.defaults) == (None, (), {})
