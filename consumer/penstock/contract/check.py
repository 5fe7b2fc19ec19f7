"""Whether contracts are well, agree with the code, and break nobody."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.contract.compat import Finding, judge, removed
from penstock.errors import ContractError
from penstock.queue import Queue
from penstock.schema.binding import misfits, remedy
from penstock.schema.library import Library
from penstock.schema.model import Contract
from penstock.schema.reader import load, relative
from penstock.schema.writer import text


@dataclass(slots=True)
class Report:
    """What a check has found.

    Attributes:
        problems: What is wrong here and now: by file or task, sentences.
        remedies: What to do about the problems of a task; not of every one.
        findings: What has changed against a revision: by revision and file.
        contracts: The contracts that were read.
    """

    problems: dict[str, list[str]] = field(default_factory=dict)
    remedies: dict[str, str] = field(default_factory=dict)
    findings: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    contracts: dict[tuple[str, int], Contract] = field(default_factory=dict)

    @property
    def fails(self) -> bool:
        """Whether anything has to be mended."""
        return bool(self.problems) or any(finding.breaks for found in self.findings.values() for finding in found)

    def problem(self, where: str, what: str) -> None:
        """Note a problem."""
        self.problems.setdefault(where, []).append(what)


def check_files(library: Library, report: Report) -> None:
    """Read every file below the directory; each is a contract, where it belongs, in the one form that it has."""
    for path in library.files():
        try:
            contract = load(path)
        except ContractError as error:
            report.problem(str(path), str(error))
            continue
        report.contracts[contract.name, contract.version] = contract
        if path.read_bytes() != text(contract).encode():
            report.problem(str(path), "it is not written in the one form; run penstock contract format")


def check_queue(queue: Queue, library: Library, report: Report) -> None:
    """Hold the tasks of a queue against their contracts, and its contracts against its tasks."""
    served = {(name, version) for name, versions in queue.tasks.items() for version in versions}
    for name, version in sorted(served):
        title = f"{name} v{version}"
        contract = report.contracts.get((name, version))
        if contract is None:
            if not library.path(name, version).exists():
                report.problem(title, "it has no contract; write it with penstock contract export, or scaffold")
            continue
        try:
            found = misfits(queue.tasks[name][version], contract)
        except ContractError as error:
            found = [str(error)]
        else:
            if found:
                report.remedies[title] = remedy(contract)
        for each in found:
            report.problem(title, each)
    for name, version in sorted(report.contracts.keys() - served):
        if name.partition(".")[0] == queue.name:
            where, remains = relative(report.contracts[name, version]), f"no task of queue {queue.name} serves it"
            report.problem(where, f"{remains}; put it back: it may go when its deprecated_since is 30 days past")


def check_against(
    revision: str, baseline: Mapping[tuple[str, int], Contract], report: Report, *, today: dt.date
) -> None:
    """Judge what has changed since a revision."""
    for key, old in baseline.items():
        new = report.contracts.get(key)
        if new is None and any(Path(where).parts[-2:] == Path(relative(old)).parts for where in report.problems):
            continue  # it is there, and broken: that has been said
        found = [removed(old, today)] if new is None else judge(old, new)
        if found:
            report.findings[revision, relative(old)] = found


def formatted(library: Library) -> Iterable[tuple[Path, str]]:
    """Each contract's file and the text that it should be.

    Raises:
        ContractError: A file is no contract.
    """
    for path in library.files():
        yield path, text(load(path))
