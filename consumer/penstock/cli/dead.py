"""`penstock dead`: look at dead jobs, replay, edit, export or discard them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from penstock.admin.dead_letters import (
    DeadLetters,
    Findings,
    Found,
    line,
    open_dead_letters,
    record,
    summary,
)
from penstock.admin.filters import Filter
from penstock.admin.fingerprint import groups
from penstock.admin.replay import Pace, Replay, obstacle
from penstock.admin.report import Report
from penstock.cli import dead_text
from penstock.cli.dead_edit import edit
from penstock.cli.dead_options import add_action, add_dry_run, add_filters, add_json, add_limit, wanted
from penstock.cli.options import amqp_url
from penstock.domain.topology import Topology
from penstock.errors import DataError, PenstockError, UsageError
from penstock.results.redis import RedisResults
from penstock.wire.headers import is_namespace, is_queue
from penstock.wire.registry import RESULT_TTL_MS, Exit

_INTERRUPTED: Final = 130


def add(verbs: Any) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "dead",
        help="look at dead jobs, replay, edit, export or discard them",
        description="The dead jobs of a queue. QUEUE is a queue of tasks, for instance stats.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    action = add_action(actions, "list", _guarded(_list), "list dead jobs, the oldest first")
    add_filters(action)
    add_limit(action, 100)
    add_json(action)

    action = add_action(actions, "show", _guarded(_show), "show everything of one job")
    action.add_argument("job", metavar="JOB")
    add_json(action)

    action = add_action(actions, "group", _guarded(_group), "count the dead jobs that died of the same thing")
    add_filters(action)
    add_json(action)

    action = add_action(
        actions, "replay", _guarded(_replay), "send dead jobs back to where they came from, a canary first"
    )
    add_filters(action)
    add_limit(action, None)
    action.add_argument("--rate", metavar="N", type=float, default=10.0, help="jobs per second (default: 10)")
    action.add_argument(
        "--canary", metavar="N", type=int, default=1, help="jobs that must succeed before the others (default: 1)"
    )
    action.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="wait so long for the canary, and at the end for the others (default: 30)",
    )
    action.add_argument(
        "--redis-url",
        metavar="URL",
        default=os.environ.get("PENSTOCK_REDIS_URL"),
        help="Redis, for jobs whose results are stored (default: $PENSTOCK_REDIS_URL)",
    )
    add_dry_run(action)
    add_json(action)

    action = add_action(actions, "edit", _guarded(edit), "change the arguments or the deadline of one job")
    action.add_argument("job", metavar="JOB")
    action.add_argument(
        "--args", metavar="JSON|@FILE", help="the new arguments, a JSON object (default: opens $EDITOR on the old ones)"
    )
    action.add_argument("--deadline", metavar="none|+SECONDS", help="the new deadline, from now (default: as it is)")
    action.add_argument("--against", metavar="MODULE:QUEUE", help="check the arguments against the task in this module")

    action = add_action(actions, "export", _guarded(_export), "write dead jobs as JSON lines")
    add_filters(action)
    add_limit(action, None)
    action.add_argument("--to", metavar="FILE", help="a new file (default: standard output)")
    action.add_argument("--then-discard", action="store_true", help="remove from the queue what is safely in the file")

    action = add_action(actions, "discard", _guarded(_discard), "remove dead jobs for good")
    add_filters(action)
    add_limit(action, None)
    action.add_argument("--all", action="store_true", help="all of them, without a filter")
    action.add_argument("--yes", action="store_true", help="do not ask")
    add_dry_run(action)


def _guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    return partial(_run, run)


def _run(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Check what all actions have in common, then run one."""
    if not is_queue(options.queue):
        raise UsageError(f"not a queue's name: {options.queue} (a task is QUEUE.FUNCTION; give the QUEUE)")
    if not is_namespace(options.namespace):
        raise UsageError(f"not a namespace: {options.namespace!r}")
    try:
        return run(options)
    except KeyboardInterrupt:
        _say("interrupted; what was not taken away is in the dead queue")
        return _INTERRUPTED


def _look(options: argparse.Namespace, which: Filter, *, limit: int | None = None, bodies: bool = False) -> Findings:
    """Look, give everything back, and say what was not looked at: nothing is held while somebody reads or thinks."""

    async def look() -> Findings:
        async with _open(options) as dead:
            return await dead.find(which, scan=options.scan, limit=limit, bodies=bodies)

    findings = asyncio.run(look())
    _say_caveats(findings, options)
    return findings


def _open(options: argparse.Namespace) -> AbstractAsyncContextManager[DeadLetters]:
    return open_dead_letters(amqp_url(options), options.queue, namespace=options.namespace)


def _say_caveats(findings: Findings, options: argparse.Namespace) -> None:
    for sentence in dead_text.caveats(findings, options.scan):
        _say(sentence)


def _say(text: str) -> None:
    print(f"penstock: {text}", file=sys.stderr)


def _print(text: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in text)


# ── looking ─────────────────────────────────────────────────────────────────────────────────────────


