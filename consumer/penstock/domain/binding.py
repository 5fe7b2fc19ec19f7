"""Arguments by name become a call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from penstock.errors import DeclarationError

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class InvalidArgs(Exception):  # noqa: N818 -- named after its code, INVALID_ARGS
    """The arguments do not fit the parameters; the text names each of them."""


class Binding:
    """The parameters of one callable, by which jobs are called.

    Args:
        function: The callable. Positional-only parameters are bound by name too; `*args` and `**kwargs`
            take nothing, because a caller in another language could not know what they mean.
        name: The task's name, for messages.
        by_name: Whether the call gets all arguments by name, positional-only ones included. Defaults to False.

    Raises:
        DeclarationError: Python cannot tell the callable's parameters.
    """

    def __init__(self, function: Callable[..., Any], name: str, *, by_name: bool = False) -> None:
        self._name = name
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError) as error:
            raise DeclarationError(
                f"{name}: Python cannot tell the parameters of {function!r}; wrap it in a function that names them"
            ) from error
        taken = [parameter for parameter in parameters if parameter.kind not in _VARIADIC]
        self._positional = [] if by_name else [p for p in taken if p.kind not in _NAMED]
        self._known = frozenset(parameter.name for parameter in taken)
        self._required = frozenset(p.name for p in taken if p.default is inspect.Parameter.empty)
        #: What an argument is that a job leaves out, by its name.
        self.defaults = {p.name: p.default for p in taken if p.default is not inspect.Parameter.empty}

    @property
    def takes(self) -> tuple[str, ...] | None:
        """The names of all parameters, sorted; None: any name will do."""
        return tuple(sorted(self._known))

    @property
    def requires(self) -> tuple[str, ...]:
        """The names of those that have no default, sorted."""
        return tuple(sorted(self._required))

    def bind(self, args: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the call.

        Raises:
            InvalidArgs: A required argument is missing or an argument is unknown.
        """
        if not (self._required <= args.keys() <= self._known):
            raise InvalidArgs(misfit(self._name, args.keys(), takes=self._known, requires=self._required))
        if not self._positional:
            return [], dict(args)
        return self._split(args)

    def _split(self, args: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Take the positional-only ones out, in order; a gap is filled by the parameter's default."""
        last = max((i for i, p in enumerate(self._positional) if p.name in args), default=-1)
        leading = self._positional[: last + 1]
        positional = [args.get(parameter.name, parameter.default) for parameter in leading]
        names = {parameter.name for parameter in leading}
        return positional, {name: value for name, value in args.items() if name not in names}


class AnyNames(Binding):
    """The parameters of a callable that takes arguments of any name."""

    def __init__(self) -> None:
        self.defaults = {}

    @property
    def takes(self) -> None:
        """See Binding.takes."""

    @property
    def requires(self) -> tuple[str, ...]:
        """See Binding.requires."""
        return ()

    def bind(self, args: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """See Binding.bind."""
        return [], dict(args)


def misfit(name: str, given: Collection[str], *, takes: Iterable[str], requires: Iterable[str]) -> str | None:
    """What is wrong with arguments of these names, as a sentence; None: nothing.

    Args:
        name: The task's name.
        given: The arguments' names.
        takes: The names of all parameters.
        requires: Those without a default.
    """
    known = set(takes)
    missing = ", ".join(sorted(set(requires) - set(given)))
    unknown = ", ".join(sorted(set(given) - known))
    if not missing and not unknown:
        return None
    parts = [f"missing {missing}"] if missing else []
    parts += [f"unknown {unknown}"] if unknown else []
    return f"{name}: {'; '.join(parts)} (it takes {', '.join(sorted(known)) or 'no arguments'})"


def yields(function: object) -> bool:
    """Whether calling it gives items, one after the other: it is a generator function, async or not."""
    return inspect.isgeneratorfunction(_called(function)) or yields_async(function)


def yields_async(function: object) -> bool:
    """Whether calling it gives items to an event loop: it is an async generator function."""
    return inspect.isasyncgenfunction(_called(function))


def is_async(function: object) -> bool:
    """Whether it is to be called in an event loop, for a result or for items."""
    return inspect.iscoroutinefunction(_called(function)) or yields_async(function)


def _called(function: object) -> object:
    """The function that a call runs: of an object it is its class's `__call__`."""
    while isinstance(function, partial):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 -- the method itself is wanted
