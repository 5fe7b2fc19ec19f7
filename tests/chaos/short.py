"""The short form of the fault suite, for CI: every kind of fault once, half of them on each series, fixed seeds.

    make chaos-short

Not found by a plain `pytest`: it takes minutes, and servers of its own. It asserts the law and no timing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops.dev.apt import AptError
from ops.dev.private import Janitor, NoSourceError, ServerFailedError
from tests.chaos import hosts
from tests.chaos.rig import Rig
from tests.chaos.run import Order, Run
from tests.helpers.go import build
from tests.helpers.servers import missing
from tests.helpers.worker import ROOT

JOBS = 1_500
SERIES = ("3.10", "4.3")
FAULTS = (
    "kill-child",
    "kill-worker",
    "kill-producer",
    "kill-broker",
    "kill-redis",
    "stop-worker",
    "stop-producer",
    "stop-broker",
    "stop-redis",
    "cut-worker-rabbitmq",
    "cut-producer-rabbitmq",
    "cut-worker-redis",
    "stall-worker-rabbitmq",
    "half-close-producer-rabbitmq",
    "memory-alarm",
    "queue-full",
    "redis-memory",
    "redis-disk",
    "segfaults",
    "consumer-timeout",
    "hangs",
    "clock-back",
    "rolling-restart",
    "cancels+kill-worker+kill-broker",
    "stall-worker-rabbitmq+cut-worker-redis",
    "cancels+kill-child",
)
ORDERS = [
    Order(seed=number, series=SERIES[number % 2], faults=tuple(name.split("+")), jobs=JOBS)
    for number, name in enumerate(FAULTS)
]
ORDERS.sort(key=lambda order: order.series)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go producer."""
    return build("tests/chaos/producer", tmp_path_factory.mktemp("producer"))


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Servers of a series, for all runs on it."""
    with ExitStack() as stack:
        try:
            made = Rig(request.param, stack.enter_context(Janitor()))
            made.start()
        except (NoSourceError, ServerFailedError, AptError) as error:
            missing(str(error))
        yield made


@pytest.mark.parametrize(
    ("rig", "order"),
    [pytest.param(one.series, one, id=f"{one.name} on {one.series}") for one in ORDERS],
    indirect=["rig"],
)
def test_every_accepted_job_has_exactly_one_result(rig: Rig, order: Order, program: Path, tmp_path: Path) -> None:
    # given servers as new
    rig.clear()
    run = Run(order, rig, program, tmp_path)
    if why := run.impossible():
        pytest.skip(why)
    # when a load runs through them while the fault happens
    outcome = run.play()
    # then the ledger is whole; if not, all of it is in the folder of this test
    assert not outcome.verdict.violations, f"{order.repeat}\n" + "\n".join(outcome.verdict.violations[:10])
    assert outcome.verdict.accepted > JOBS / 2
    assert bool(outcome.verdict.cancelled) is ("cancels" in order.faults)
    assert outcome.verdict.results + outcome.verdict.reply_gone >= outcome.verdict.accepted


def test_a_partition_between_two_hosts_loses_nothing() -> None:
    if why := hosts.impossible():
        pytest.skip(why)
    order = Order(seed=1, series="4.3", faults=("partition",), jobs=JOBS)
    done = subprocess.run(
        [sys.executable, *order.repeat.split()[1:]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "results" in done.stdout
