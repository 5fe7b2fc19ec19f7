"""Options that several verbs share."""

from __future__ import annotations

import argparse
import os

from penstock.errors import UsageError
from penstock.wire.registry import NAMESPACE


def add_broker(parser: argparse.ArgumentParser) -> None:
    """Where RabbitMQ is and under which names."""
    parser.add_argument(
        "--amqp-url",
        metavar="URL",
        default=os.environ.get("PENSTOCK_AMQP_URL"),
        help="RabbitMQ, amqp:// or amqps:// (default: $PENSTOCK_AMQP_URL)",
    )
    add_namespace(parser)


def add_namespace(parser: argparse.ArgumentParser) -> None:
    """The prefix of every name."""
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        default=NAMESPACE,
        help="prefix of every broker object (default: %(default)s)",
    )


def amqp_url(options: argparse.Namespace) -> str:
    """The broker's URL.

    Raises:
        UsageError: There is none.
    """
    if not options.amqp_url:
        raise UsageError(
            "no broker: set PENSTOCK_AMQP_URL or --amqp-url, for instance amqp://guest:guest@127.0.0.1:5672/"
        )
    return str(options.amqp_url)
