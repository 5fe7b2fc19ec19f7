"""The contract that a function's signature says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from penstock.domain.binding import yields
from penstock.errors import ContractError
from penstock.schema import annotations as hints
from penstock.schema.annotations import UnreadableError
from penstock.schema.hints import HintReader
from penstock.schema.model import Contract, Object, Property, Ref, Type, task_words
from penstock.schema.reader import read
from penstock.schema.streams import UnsaidError, yielded
from penstock.schema.writer import text

T = TypeVar("T")


def derive(
    function: Callable[..., object], *, name: str, version: int, raises: Mapping[str, type[BaseException]]
) -> Contract:
    """The contract of a task by its function's annotations.

    Args:
        function: What the task calls.
        name: The task's name.
        version: The version of its contract.
        raises: The task's own error codes, and the exceptions that they stand for.

    Raises:
        ContractError: The signature says something that no contract can; each such thing is named, with what to
            write instead.
    """
    reader = HintReader()
    try:
        signature = hints.signature(function)
    except UnreadableError as error:
        raise ContractError(f"{name}: {error}") from None
    for variadic in signature.variadic:
        reader.problems.append(f"{variadic}: it takes anything; name the parameters that callers may send")
    words = task_words(name.partition(".")[2])
    args = f"{words}Args"
    properties = reader.parts(signature.parts, "")
    item, returned = _given(function, signature.returns, reader)
    reader.finish()
    defs: dict[str, Type] = {args: Object(properties=properties)}
    result = _named(returned, f"{words}Result", defs)
    items = None if item is None else _named(item, f"{words}Item", defs)
    for taken in reader.defs.keys() & defs.keys():
        reader.problems.append(f"{taken}: a class has the name that the task's {taken} needs; rename the class")
    if reader.problems:
        problems = "\n".join(f"  {problem}" for problem in reader.problems)
        raise ContractError(f"{name}: its signature cannot become a contract:\n{problems}")
    contract = Contract(
        name=name,
        version=version,
        args=args,
        result=result,
        items=items,
        defs={**defs, **reader.defs},
        description=signature.description,
        errors={code: _meaning(kind) for code, kind in raises.items()},
        positional=tuple(part.name for part in signature.parts if part.positional),
    )
    # What no single annotation shows (names equal in CamelCase, endless recursion) is the reader's to find.
    return read(text(contract), f"what the signature of {name} says")


def _given(function: Callable[..., object], annotation: Any, reader: HintReader) -> tuple[Type | None, Type | None]:
    """The types of an item and of the result; None: there are no items, or there was a problem."""
    if not yields(function):
        return None, reader.result(annotation)
    try:
        said = yielded(function, annotation)
    except UnsaidError as error:
        reader.problems.append(f"the items: {error}")
        return None, None
    return reader.read(said.items, "the items"), reader.result(said.result)


def _named(found: Type | None, own: str, defs: dict[str, Type]) -> str:
    """The name under which a type stands in `$defs`: that of a class, or its own, under which it is added."""
    if isinstance(found, Ref):
        return found.name
    if found is not None:
        defs[own] = found
    return own


def in_order_of(contract: Contract, committed: Contract) -> Contract:
    """The contract with its properties in the order of a committed one; what is new comes last.

    Their order is that of the bytes, so moving a parameter in the code is no reason to change it.
    """
    defs = {
        name: _ordered(type_, committed.defs.get(name))
        for name, type_ in _sorted_like(contract.defs.items(), committed.defs)
    }
    return replace(contract, defs=defs, deprecated_since=committed.deprecated_since)


def _ordered(type_: Type, committed: Type | None) -> Type:
    if not isinstance(type_, Object) or not isinstance(committed, Object):
        return type_
    named = [(of.name, of) for of in type_.properties]
    order = {of.name: None for of in committed.properties}
    properties: tuple[Property, ...] = tuple(of for _, of in _sorted_like(named, order))
    return replace(type_, properties=properties)


def _sorted_like(items: Iterable[tuple[str, T]], order: Mapping[str, object]) -> list[tuple[str, T]]:
    places = {name: place for place, name in enumerate(order)}
    return sorted(items, key=lambda item: places.get(item[0], len(places)))


def _meaning(kind: type[BaseException]) -> str:
    """The first line of an exception's documentation, or its name in words."""
    doc = inspect.cleandoc(kind.__dict__.get("__doc__") or "").partition("\n")[0]
    return doc or f"{kind.__name__} was raised."
