"""`penstock cancel`: end a job, wherever it is."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any, Final

from penstock.admin.cancel import WAIT_S, Acknowledgement
from penstock.admin.cancel import cancel as cancel_job
from penstock.broker.session import Session
from penstock.cli.options import add_broker, amqp_url
from penstock.errors import UsageError
from penstock.wire.headers import is_namespace
from penstock.wire.registry import CANCEL_MEMORY_MS, CancelStep, Exit

_WORDS: Final[dict[str, str]] = {
    CancelStep.NEVER_STARTED: "cancelled before it started",
    CancelStep.EXCEPTION: "cancelled while it ran",
    CancelStep.KILLED: "cancelled while it ran; its child was killed",
    CancelStep.ENDED: "had ended, or ended by itself",
    CancelStep.UNKNOWN_HERE: f"not here; it will not start here within {CANCEL_MEMORY_MS // 60_000} minutes",
}


def add(verbs: Any) -> None:
    """Register the verb."""
    text = "cancel a job, whether it waits or runs"
    parser = verbs.add_parser(
        "cancel",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Every connected worker is told, and what each answers is one line.",
    )
    parser.add_argument("job", metavar="JOB_ID")
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=WAIT_S,
        help="wait so long for answers, less once a worker says that it had the job; 0: do not (default: %(default)g)",
    )
    add_broker(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if not is_namespace(options.namespace):
        raise UsageError(f"not a namespace: {options.namespace!r}")
    answers = asyncio.run(_cancelled(options))
    for answer in answers:
        print(f"{answer.worker}  {answer.step}  {_WORDS.get(answer.step, '')}".rstrip())
    if any(answer.found for answer in answers) or not options.wait:
        return Exit.OK
    why = "a job in a shared child may have to come back to Python first"
    if not answers:
        print(f"no worker has answered within {options.wait:g} s; {why}")
        return Exit.TEMPFAIL
    print(f"the job has ended, waits in the broker, or runs in a worker that has not answered yet; {why}")
    return Exit.OK


async def _cancelled(options: argparse.Namespace) -> list[Acknowledgement]:
    async with Session(amqp_url(options), name="penstock cancel", namespace=options.namespace) as session:
        return await cancel_job(session, options.job, wait_s=options.wait)
