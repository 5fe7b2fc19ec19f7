"""The import law of DESIGN.md, section 4: who may know whom.

    wire <- domain <- schema <- (broker | results | lanes | telemetry) <- (worker | admin | contract) <- cli

`errors`, `memory_file` and `settings` sit beside `domain`; the four siblings never import one another, and of them
only the child's side knows `schema`; the parent and the child's side (`lanes.runner`) share no more than the frames
between them. `testing` is on top: nothing imports it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock

PACKAGE = Path(penstock.__file__).parent
SIBLINGS = ("broker", "results", "lanes", "telemetry")

_GROUND = {"wire", "errors", "memory_file", "domain"}
#: What each room may import of penstock, besides itself. The root is `penstock/__init__.py`.
MAY_IMPORT = {
    "wire": set(),
    "errors": {"wire"},
    "memory_file": set(),
    "domain": {"wire", "errors", "memory_file"},
    "schema": {*_GROUND, "queue"},
    "settings": _GROUND,
    "queue": _GROUND,
    **dict.fromkeys(SIBLINGS, _GROUND),
    "lanes.runner": {*_GROUND, "schema", "queue", "lanes.frames", "root"},
    "worker": {*_GROUND, *SIBLINGS, "settings", "root"},
    "admin": {*_GROUND, *SIBLINGS, "settings"},
    "contract": {*_GROUND, "schema", "queue"},
    "cli": {*_GROUND, *SIBLINGS, "settings", "worker", "admin", "contract", "schema", "queue", "root"},
    "root": {*_GROUND, "queue"},
    "__main__": {"cli"},
    "testing": {*_GROUND, *SIBLINGS, "settings", "worker", "root"},
}
#: Libraries that one room alone may import, and everybody else's that it may do without.
ONLY = {
    "pika": {"broker"},
    "redis": {"results"},
    "tenacity": {"domain"},
    "prometheus_client": {"telemetry"},
    "msgpack": {"wire", "schema", "lanes"},
}


def room_of(module: str) -> str:
    """`penstock.broker.acks` is in `broker`; `penstock.lanes.runner.boot` in `lanes.runner`."""
    words = module.split(".")[1:]
    if not words:
        return "root"
    if words[:2] == ["lanes", "runner"]:
        return "lanes.runner"
    return words[0]


def module_of(path: Path) -> str:
    words = ("penstock", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(word for word in words if word != "__init__")


def imported(source: str, module: str, *, package: bool) -> Iterator[str]:
    """The full names of all modules that a source imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".") if package else module.split(".")[:-1]
                kept = above[: len(above) - node.level + 1]
                base = ".".join([*kept, *([base] if base else [])])
            for name in node.names:
                inner = f"{base}.{name.name}"
                yield inner if is_module(inner) else base


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return name.startswith("penstock.") and (path.is_dir() or path.with_suffix(".py").exists())


def breaches(source: str, module: str, *, package: bool = False) -> list[str]:
    """What a module imports against the law."""
    room, found = room_of(module), []
    for name in imported(source, module, package=package):
        library = name.partition(".")[0]
        if library != "penstock":
            if room.partition(".")[0] not in ONLY.get(library, {room.partition(".")[0]}):
                found.append(f"{module} imports {library}")
            continue
        other = room_of(name)
        allowed = other == room or other in MAY_IMPORT[room] or name.removeprefix("penstock.") in MAY_IMPORT[room]
        if not allowed:
            found.append(f"{module} imports {name}")
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    assert breaches(path.read_text(), module_of(path), package=path.name == "__init__.py") == []


