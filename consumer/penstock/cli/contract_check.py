"""`penstock contract check`: fail before production does."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from penstock.contract.baseline import contracts_at
from penstock.contract.check import Report, check_against, check_files, check_queue
from penstock.contract.compat import Finding
from penstock.queue import Queue
from penstock.schema.library import Library
from penstock.wire.registry import Exit


def add(ways: Any, add_directory: Callable[[argparse.ArgumentParser], None], load: Callable[[str], Queue]) -> None:
    """Register the verb."""
    way = ways.add_parser(
        "check",
        help="fail when code and contracts disagree, or when a change breaks callers",
        description="Check every contract of the directory, hold the tasks of the queues against theirs, and judge "
        "what has changed since other revisions.",
    )
    way.add_argument("targets", nargs="*", metavar="MODULE:QUEUE", help="queues whose tasks are held against contracts")
    way.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="REVISION",
        help="a git revision that callers may have been built from, as origin/main or v1.2.0; may be given again",
    )
    way.add_argument("--json", action="store_true", help="print what was found as JSON")
    add_directory(way)
    way.set_defaults(run=lambda options: _check(options, load))


def _check(options: argparse.Namespace, load: Callable[[str], Queue]) -> int:
    report, library = Report(), Library(options.contracts)
    check_files(library, report)
    for target in options.targets:
        check_queue(load(target), library, report)
    for revision in options.against:
        check_against(revision, contracts_at(revision, library.directory), report, today=dt.datetime.now(dt.UTC).date())
    if options.json:
        print(json.dumps(_as_json(report), indent=2))
    else:
        _print(report)
    return Exit.DATA if report.fails else Exit.OK


def _as_json(report: Report) -> dict[str, Any]:
    findings = [
        {"revision": revision, "contract": name, **dataclasses.asdict(finding)}
        for (revision, name), found in report.findings.items()
        for finding in found
    ]
    return {"ok": not report.fails, "problems": report.problems, "remedies": report.remedies, "findings": findings}


def _print(report: Report) -> None:
    for where, problems in report.problems.items():
        print(where)
        for problem in problems:
            print("  " + problem.replace("\n", "\n  "))
        if where in report.remedies:
            print(f"  What to do: {report.remedies[where]}.")
    for (revision, name), findings in report.findings.items():
        print(f"{name}, against {revision}")
        for finding in findings:
            _print_finding(finding)
    breaks = sum(finding.breaks for found in report.findings.values() for finding in found)
    wrong = sum(map(len, report.problems.values()))
    print(f"contracts: {len(report.contracts)}, to mend: {wrong}, breaking changes: {breaks}")


def _print_finding(finding: Finding) -> None:
    verdict = "BREAKS" if finding.breaks else "ok    "
    print(f"  {verdict} {finding.rule} in {finding.where}: {finding.path}: {finding.change}")
    print(f"         {finding.means}.")
    if finding.remedy:
        print(f"         What to do: {finding.remedy}.")