def _list(options: argparse.Namespace) -> int:
    jobs = _look(options, wanted(options), limit=options.limit).jobs
    _print(map(line, map(summary, jobs)) if options.json else dead_text.job_table(jobs))
    return Exit.OK


def _group(options: argparse.Namespace) -> int:
    found = groups(_look(options, wanted(options)).jobs)
    _print(map(line, map(dead_text.group_record, found)) if options.json else dead_text.group_table(found))
    return Exit.OK


def _show(options: argparse.Namespace) -> int:
    findings = _look(options, Filter(job=options.job), bodies=True)
    if not findings.found:
        raise DataError(f"no job {options.job} among the {findings.look.looked} messages that were looked at")
    for found in findings.found:
        _print([line(record(found))] if options.json else dead_text.whole_job(found, Topology(options.namespace)))
    return Exit.OK


# ── replay ──────────────────────────────────────────────────────────────────────────────────────────


def _replay(options: argparse.Namespace) -> int:
    pace = Pace(rate=options.rate, canaries=options.canary, wait_s=options.wait)
    limit = min(options.limit or pace.most, pace.most)
    if options.dry_run:
        return _would_replay(_look(options, wanted(options), limit=limit), options)

    report = Report()

    async def replay() -> None:
        async with _open(options) as dead, _results(options) as results:
            findings = await dead.find(wanted(options), scan=options.scan, limit=limit, bodies=True)
            _say_caveats(findings, options)
            await Replay(dead, pace, report, results=results, say=_say).run(findings.found)

    try:
        asyncio.run(replay())
    except PenstockError as error:
        if report.untouched:
            raise
        # What was done is told all the same.
        report.stopped, report.trouble = report.stopped or str(error), report.trouble or error
    _print([line(dead_text.report_record(report))] if options.json else dead_text.report_lines(report))
    return report.exit(waited=pace.wait_s > 0)


@asynccontextmanager
async def _results(options: argparse.Namespace) -> AsyncIterator[RedisResults | None]:
    """Where results are stored; None when that is not said."""
    if not options.redis_url:
        yield None
        return
    results = RedisResults(options.redis_url, namespace=options.namespace, ttl_ms=RESULT_TTL_MS)
    try:
        await results.open()
        yield results
    finally:
        await results.close()


def _would_replay(findings: Findings, options: argparse.Namespace) -> int:
    now_ms, stores = int(time.time() * 1000), bool(options.redis_url)
    whys = {job.name: obstacle(job, queue=options.queue, now_ms=now_ms, stores=stores) for job in findings.jobs}
    refused = {name: why for name, why in whys.items() if why is not None}
    count = len(findings.found) - len(refused)
    print(f"would replay {count} at {options.rate:g} per second, {min(options.canary, count)} of them as canary")
    _print(dead_text.refusals(refused))
    return Exit.OK


# ── export and discard ──────────────────────────────────────────────────────────────────────────────


def _export(options: argparse.Namespace) -> int:
    if options.then_discard and not options.to:
        raise UsageError("--then-discard needs --to FILE: whoever reads a pipe may lose what it was given")
    if not options.to:
        findings = _look(options, wanted(options), limit=options.limit, bodies=True)
        _print(line(record(found)) for found in findings.found)
        return Exit.OK

    async def export() -> int:
        async with _open(options) as dead:
            findings = await dead.find(wanted(options), scan=options.scan, limit=options.limit, bodies=True)
            _say_caveats(findings, options)
            _write(Path(options.to), findings.found)
            if options.then_discard:
                for found in findings.found:
                    dead.take_away(found)
            return len(findings.found)

    count = asyncio.run(export())
    _say(f"{count} jobs {'moved' if options.then_discard else 'copied'} to {options.to}")
    return Exit.OK


def _write(path: Path, found: list[Found]) -> None:
    """Write and make sure that it is on the disk. An earlier export is never written over."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{line(record(each))}\n" for each in found)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; nothing was removed from the queue") from error


def _discard(options: argparse.Namespace) -> int:
    which = wanted(options)
    if which.everything and not options.all:
        raise UsageError("say which jobs, or --all")
    if not (options.yes or options.dry_run or sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask: say --yes")
    meant: set[str] | None = None
    if options.dry_run or not options.yes:
        meant = {job.name for job in _look(options, which, limit=options.limit).jobs}
        if options.dry_run:
            print(f"would discard {len(meant)}")
            return Exit.OK
        if not (meant and _agrees(f"discard {len(meant)} dead jobs of {options.queue} for good?")):
            meant = set()

    async def discard() -> int:
        async with _open(options) as dead:
            findings = await dead.find(which, scan=options.scan, limit=options.limit)
            gone = [found for found in findings.found if meant is None or found.job.name in meant]
            for found in gone:
                dead.take_away(found)
            _say_caveats(findings, options)
            return len(gone)

    print(f"discarded {asyncio.run(discard()) if meant is None or meant else 0}")
    return Exit.OK


def _agrees(question: str) -> bool:
    """Whether the operator says yes."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
