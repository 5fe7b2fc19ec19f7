"""A contract's file becomes a contract; whatever contracts/DIALECT.md does not allow is refused."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from penstock.errors import ContractError
from penstock.schema import lint
from penstock.schema.model import Contract, Document, Object, Type
from penstock.schema.problems import Problems
from penstock.schema.types import TypeReader
from penstock.schema.writer import SCHEMA
from penstock.wire.headers import is_task
from penstock.wire.registry import MAX_SAFE_INT_IN_FLOAT, ErrorCode

_DEF: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]*")
_CALLABLE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)
_TOP: Final = ("$schema", "x-task", "$defs")
_TASK: Final = ("name", "version", "args", "result")
_TASK_OPTIONAL: Final = ("items", "errors", "callable", "positional", "deprecated_since")
_MAX_VERSION: Final = 2**31 - 1


def load(path: Path) -> Contract:
    """The contract in a file, which also has to lie where its name and version say.

    Raises:
        ContractError: The file cannot be read, or it is no contract of the task and version that its path names.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror}") from None
    contract = read(data, str(path))
    if (path.parent.name, path.name) != (contract.name, f"v{contract.version}.json"):
        text = f"{path} holds {contract.name} version {contract.version}, which belongs to {relative(contract)}"
        raise ContractError(text)
    return contract


def relative(contract: Contract) -> str:
    """Where a contract lies below the directory of contracts: `stats.describe/v1.json`."""
    return f"{contract.name}/v{contract.version}.json"


def read(data: bytes | str, source: str = "the document") -> Contract:
    """The contract that a text says.

    Args:
        data: The file's content; bytes are UTF-8.
        source: What messages call it.

    Raises:
        ContractError: It is none; the text names every problem that was found, with its place.
    """
    return _contract(_parse(data, source), Problems(source))


def _parse(data: bytes | str, source: str) -> Any:
    def pairs(found: list[tuple[str, Any]]) -> Document:
        if len(dict(found)) < len(found):
            names = [name for name, _ in found]
            twice = next(name for name in names if names.count(name) > 1)
            raise ContractError(f"{source} names {twice!r} twice in one object")
        return dict(found)

    def number(text: str) -> Any:
        value = int(text) if text.lstrip("-").isdigit() else float(text)
        if not abs(value) <= MAX_SAFE_INT_IN_FLOAT:
            raise ContractError(f"{source} has the number {text[:40]}; numbers lie within ±2^53")
        return value

    try:
        if isinstance(data, bytes):
            data = data.decode()
        return json.loads(data, object_pairs_hook=pairs, parse_int=number, parse_float=number, parse_constant=number)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{source} is not JSON: {error}") from None


def _contract(document: Any, problems: Problems) -> Contract:
    if not isinstance(document, dict):
        problems.add("", "it is not a JSON object")
        problems.check()
    _keys(document, _TOP, ("description",), "", problems)
    task = document.get("x-task", {})
    if not isinstance(task, dict):
        problems.add("x-task", "it is not an object")
        task = {}
    else:
        _keys(task, _TASK, _TASK_OPTIONAL, "x-task", problems)
    if document.get("$schema", SCHEMA) != SCHEMA:
        problems.add("$schema", f"it is not {SCHEMA}")
    description = document.get("description", "")
    if not isinstance(description, str):
        problems.add("description", "it is not a string")
    defs = _defs(document.get("$defs", {}), problems)
    _task(task, defs, problems)
    problems.check()
    contract = Contract(
        name=task["name"],
        version=task["version"],
        args=task["args"],
        result=task["result"],
        items=task.get("items"),
        defs=defs,
        description=description,
        errors=task.get("errors", {}),
        callable=task.get("callable"),
        positional=tuple(task.get("positional", ())),
        deprecated_since=task.get("deprecated_since"),
    )
    lint.check(contract, problems)
    problems.check()
    return contract


def _keys(
    found: Mapping[str, Any], needed: Iterable[str], optional: Iterable[str], at: str, problems: Problems
) -> None:
    for key in needed:
        if key not in found:
            problems.add(at, f"{key} is missing")
    for key in sorted(set(found) - {*needed, *optional}):
        problems.add(at, f"{key} is not a key of the dialect")


def _defs(document: Any, problems: Problems) -> dict[str, Type]:
    if not isinstance(document, dict):
        problems.add("$defs", "it is not an object")
        return {}
    reader = TypeReader(problems, document.keys())
    defs: dict[str, Type] = {}
    for name, schema in document.items():
        if not _DEF.fullmatch(name):
            problems.add("$defs", f"{name!r} is not CamelCase")
        if (type_ := reader.definition(schema, f"$defs.{name}")) is not None:
            defs[name] = type_
    return defs


def _task(task: Document, defs: Mapping[str, Type], problems: Problems) -> None:
    """Check the values of x-task, each where it is there."""
    rules: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        ("name", lambda v: isinstance(v, str) and is_task(v), "it is no task's name, <queue>.<function>"),
        ("version", lambda v: type(v) is int and 1 <= v <= _MAX_VERSION, "it is not in 1 to 2^31-1"),
        ("args", lambda v: isinstance(v, str) and isinstance(defs.get(v), Object), "it names no object of $defs"),
        ("result", lambda v: isinstance(v, str) and v in defs, "it names no type of $defs"),
        ("items", lambda v: isinstance(v, str) and v in defs, "it names no type of $defs"),
        ("errors", _is_errors, "it is not a map of own UPPER_SNAKE codes to descriptions"),
        ("callable", lambda v: isinstance(v, str) and bool(_CALLABLE.fullmatch(v)), "it is not MODULE:CALLABLE"),
        ("positional", _is_names, "it is not a list of different names"),
        ("deprecated_since", _is_date, "it is not a date, YYYY-MM-DD"),
    )
    for key, right, what in rules:
        if key in task and not right(task[key]):
            problems.add(f"x-task.{key}", what)


def _is_errors(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) and _CODE.fullmatch(code) and code not in ErrorCode.__members__
        for code, text in value.items()
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _is_date(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        return False
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return True
