"""The fault suite: runs with faults at random moments, and one line of results for each.

    python tests/chaos/campaign.py --runs 200 --series 3.10,4.3 --jobs 5000 --seed 1 --out FILE
    python tests/chaos/campaign.py --fault kill-worker+cut-worker-redis --series 4.3 --seed 17

The first form makes every fault alone and then pairs of them, half of the runs on each series; started again
with the same file it goes on where it was. The second repeats one run. A run that breaks the law keeps its ledgers
and logs, as does one that is repeated; the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from ops.dev.private import Janitor  # noqa: E402
from ops.dev.say import say  # noqa: E402
from tests.chaos import hosts  # noqa: E402
from tests.chaos.faults import FAULTS  # noqa: E402
from tests.chaos.results import read_results  # noqa: E402
from tests.chaos.rig import Rig  # noqa: E402
from tests.chaos.run import Order, Outcome, Run  # noqa: E402
from tests.helpers.go import build  # noqa: E402

#: How long an interrupted run may take to end its processes and servers, in seconds.
CLEAN_UP_S = 90


def orders(runs: int, series: Iterable[str], jobs: int, seed: int) -> list[Order]:
    """The runs of a campaign: every fault alone as often as it fits into half of them, then pairs."""
    rng = random.Random(f"campaign/{seed}")
    made = []
    names = list(FAULTS)
    for number, one in enumerate(series_list := list(series)):
        share = runs // len(series_list) + (number < runs % len(series_list))
        singles = [(name,) for name in names] * max(1, share // 2 // len(names))
        chosen: list[tuple[str, ...]] = [*singles[:share]]
        while len(chosen) < share:
            # Two hosts have no forwarders between them.
            chosen.append(tuple(rng.sample([name for name in names if name != "partition"], 2)))
        made += [
            Order(seed=seed + number * 10_000 + place, series=one, faults=faults, jobs=jobs)
            for place, faults in enumerate(chosen)
        ]
    return made


def main() -> int:
    """Make the runs that the command line asks for; return 1 if one of them broke the law."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.fault:
        faults = tuple(name for name in options.fault.split("+") if name != "none")
        todo = [Order(seed=options.seed, series=one, faults=faults, jobs=options.jobs) for one in options.series]
    else:
        todo = orders(options.runs, options.series, options.jobs, options.seed)
    done = {_key(line) for line in read_results([options.out])} if options.out else set()
    todo = [order for order in todo if _key(_head(order)) not in done]
    here, elsewhere = _by_hosts(todo)
    try:
        code = _make(elsewhere if options.two_hosts else here, options)
        if elsewhere and not options.two_hosts:
            code |= _on_two_hosts()
    except KeyboardInterrupt:
        say("chaos", "interrupted; the same command goes on from here")
        return 130
    return code


def _by_hosts(todo: list[Order]) -> tuple[list[Order], list[Order]]:
    """Runs on one host, and runs on two."""
    two = [order for order in todo if any(FAULTS[name]().two_hosts for name in order.faults)]
    return [order for order in todo if order not in two], two


def _on_two_hosts() -> int:
    """Make the runs on two hosts, in a network namespace of their own."""
    if why := hosts.impossible():
        say("chaos", f"partition: skipped, {why}")
        return 0
    process = subprocess.Popen([*hosts.ALONE, sys.executable, *sys.argv, "--two-hosts"])
    try:
        code = process.wait()
        return code if code >= 0 else 128 - code
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)  # where there is no terminal that has sent it to both
        process.wait(CLEAN_UP_S)
        raise


def _make(todo: list[Order], options: argparse.Namespace) -> int:
    """Make runs, series by series; returns 1 if one broke the law."""
    deadline = time.monotonic() + options.minutes * 60
    bad = 0
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-chaos-")))
        program = build("tests/chaos/producer", folder)
        two = stack.enter_context(hosts.TwoHosts()) if options.two_hosts else None
        for series, group in groupby(todo, key=lambda order: order.series):
            bad += campaign(series, list(group), program, folder, options, deadline, two)
    return 1 if bad else 0