def test_every_room_has_its_law() -> None:
    """A new room must be entered in MAY_IMPORT before it can be built."""
    assert {room_of(module_of(path)) for path in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("penstock.wire.codec", "from penstock.errors import PenstockError"),
        ("penstock.wire.codec", "from penstock import errors"),
        ("penstock.wire.codec", "import penstock.domain.task"),
        ("penstock.wire.codec", "from ..domain import task"),
        ("penstock.wire.codec", "def f():\n    import pika"),
        ("penstock.domain.task", "from penstock.lanes.frames import pack"),
        ("penstock.domain.task", "from penstock.settings import WorkerSettings"),
        ("penstock.domain.task", "import redis.asyncio"),
        ("penstock.broker.acks", "from penstock.results.ports import ResultStore"),
        ("penstock.lanes.slots", "from penstock.telemetry.metrics import Metrics"),
        ("penstock.lanes.slots", "from penstock.lanes.runner.boot import load"),
        ("penstock.lanes.slots", "from penstock.queue import Queue"),
        ("penstock.lanes.runner.boot", "from penstock.lanes.supervisor import Lane"),
        ("penstock.lanes.runner.boot", "from penstock.lanes import child"),
        ("penstock.lanes.runner.boot", "from penstock.broker import messages"),
        ("penstock.lanes.runner.boot", "import pika"),
        ("penstock.results.redis", "import pika"),
        ("penstock.worker.worker", "import pika"),
        ("penstock.worker.worker", "from redis import exceptions"),
        ("penstock.worker.worker", "from penstock.cli import main"),
        ("penstock.worker.worker", "from penstock.queue import Queue"),
        ("penstock.worker.worker", "import penstock.lanes.runner.execute"),
        ("penstock.admin.replay", "import pika"),
        ("penstock.admin.replay", "from penstock.worker.pipeline import Pipeline"),
        ("penstock.worker.worker", "from penstock.admin import replay"),
        ("penstock.queue", "from penstock.broker import messages"),
        ("penstock.errors", "from penstock.domain.task import TaskSpec"),
        ("penstock.worker.worker", "from penstock.testing import MemoryBroker"),
        ("penstock.testing.broker", "import pika"),
    ],
)
def test_the_law_finds_what_breaks_it(module: str, source: str) -> None:
    assert len(breaches(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("penstock.wire.codec", "from . import plain, registry\nimport struct"),
        ("penstock.broker.acks", "import pika\nfrom penstock.wire import registry"),
        ("penstock.lanes.runner.boot", "from penstock.lanes.frames import pack\nfrom penstock.queue import Queue"),
        ("penstock.lanes.runner.boot", "from penstock.lanes import frames"),
        ("penstock.worker.worker", "from penstock import __version__\nfrom penstock.broker import declare"),
    ],
)
def test_the_law_leaves_alone_what_keeps_it(module: str, source: str) -> None:
    assert breaches(source, module) == []


# ── what a fresh interpreter has loaded ─────────────────────────────────────────────────────────────


def loaded_by(module: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after one import."""
    code = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def rooms(modules: set[str]) -> set[str]:
    return {room_of(name) for name in modules if name.partition(".")[0] == "penstock"}


def test_a_child_loads_neither_the_broker_nor_a_store_nor_the_parents_half() -> None:
    """Law 1; and every child would pay for them with memory and start-up time."""
    modules = loaded_by("penstock.lanes.runner.__main__")
    assert rooms(modules) <= {
        "root",
        "wire",
        "errors",
        "domain",
        "queue",
        "lanes",
        "lanes.runner",
        "schema",
        "memory_file",
    }
    assert {name for name in modules if name.startswith("penstock.lanes.")} == {
        "penstock.lanes.frames",
        *(f"penstock.lanes.{name}" for name in runner_modules()),
    }
    assert not modules & {"pika", "redis", "prometheus_client", "asyncio.base_events"} - waived(modules)


def runner_modules() -> set[str]:
    """The modules of the child's side that one import of its entry point loads."""
    names = {path.stem for path in (PACKAGE / "lanes" / "runner").glob("*.py")} - {"__init__"}
    return {"runner", *(f"runner.{name}" for name in names)}


def waived(modules: set[str]) -> set[str]:
    """tenacity imports asyncio, as long as it is what Retry is built on."""
    return {"asyncio.base_events"} if "tenacity" in modules else set()


def test_a_parent_loads_nothing_of_the_childs_side() -> None:
    modules = loaded_by("penstock.worker.worker")
    assert {name for name in modules if name.startswith("penstock.lanes.runner")} == set()
    assert {"penstock.lanes.supervisor", "penstock.broker.consumer", "pika"} <= modules


def test_declaring_tasks_loads_neither_the_broker_nor_a_store() -> None:
    """`import penstock` is what user code pays for in every child."""
    modules = loaded_by("penstock")
    assert rooms(modules) <= {"root", "wire", "errors", "domain", "queue"}
    assert not modules & {"pika", "redis", "prometheus_client", "msgpack"}
