"""A program as a task: what it is called with, and what its end means. Running it is the child's business."""

from __future__ import annotations

import inspect
import string
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from penstock.errors import DeclarationError

OUTPUTS: Final = ("json", "text", "bytes", "none")


class CommandFailedError(Exception):
    """A program ended badly and will do so again: a status that `retry_on` does not name, or an unreadable output.

    What it wrote to stderr is a note of the exception, of the other one, too.
    """


class CommandInterruptedError(Exception):
    """A program ended badly and may succeed another time: a status of `retry_on`, or a signal."""


class Command:
    """A program that runs once per job. `Queue.command` describes the arguments.

    Raises:
        DeclarationError: One of them is wrong.
    """

    def __init__(self, argv: Sequence[str], *, stdin: str | None, stdout: str, retry_on: Collection[int]) -> None:
        if isinstance(argv, str) or not argv or not all(isinstance(part, str) for part in argv):
            raise DeclarationError(f"argv must be a list of str, the program first, not {argv!r}")
        if stdout not in OUTPUTS:
            raise DeclarationError(f"stdout must be one of {', '.join(OUTPUTS)}, not {stdout!r}")
        self.argv = tuple(argv)
        self.stdin = stdin
        self.stdout = stdout
        self.retry_on = frozenset(retry_on)
        names = dict.fromkeys(name for part in argv for name in _names(part))
        if stdin is not None:
            names[stdin] = None
        #: What `inspect.signature` finds, and thereby whoever calls the task.
        self.__signature__ = inspect.Signature([_parameter(name) for name in names])

    def __call__(self, **_arguments: Any) -> Any:
        """Not for the worker: a program is run by its lane."""
        raise TypeError("a Command is run by a worker")

    def filled(self, arguments: Mapping[str, Any]) -> list[str]:
        """The program and its arguments for one job.

        Raises:
            ValueError: A value is neither a str, nor a number, nor a bool, or it has a NUL.
        """
        return [part.format_map(_Words(arguments)) for part in self.argv]


class _Words(dict[str, str]):
    """The job's arguments as words of a command line."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__({name: _word(name, value) for name, value in arguments.items()})


def _word(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        return ""  # stdin has it
    word = str(value)
    if "\0" in word:
        raise ValueError(f"the argument {name} holds a NUL, which no command line can")
    return word


def _names(part: str) -> list[str]:
    """The arguments that a part of argv stands for."""
    try:
        fields = [field for _, field, *_ in string.Formatter().parse(part) if field is not None]
    except ValueError as error:
        raise DeclarationError(f"argv: {part!r}: {error}; a brace is written {{{{") from None
    for field in fields:
        if not field.isidentifier():
            raise DeclarationError(f"argv: {part!r}: {{{field}}} names no argument; a brace is written {{{{")
    return fields


def _parameter(name: str) -> inspect.Parameter:
    if not name.isidentifier():
        raise DeclarationError(f"stdin {name!r} names no argument")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
