"""The command line: one file per verb."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from penstock import __version__
from penstock.cli import cancel, contract, dead, dev, topology, worker, workers
from penstock.errors import PenstockError
from penstock.wire.registry import Exit


class _Parser(argparse.ArgumentParser):
    """argparse with our exit status for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `penstock`; returns the exit status (see contracts/registry/errors.json)."""
    parser = _Parser(prog="penstock", description="Go services call Python library functions through RabbitMQ.")
    parser.add_argument("--version", action="version", version=f"penstock {__version__}")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    worker.add(verbs)
    dev.add(verbs)
    topology.add(verbs)
    workers.add(verbs)
    cancel.add(verbs)
    dead.add(verbs)
    contract.add(verbs)
    return status_of(parser.parse_args(arguments))


def status_of(options: argparse.Namespace) -> int:
    """Do what the options say (`options.run`); returns the exit status, an error is on stderr."""
    try:
        return int(options.run(options))
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return error.exit
    except BrokenPipeError:
        # Whoever reads our output (head, less) has seen enough; the interpreter must not flush into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
