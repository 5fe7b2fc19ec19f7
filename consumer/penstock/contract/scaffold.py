"""A first draft of a contract for a library's callable, which has no annotations to go by."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

from penstock.errors import DeclarationError
from penstock.queue import resolve
from penstock.schema.docs import described
from penstock.schema.model import task_words
from penstock.schema.writer import SCHEMA, render

#: What a person has to decide; the dialect has no such type, so the draft is refused until that is done.
TODO: Final = "TODO: give it a type of contracts/DIALECT.md"

_FLOATS: Final = {"type": "object", "x-wire": "ndarray", "x-dtype": "float64"}
#: Words of a docstring's type, and what they usually mean; the first that is found counts.
_GUESSES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (r"array|ndarray|matrix", _FLOATS),
    (r"bool", {"type": "boolean"}),
    (r"\bint", {"type": "integer"}),
    (r"float|scalar|number", {"type": "number"}),
    (r"\bstr", {"type": "string"}),
    (r"bytes", {"type": "string", "x-wire": "bin"}),
)
_BY_VALUE: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}


def scaffold(target: str, task: str) -> str:
    """The text of the draft.

    Args:
        target: The callable, `MODULE:NAME`.
        task: The name that its task shall have.

    Raises:
        DeclarationError: There is no such callable.
    """
    function = resolve(target)
    if not callable(function):
        raise DeclarationError(f"{target!r} is {type(function).__name__}, which nobody can call")
    doc = inspect.getdoc(function) or ""
    text, _ = described(doc)
    words = task_words(task.partition(".")[2])
    properties, required, positional = _parameters(function, doc)
    x_task: dict[str, Any] = {
        "name": task,
        "version": 1,
        "args": f"{words}Args",
        "result": f"{words}Result",
        "callable": target,
    }
    if positional:
        x_task["positional"] = positional
    document = {
        "$schema": SCHEMA,
        "description": text.partition("\n\n")[0],
        "x-task": x_task,
        "$defs": {
            f"{words}Args": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
            f"{words}Result": _guess(_returned(doc)),
        },
    }
    return render(document)


def _parameters(function: Callable[..., Any], doc: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """The properties, the required ones among them, and those that are given by position only."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return {"TODO": {"description": "TODO: Python cannot tell the parameters; see the documentation"}}, [], []
    _, descriptions = described(doc)
    kinds = dict(re.findall(r"^(\w+)\s*:\s*(.+)$", doc, re.MULTILINE))
    properties: dict[str, Any] = {}
    required, positional = [], []
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        schema = _guess(kinds.get(parameter.name, ""), parameter.default)
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif type(parameter.default) in _BY_VALUE and "type" in schema:
            schema = {**schema, "default": parameter.default}
        if (text := descriptions.get(parameter.name)) and "TODO" not in schema.get("description", ""):
            schema = {**schema, "description": text.partition(". ")[0].rstrip(".") + "."}
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(parameter.name)
        properties[parameter.name] = schema
    return properties, required, positional


def _guess(said: str, default: Any = None) -> dict[str, Any]:
    """A type by what the documentation says, or by the default."""
    if (kind := _BY_VALUE.get(type(default))) is not None:
        return {"type": kind}
    for pattern, schema in _GUESSES:
        if re.search(pattern, said):
            return dict(schema)
    return {"description": f"{TODO}; it is documented as: {said.strip()}" if said.strip() else TODO}


def _returned(doc: str) -> str:
    """What numpy's style of documentation says of the type of the result."""
    match = re.search(r"^Returns\n-+\n(?:\w+\s*:\s*)?(.+)$", doc, re.MULTILINE)
    return match[1] if match else ""
