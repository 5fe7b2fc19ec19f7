"""`penstock topology`: the exchanges and queues that penstock needs."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from penstock.broker import declare
from penstock.broker.connection import Connection
from penstock.broker.raw import RawConnection
from penstock.cli.options import add_broker, add_namespace, amqp_url
from penstock.domain.topology import Topology
from penstock.errors import TopologyError, UsageError
from penstock.wire.headers import is_namespace, is_queue

_CONNECT_S = 10.0


def add(verbs: Any) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "topology",
        help="declare, check or export exchanges and queues",
        description="The exchanges and queues of a namespace. QUEUE is a queue of tasks, for instance stats.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("apply", _apply, "declare what is missing; what is there stays as it is"),
        ("show", _show, "list what is needed and whether it is there"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("queues", nargs="*", metavar="QUEUE")
        add_broker(action)
        action.set_defaults(run=run)
    export = actions.add_parser(
        "export",
        help="write a RabbitMQ definitions file",
        description="Write a RabbitMQ definitions file to stdout.",
    )
    export.add_argument("queues", nargs="*", metavar="QUEUE")
    export.add_argument("--vhost", default="/", help="virtual host of the objects (default: %(default)s)")
    add_namespace(export)
    export.set_defaults(run=_export)


def _apply(options: argparse.Namespace) -> int:
    topology = _checked(options)

    async def act(connection: RawConnection) -> None:
        count = await declare.apply(connection, topology, options.queues)
        print(f"{count} exchanges and queues are in place under {topology.namespace}.*")

    return _connected(options, act)


def _show(options: argparse.Namespace) -> int:
    topology = _checked(options)

    async def act(connection: RawConnection) -> None:
        missing = 0
        async for name, there in declare.inspect(connection, topology, options.queues):
            print(f"{'ok     ' if there else 'MISSING'}  {name}")
            missing += not there
        if missing:
            raise TopologyError(f"{missing} missing; {declare.remedy(options.queues)}")

    return _connected(options, act)


def _export(options: argparse.Namespace) -> int:
    print(json.dumps(definitions(_checked(options), options.queues, options.vhost), indent=2))
    return 0


def definitions(topology: Topology, queues: list[str], vhost: str) -> dict[str, Any]:
    """The topology as a RabbitMQ definitions file (`load_definitions`, `POST /api/definitions`)."""
    durable = {"vhost": vhost, "durable": True, "auto_delete": False}
    declared = list(topology.queues(queues))
    return {
        "exchanges": [
            {
                "name": e.name,
                "type": e.type,
                "internal": e.internal,
                "arguments": dict(e.arguments),
                **durable,
            }
            for e in topology.exchanges()
        ],
        "queues": [{"name": q.name, "arguments": dict(q.arguments), **durable} for q in declared],
        "bindings": [
            {
                "source": source,
                "vhost": vhost,
                "destination": queue.name,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for queue in declared
            for source, key in queue.bindings
        ],
    }


def _checked(options: argparse.Namespace) -> Topology:
    wrong = [name for name in options.queues if not is_queue(name)]
    if wrong:
        raise UsageError(f"not a queue's name: {', '.join(wrong)} (a task is QUEUE.FUNCTION; give the QUEUE)")
    if not is_namespace(options.namespace):
        raise UsageError(f"not a namespace: {options.namespace!r}")
    return Topology(options.namespace)


def _connected(options: argparse.Namespace, act: Callable[[RawConnection], Awaitable[None]]) -> int:
    async def run() -> None:
        connection = Connection(amqp_url(options), name="penstock topology", label="topology", on_open=lambda _: None)
        await connection.open(_CONNECT_S)
        try:
            await act(connection.current)
        finally:
            await connection.close()

    asyncio.run(run())
    return 0
