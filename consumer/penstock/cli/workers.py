"""`penstock workers`: see the workers that are connected, and tell them something."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from typing import Any

from penstock.admin.view import one_line, printable
from penstock.admin.workers import WAIT_S, tell
from penstock.broker.session import Session
from penstock.cli.options import add_broker, amqp_url
from penstock.errors import UsageError
from penstock.wire.headers import is_namespace
from penstock.wire.registry import MAX_SLOTS, Exit, Order

_HELP = {
    Order.LOOK: ("list", "how every worker is"),
    Order.PAUSE: ("pause", "take no more jobs of a queue; what runs is finished, what waits goes back"),
    Order.RESUME: ("resume", "take jobs again"),
    Order.RESIZE: ("resize", "run more or fewer jobs of a queue at once, until the worker ends"),
    Order.RESTART: ("restart", "replace the children one after the other, each after the jobs that it has"),
    Order.STACKS: ("stacks", "what every child does now"),
}


def add(verbs: Any) -> None:
    """Register the verb."""
    text = "see the workers that are connected, pause, resume and resize them, restart their children"
    parser = verbs.add_parser("workers", help=text, description=f"{text[0].upper()}{text[1:]}.")
    orders = parser.add_subparsers(metavar="COMMAND", required=True)
    for order, (name, help_text) in _HELP.items():
        one = orders.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        of_one = order in (Order.PAUSE, Order.RESUME, Order.RESIZE)
        one.add_argument("queue", metavar="QUEUE", nargs=None if of_one else "?", help="the queue that it is about")
        if order is Order.RESIZE:
            how_many = f"how many jobs are to run at once, at each worker: 1 to {MAX_SLOTS}"
            one.add_argument("slots", metavar="SLOTS", type=int, help=how_many)
        one.add_argument("--worker", metavar="NAME", help="only this worker (default: every one)")
        one.add_argument("--wait", metavar="SECONDS", type=float, default=WAIT_S, help="for answers (default: 2)")
        one.add_argument("--json", action="store_true", help="the answers as JSON lines, for programs")
        add_broker(one)
        one.set_defaults(run=_run, order=order, slots=None)


def _run(options: argparse.Namespace) -> int:
    if not is_namespace(options.namespace):
        raise UsageError(f"not a namespace: {options.namespace!r}")
    answers = asyncio.run(_told(options))
    for answer in answers:
        if options.json:
            print(json.dumps(answer))
        else:
            print("\n".join(_text(answer)))
    if not answers:
        print(f"no worker{' of this queue' if options.queue else ''} has answered within {options.wait:g} s")
        return Exit.TEMPFAIL
    if any("refused" in queue for answer in answers for queue in answer["queues"]):
        return Exit.USAGE
    return Exit.OK


async def _told(options: argparse.Namespace) -> list[dict[str, Any]]:
    async with Session(amqp_url(options), name="penstock workers", namespace=options.namespace) as session:
        return await tell(
            session,
            options.order,
            queue=options.queue,
            worker=options.worker,
            slots=options.slots,
            wait_s=options.wait,
        )


def _text(answer: dict[str, Any]) -> Iterator[str]:
    """One worker for people."""
    why = "; ".join(answer["not_ready"]) or "ready"
    yield f"{one_line(answer['worker'])}  {one_line(answer['version'])}  {one_line(why)}"
    for queue in answer["queues"]:
        slots = ", ".join(f"{count} {state}" for state, count in queue["slots"].items())
        room = f"({queue['room']})" if "room" in queue else ""  # an older worker does not say
        paused = "  PAUSED" if queue["paused"] else ""
        jobs = f"{queue['jobs']} job{'' if queue['jobs'] == 1 else 's'} at hand"
        yield "  " + one_line(f"{queue['queue']}: {queue['lane']}{room}, {slots}; {jobs}") + paused
        if "refused" in queue:
            yield "    " + one_line(f"not done: {queue['refused']}")
        for pid, stack in queue.get("stacks", {}).items():
            yield f"    process {one_line(pid)}"
            yield from (f"      {line}" for line in printable(stack).splitlines())
