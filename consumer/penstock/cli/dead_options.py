"""The options of `penstock dead`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from penstock.admin.dead_letters import SCAN
from penstock.admin.filters import Filter, span_s
from penstock.cli.options import add_broker


def add_action(actions: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    """One action on a queue; `run` gets its options."""
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    action.add_argument("queue", metavar="QUEUE")
    add_broker(action)
    action.add_argument(
        "--scan",
        metavar="N",
        type=_count,
        default=SCAN,
        help="look at this many messages at most (default: %(default)s)",
    )
    action.set_defaults(run=run)
    return action


def add_filters(action: argparse.ArgumentParser) -> None:
    """Which jobs."""
    group = action.add_argument_group("which jobs")
    group.add_argument("--task", metavar="NAME", help="of this task; * and ? stand for any characters")
    group.add_argument("--code", metavar="CODE", help="with this error code")
    group.add_argument("--type", metavar="CLASS", dest="exc_type", help="with an exception of this class")
    group.add_argument("--fingerprint", metavar="HEX", help="of this group, see penstock dead group")
    group.add_argument("--job", metavar="JOB", help="this one")
    group.add_argument(
        "--older-than", metavar="TIME", type=_span, help="given up so long ago or longer: 90s, 15m, 12h, 7d"
    )
    group.add_argument("--newer-than", metavar="TIME", type=_span, help="given up so long ago or less")


def add_limit(action: argparse.ArgumentParser, default: int | None) -> None:
    """How many of them; `default` None: all."""
    action.add_argument(
        "--limit",
        metavar="N",
        type=_count,
        default=default,
        help=f"this many jobs at most, the oldest first (default: {default or 'all that were looked at'})",
    )


def add_json(action: argparse.ArgumentParser) -> None:
    """The output for programs."""
    action.add_argument("--json", action="store_true", help="for programs: one JSON object a line")


def add_dry_run(action: argparse.ArgumentParser) -> None:
    """Nothing is done."""
    action.add_argument("--dry-run", action="store_true", help="only say what would be done")


def wanted(options: argparse.Namespace) -> Filter:
    """The jobs that the options of `add_filters` name."""
    return Filter(
        task=options.task,
        code=options.code,
        exc_type=options.exc_type,
        fingerprint=options.fingerprint,
        job=options.job,
        older_than_s=options.older_than,
        newer_than_s=options.newer_than,
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _span(text: str) -> float:
    try:
        return span_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
