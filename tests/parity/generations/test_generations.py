"""Old and new callers with old and new workers, over RabbitMQ: each call comes to what is expected."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from penstock.contract.compat import judge
from penstock.schema.compare import Rule
from penstock.schema.library import Library
from tests.conftest import namespace
from tests.helpers.go import build_made, generate
from tests.helpers.servers import need
from tests.helpers.worker import WorkerProcess

HERE: Final = Path(__file__).parent
GENERATIONS: Final = ("old", "new")
EXPECTED: Final[dict[str, dict[str, Any]]] = json.loads((HERE / "expected.json").read_text())
#: Kinds of change that need a new version wherever they are.
BREAKING: Final = {
    *(Rule.PROPERTY_REMOVED, Rule.PROPERTY_RENAMED, Rule.DEFAULT_CHANGED, Rule.TYPE_CHANGED, Rule.WIRE_CHANGED),
    *(Rule.FORMAT_CHANGED, Rule.DTYPE_CHANGED, Rule.DISCRIMINATOR_CHANGED, Rule.TASK_RENAMED),
    *(Rule.ITEMS_ADDED, Rule.ITEMS_REMOVED),
}
#: Kinds of change that are allowed, and are not here: nothing of them is seen on the wire.
UNSEEN: Final = {Rule.ENUM_OPENED, Rule.ENUM_CLOSED, Rule.POSITIONAL_CHANGED, Rule.ERROR_REMOVED}


class Meeting(NamedTuple):
    """The namespaces of the two workers, and the two callers' programs."""

    workers: dict[str, str]
    callers: dict[str, Path]


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meeting]:
    url = need("PENSTOCK_AMQP_URL")
    folders = {generation: tmp_path_factory.mktemp(generation) for generation in GENERATIONS}
    callers = {generation: build_made(sources(generation, into), into) for generation, into in folders.items()}
    with namespace(url, ("pantry",)) as old, namespace(url, ("pantry",)) as new:
        spaces = {"old": old.namespace, "new": new.namespace}
        workers = [start(generation, space, folders[generation]) for generation, space in spaces.items()]
        try:
            for worker in workers:
                worker.await_ready()
            yield Meeting(spaces, callers)
        finally:
            for worker in workers:
                worker.stop()


def sources(generation: str, into: Path) -> dict[str, str]:
    """A caller's program. The old one keeps the client of its time, whatever penstock-gen writes now."""
    files = {"main.go": (HERE / "calls.go").read_text(), "calls.go": (HERE / generation / "calls.go").read_text()}
    if generation == "old":
        return {**files, "pantry/pantry.gen.go": (HERE / "old/pantry.gen.go").read_text()}
    return {**files, **generate(HERE / generation / "contracts", into)}


def start(generation: str, space: str, folder: Path) -> WorkerProcess:
    return WorkerProcess(
        folder / "worker.log",
        f"tests.parity.generations.{generation}.pantry:pantry",
        *("--contracts", str(HERE / generation / "contracts"), "--namespace", space),
    )


@pytest.mark.parametrize("worker", GENERATIONS)
@pytest.mark.parametrize("caller", GENERATIONS)
def test_callers_and_workers_of_two_generations_understand_each_other(
    meeting: Meeting, caller: str, worker: str
) -> None:
    done = subprocess.run(
        [meeting.callers[caller], meeting.workers[worker]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED[f"{caller} caller, {worker} worker"]


def test_the_new_contracts_have_every_change_that_is_allowed_and_none_that_is_not() -> None:
    old, new = (Library(HERE / generation / "contracts") for generation in GENERATIONS)
    found = []
    for name in ("pantry.cook", "pantry.serve", "pantry.season", "pantry.weigh"):
        before, after = old.find(name, 1), new.find(name, 1)
        assert before is not None
        assert after is not None
        found += judge(before, after)
    assert not [finding for finding in found if finding.breaks]
    assert {finding.rule for finding in found} == {*Rule} - BREAKING - UNSEEN
