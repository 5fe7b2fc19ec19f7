"""`penstock dead edit`: the conversation about one job's arguments and deadline."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from penstock.admin.dead_letters import DeadLetters, Found, open_dead_letters
from penstock.admin.edit import Draft, changed, check, draft
from penstock.admin.filters import Filter
from penstock.admin.view import from_json, to_json
from penstock.cli.options import amqp_url
from penstock.errors import DataError, UsageError
from penstock.lanes.catalog import describe
from penstock.settings import DEFAULT_CONTRACTS
from penstock.wire.job import Job
from penstock.wire.registry import Exit

#: Furthest deadline that can be given, in seconds: a year.
_MAX_DEADLINE_S: Final = 366 * 86400


def edit(options: argparse.Namespace) -> int:
    """Change a job. Nothing is held while somebody types: the job is looked up again before it is replaced."""
    before = asyncio.run(_look(options))
    of = draft(before.job, before.held.body)
    args = _new_args(options, of)
    deadline_ms = _new_deadline(options, of)
    job, body = changed(of, args=args, deadline_ms=deadline_ms)
    checked = _check(options, job)
    if body == of.body:
        print(f"job {job.id}: nothing changed; {checked}")
        return Exit.OK
    asyncio.run(_replace(options, before, body, deadline_ms))
    print(f"job {job.id}: edited; {checked}")
    if of.dropped:
        print(f"fields that this version of penstock does not know are gone: {', '.join(of.dropped)}")
    print(f"replay it with: penstock dead replay {options.queue} --job {job.id}")
    return Exit.OK


async def _look(options: argparse.Namespace) -> Found:
    async with _open(options) as dead:
        return await _find(dead, options)


async def _replace(options: argparse.Namespace, before: Found, body: bytes, deadline_ms: int | None) -> None:
    async with _open(options) as dead:
        found = await _find(dead, options)
        if found.held.body != before.held.body or found.job != before.job:
            raise DataError(f"job {options.job} was changed or replayed meanwhile; look at it again")
        if not await dead.edit(found, body, deadline_ms=deadline_ms, now_ms=int(time.time() * 1000)):
            raise DataError(f"job {options.job} stays as it was: the broker does not take the edited one")


def _open(options: argparse.Namespace) -> Any:
    return open_dead_letters(amqp_url(options), options.queue, namespace=options.namespace)


async def _find(dead: DeadLetters, options: argparse.Namespace) -> Found:
    """The job; of several messages the one that was edited last."""
    findings = await dead.find(Filter(job=options.job), scan=options.scan, bodies=True)
    if not findings.found:
        raise DataError(f"no job {options.job} among the {findings.look.looked} messages that were looked at")
    return max(findings.found, key=lambda found: found.job.edited_at_ms or 0)


def _check(options: argparse.Namespace, job: Job) -> str:
    """Check the job as far as that was asked for; returns what was checked."""
    if not options.against:
        return "that the task takes these arguments was not checked (--against MODULE:QUEUE does)"
    [spec] = asyncio.run(describe([options.against], DEFAULT_CONTRACTS))
    check(job, spec)
    return f"its arguments are those that {job.task} takes; their types are checked when it runs"


def _new_args(options: argparse.Namespace, of: Draft) -> dict[str, Any] | None:
    """The arguments from the command line, a file or an editor; None: as they are."""
    if options.args is None and options.deadline is not None:
        return None
    if options.args is None:
        return _from_editor(of.job)
    text = _read(Path(options.args[1:])) if options.args.startswith("@") else options.args
    return _parse(text, "--args")


def _new_deadline(options: argparse.Namespace, of: Draft) -> int | None:
    if options.deadline is None:
        return of.job.deadline
    if options.deadline == "none":
        return None
    text = options.deadline.removeprefix("+")
    if not options.deadline.startswith("+") or not text.isascii() or not text.isdigit():
        raise UsageError(f"--deadline {options.deadline}: neither none nor +SECONDS, for instance +600")
    if not 0 < int(text) <= _MAX_DEADLINE_S:
        raise UsageError(f"--deadline {options.deadline}: not between 1 s and a year")
    return int((time.time() + int(text)) * 1000)


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        args = from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {error}") from error
    if not isinstance(args, dict):
        raise DataError(f"{where}: the arguments are a JSON object, by name")
    return args


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error


def _from_editor(job: Job) -> dict[str, Any]:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor or not sys.stdin.isatty():
        raise UsageError("give --args or --deadline, or set EDITOR and use a terminal")
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        path = Path(folder, f"{job.id}.json")
        path.write_text(json.dumps(to_json(dict(job.args)), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603 -- the operator's own editor
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise DataError(f"job {job.id} stays as it was: {editor}: {error}") from error
        return _parse(_read(path), "the arguments")
