"""Writes the table of docs/guarantees.md from result files of the fault suite.

    python tests/chaos/table.py tests/chaos/results/*.jsonl

Replaces what stands between the two markers; makes the page when there is none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.chaos.faults import FAULTS  # noqa: E402
from tests.chaos.results import read_results  # noqa: E402

PAGE = ROOT / "docs/guarantees.md"
BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
EMPTY = f"# What is guaranteed\n\n{BEGIN}\n{END}\n"
HEAD = (
    "| fault | runs alone | in pairs | accepted | lost | without a job | seen twice | run again | recovery | worst |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
)

Lines = Sequence[dict[str, Any]]


def main() -> int:
    """Write the table into the page."""
    paths = [Path(text) for text in sys.argv[1:]]
    lines = list(read_results(paths))
    if not lines:
        print("usage: table.py FILE..., with at least one run in them", file=sys.stderr)  # noqa: T201
        return 64
    page = PAGE.read_text() if PAGE.exists() else EMPTY
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.parent.mkdir(exist_ok=True)
    text = "\n".join(render(lines, [str(path.resolve().relative_to(ROOT)) for path in paths]))
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    return 0


def render(lines: Lines, sources: Sequence[str]) -> list[str]:
    """The table and what is to be known about it."""
    rows = [_row(name, [line for line in lines if name in faults(line)]) for name in FAULTS]
    harmed = [line for line in lines if faults(line)]
    return [
        f"{len(harmed)} runs with faults, {_sum(harmed, 'jobs'):,} jobs. {_versions(harmed)}.",
        "",
        *HEAD,
        *[row for row in rows if row],
        _total(harmed),
        "",
        "*Without a job*: results or executions of jobs that were never accepted. *Run again*: executions beyond one",
        "for each attempt. *Recovery*: seconds from the end of the fault until jobs flow at half their earlier rate,",
        "median and worst of the runs with this fault alone. A run with two faults counts in the rows of both. A fault",
        "that met nobody, for instance a process that had ended, does not count.",
        "",
        f"Data: {', '.join(f'[{source}](../{source})' for source in sources)}. Seeds: {_seeds(lines)}.",
        "To repeat a run:",
        "",
        "    make setup",
        "    .venv/bin/python tests/chaos/campaign.py --series SERIES --fault FAULT --seed SEED --jobs JOBS",
        "",
        "with the values of its line (`fault` may name two, joined by `+`). The moments of the faults and the jobs are",
        "the same again; what the machine does in between is not.",
    ]


def faults(line: dict[str, Any]) -> list[str]:
    """The faults of a run that harmed somebody."""
    return [name for name in str(line["fault"]).split("+") if name not in line["harmless"]]


def _row(name: str, lines: Lines) -> str:
    if not lines:
        return ""
    alone = [line for line in lines if faults(line) == [name]]
    times = sorted(line["recovery_s"] for line in alone if line.get("recovery_s") is not None)
    recovery = (f"{median(times):.1f}", f"{times[-1]:.1f}") if times else ("", "")
    return _cells(name, len(alone), len(lines) - len(alone), *_counts(lines), *recovery)


def _total(lines: Lines) -> str:
    alone = sum(len(faults(line)) == 1 for line in lines)
    return _cells("**all runs**", alone, len(lines) - alone, *_counts(lines), "", "")


def _counts(lines: Lines) -> list[str]:
    names = ("accepted", "lost", "without_job", "visible_twice", "executed_again")
    return [f"{_sum(lines, name):,}" for name in names]


def _cells(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _sum(lines: Lines, name: str) -> int:
    return sum(int(line[name]) for line in lines)


def _versions(lines: Lines) -> str:
    counted = {version: sum(line["broker"] == version for line in lines) for version in _of(lines, "broker")}
    brokers = ", ".join(f"RabbitMQ {version} ({count} runs)" for version, count in counted.items())
    return f"{brokers}; commit {', '.join(_of(lines, 'commit'))}"


def _of(lines: Lines, name: str) -> list[str]:
    return sorted({str(line[name]) for line in lines})


def _seeds(lines: Lines) -> str:
    """Seeds as ranges, by series."""
    parts = []
    for series in _of(lines, "series"):
        seeds = sorted({int(line["seed"]) for line in lines if line["series"] == series})
        parts.append(f"{', '.join(_ranges(seeds))} on {series}")
    return "; ".join(parts)


def _ranges(numbers: Iterable[int]) -> list[str]:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [f"{first}" if first == last else f"{first} to {last}" for first, last in ranges]


if __name__ == "__main__":
    sys.exit(main())