def campaign(
    series: str,
    todo: list[Order],
    program: Path,
    folder: Path,
    options: argparse.Namespace,
    deadline: float,
    two: hosts.TwoHosts | None,
) -> int:
    """Make runs on one series; returns how many broke the law."""
    bad = 0
    with Janitor() as janitor:
        rig = Rig(series, janitor, two)
        rig.start()
        for number, order in enumerate(todo, 1):
            if time.monotonic() > deadline:
                say("chaos", f"the time is over; {len(todo) - number + 1} runs on {series} are left")
                break
            rig.clear()
            place = folder / f"{series}-{number}"
            place.mkdir()
            run = Run(order, rig, program, place)
            if why := run.impossible():
                say("chaos", f"{series} {order.name}: skipped, {why}")
                continue
            outcome = run.play()
            line = {**_head(order), "broker": rig.broker.version, **result(outcome)}
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            say("chaos", f"{number}/{len(todo)} {series} {order.name} seed {order.seed}: {sentence(line)}")
            bad += rig.spoilt
            if rig.spoilt or options.fault:
                kept = Path(options.keep) / f"{series}-{order.seed}-{order.name}-{int(time.time())}"
                shutil.copytree(place, kept)
                (kept / "result.json").write_text(json.dumps(line, indent=1))
                say("chaos", f"its ledgers and logs are in {kept}")
                for text in outcome.verdict.violations[:5]:
                    say("", text[:300])
            shutil.rmtree(place)
    return bad


def result(outcome: Outcome) -> dict[str, Any]:
    """An outcome as one line of results."""
    verdict = outcome.verdict
    return {
        "accepted": verdict.accepted,
        "refused": verdict.refused,
        "unknown": verdict.unknown,
        "results": verdict.results,
        "reply_gone": verdict.reply_gone,
        "lost": verdict.lost,
        "without_job": verdict.without_job,
        "executed_again": verdict.executed_again,
        "most_executions": verdict.most_executions,
        "visible_twice": verdict.visible_twice,
        "cancelled": verdict.cancelled,
        "dead": verdict.dead,
        "dead_twice": verdict.dead_twice,
        "unexpected": dict(verdict.unexpected),
        **outcome.numbers,
        "notes": outcome.notes,
        "violations": len(verdict.violations),
        "first_violations": [text[:300] for text in verdict.violations[:3]],
    }


def sentence(line: dict[str, Any]) -> str:
    """A result in short, for people."""
    return (
        f"{line['accepted']} accepted, {line['results']} results, {line['reply_gone']} replies gone, "
        f"{line['lost']} lost, {line['without_job']} without job, {line['visible_twice']} seen twice, "
        f"{line['executed_again']} executed again, back in {line.get('recovery_s')} s; "
        f"{line['took_s']} s{'; VIOLATIONS ' + str(line['violations']) if line['violations'] else ''}"
    )


def _head(order: Order) -> dict[str, Any]:
    return {"seed": order.seed, "series": order.series, "fault": order.name, "jobs": order.jobs, "commit": commit()}


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["seed"], line["series"], line["fault"], line["jobs"]


@functools.cache
def commit() -> str:
    """The commit that is being tested; `+` when files differ from it, results of the suite apart."""
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!tests/chaos/results", ":!docs/guarantees.md")
    return f"{head}{'+' if changed else ''}" or "?"


def _git(*argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="runs in all (default: 200)")
    parser.add_argument("--series", type=lambda text: text.split(","), default=["3.10", "4.3"], help="RabbitMQ series")
    parser.add_argument("--jobs", type=int, default=5000, help="jobs of a run (default: 5000)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="default: a random one, printed")
    parser.add_argument("--fault", help="make one run, with this fault or these: A+B; none for none")
    parser.add_argument("--out", type=Path, help="file that gets a line for each run; what is in it is not done again")
    parser.add_argument("--minutes", type=float, default=120, help="begin no run after so many minutes")
    parser.add_argument("--two-hosts", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--keep", default=tempfile.gettempdir() + "/penstock-chaos-kept", help="where bad and repeated runs are kept"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
