"""What the annotation of a function that yields says: the type of its items, and that of its result."""

from __future__ import annotations

import inspect
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from typing import Any, Final

from penstock.domain.binding import yields_async
from penstock.schema import annotations as hints

#: By what says it: what stands between the brackets besides the items.
_PLAIN: Final[Mapping[Any, tuple[str, ...]]] = {Iterator: (), Iterable: (), Generator: ("send", "result")}
_ASYNC: Final[Mapping[Any, tuple[str, ...]]] = {AsyncIterator: (), AsyncIterable: (), AsyncGenerator: ("send",)}
_NOTHING: Final = (None, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Yielded:
    """What a function yields and returns.

    Attributes:
        items: The hint of an item.
        result: The hint of the result; None: it has none.
    """

    items: Any
    result: Any


class UnsaidError(Exception):
    """The annotation does not say what is yielded; the text says why, and what to write instead."""


def yielded(function: Callable[..., Any], annotation: Any) -> Yielded:
    """What a function that yields says by its return annotation.

    Args:
        function: One for which `yields` is true.
        annotation: Its hint; `inspect.Parameter.empty` when there is none.

    Raises:
        UnsaidError: It says nothing, or something else.
    """
    is_async = yields_async(function)
    wanted, known = ("AsyncIterator", _ASYNC) if is_async else ("Iterator", _PLAIN)
    if annotation is inspect.Parameter.empty:
        raise UnsaidError(f"it yields and has no annotation; add one, as in -> {wanted}[float]")
    base, limits = hints.stripped(annotation)
    if limits:
        raise UnsaidError(f"limits of an item belong into the brackets: {wanted}[Annotated[float, Limits(ge=0)]]")
    origin = typing.get_origin(base) or base
    further = known.get(origin) if isinstance(origin, type) else None
    if further is None:
        kind = "an async generator" if is_async else "a generator"
        raise UnsaidError(
            f"it is {kind}, which {hints.name(base)} does not say; write -> {wanted}[T] with what it yields as T"
        )
    return _parts(typing.get_args(base), further, origin.__name__)


def _parts(arguments: tuple[Any, ...], further: tuple[str, ...], name: str) -> Yielded:
    if not arguments or isinstance(arguments[0], typing.TypeVar):
        raise UnsaidError(f"{name} does not say what it yields; write {name}[float{', None' * len(further)}]")
    items, rest = arguments[0], dict(zip(further, arguments[1:], strict=False))
    if rest.get("send") not in _NOTHING:
        raise UnsaidError(f"nothing can be sent into a task; make the second type of {name}[...] None")
    if items in _NOTHING:
        raise UnsaidError("an item is never None; yield a value")
    return Yielded(items=items, result=rest.get("result"))
