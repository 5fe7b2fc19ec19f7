"""`penstock contract asyncapi`: the contracts as one document for everybody's tools."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.contract import asyncapi
from penstock.contract.export import write
from penstock.schema import writer
from penstock.schema.library import Library
from penstock.schema.reader import load
from penstock.wire.registry import NAMESPACE, Exit


def add(ways: Any, add_directory: Callable[[argparse.ArgumentParser], None]) -> None:
    """Register the verb."""
    way = ways.add_parser(
        "asyncapi",
        help="write the contracts as one AsyncAPI document",
        description="Write the contracts of the directory as an AsyncAPI 3 document, for people, catalogs and other "
        "languages. The same contracts make the same file.",
    )
    way.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="where to; - is standard output (default: asyncapi.json beside the directory)",
    )
    way.add_argument("--check", action="store_true", help="write nothing, and fail when the file is not up to date")
    way.add_argument(
        "--namespace",
        metavar="NAME",
        default=NAMESPACE,
        help=f"what the names of the exchanges begin with (default: {NAMESPACE})",
    )
    add_directory(way)
    way.set_defaults(run=_asyncapi)


def _asyncapi(options: argparse.Namespace) -> int:
    library = Library(options.contracts)
    contracts = [writer.document(load(path)) for path in library.files()]
    content = asyncapi.text(asyncapi.document(contracts, options.namespace))
    out: Path = options.out or library.directory.parent / "asyncapi.json"
    if str(out) == "-":
        print(content, end="")
    elif not options.check:
        print(f"{write(out, content).value:10} {out}")
    elif not out.exists() or out.read_bytes() != content.encode():
        print(f"{out} is not up to date; run penstock contract asyncapi", file=sys.stderr)
        return Exit.DATA
    return Exit.OK
