"""`penstock contract`: write contracts from signatures, check them, draft them, publish them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from penstock.cli import contract_asyncapi, contract_check
from penstock.contract.check import formatted
from penstock.contract.export import Written, export, write
from penstock.contract.scaffold import TODO, scaffold
from penstock.domain.imports import failure_text
from penstock.errors import DeclarationError, PenstockError, UsageError
from penstock.queue import Queue, resolve
from penstock.schema.library import Library
from penstock.settings import DEFAULT_CONTRACTS
from penstock.wire.headers import is_task
from penstock.wire.registry import Exit


def add(verbs: Any) -> None:
    """Register the verb."""
    parser = verbs.add_parser("contract", help="write and check the contracts of tasks")
    ways = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=type(parser))
    way = ways.add_parser(
        "export",
        help="write contracts from signatures",
        description="Write DIR/<queue>.<function>/v<N>.json for every task with annotations.",
    )
    way.add_argument("target", metavar="MODULE:QUEUE", help="for instance myproject.tasks:stats")
    way.add_argument("--task", metavar="NAME", help="this task only, for instance stats.describe")
    add_directory(way)
    way.set_defaults(run=_export)
    contract_check.add(ways, add_directory, load_queue)
    contract_asyncapi.add(ways, add_directory)
    way = ways.add_parser(
        "scaffold",
        help="draft the contract of a library's callable",
        description="Write the first draft of a contract by a callable's parameters and documentation. "
        "What could not be guessed says TODO, and the draft is no contract until that is decided.",
    )
    way.add_argument("target", metavar="MODULE:CALLABLE", help="for instance numpy.linalg:norm")
    way.add_argument("--task", metavar="NAME", required=True, help="the task's name, for instance stats.norm")
    way.add_argument("--print", dest="shown", action="store_true", help="print it instead of writing the file")
    add_directory(way)
    way.set_defaults(run=_scaffold)
    way = ways.add_parser("format", help="rewrite contracts in the one form that they have")
    add_directory(way)
    way.set_defaults(run=_format)


def add_directory(parser: argparse.ArgumentParser) -> None:
    """The option that says where contracts lie."""
    parser.add_argument(
        "--contracts",
        metavar="DIR",
        type=Path,
        default=Path(os.environ.get("PENSTOCK_CONTRACTS", DEFAULT_CONTRACTS)),
        help="the directory of contracts (default: $PENSTOCK_CONTRACTS, or contracts/tasks)",
    )


def load_queue(target: str) -> Queue:
    """Import a queue, here: this is a developer's command, not a worker's parent."""
    queue = _imported(target)
    if not isinstance(queue, Queue):
        raise DeclarationError(f"{target!r} is {type(queue).__name__}, not a penstock.Queue")
    return queue


def _imported(target: str) -> Any:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return resolve(target)
    except PenstockError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- user code may raise anything while it is imported
        raise DeclarationError(
            f"{failure_text(error)}\n\ncannot import {target}: mend the error above, or run this in the directory (and "
            "the virtual environment) in which the import works"
        ) from None


def _export(options: argparse.Namespace) -> int:
    refused = 0
    for done in export(load_queue(options.target), Library(options.contracts), options.task):
        print(f"{done.became.value:10} {done.path}")
        if done.became is Written.REFUSED:
            refused += 1
            print(done.why, file=sys.stderr)
    if refused:
        print(
            "Nothing was written for what was refused. A library's callable without annotations gets a contract that "
            "is written by hand: penstock contract scaffold drafts it.",
            file=sys.stderr,
        )
    return Exit.DATA if refused else Exit.OK


def _scaffold(options: argparse.Namespace) -> int:
    if not is_task(options.task):
        raise UsageError(f"--task {options.task}: not <queue>.<function>")
    _imported(options.target)
    draft = scaffold(options.target, options.task)
    if options.shown:
        print(draft, end="")
        return Exit.OK
    path = Library(options.contracts).path(options.task, 1)
    if path.exists():
        raise UsageError(f"{path} is there already; see the draft with --print")
    write(path, draft)
    left = draft.count(TODO)
    print(f"written    {path}")
    print(f"{left} to decide: look for TODO" if left else "nothing is left to decide, but look it through")
    return Exit.OK


def _format(options: argparse.Namespace) -> int:
    for path, content in formatted(Library(options.contracts)):
        if write(path, content) is Written.WRITTEN:
            print(f"written    {path}")
    return Exit.OK
