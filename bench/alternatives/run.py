"""What Python does for Go, by each lane and by what else there is: calls a second, and what a crash or a hang costs.

    python3 ops/dev/servers.py -- .venv/bin/python bench/alternatives/run.py

Absolute figures drift with the machine and with what else it does; compare ratios, of one run. It ends by itself, and
installs what only it needs into a virtual environment that it removes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from bench.alternatives.work import WAIT_S, call  # noqa: E402
from bench.run import Running, go  # noqa: E402

HERE = Path(__file__).resolve().parent
NAMESPACE = "bench-alternatives"
GRPC = "grpcio==1.85.*"
WORKS = ("cpu", "wait", "nothing")
NEIGHBOURS = 4
#: Items of one call, in the ways that have such.
ITEMS = 30_000
STREAMS = ("processes", "threads", "async", "serial", "rpc")
#: All measurements together; what is not measured by then says so.
BUDGET_S = 210.0
#: One measurement.
STEP_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to call Python from Go.

    Attributes:
        title: Its name in the table.
        name: Its name for the Go program.
        python: The interpreter that the Go program starts.
        works: What it can do.
        missing: Why it cannot be measured here; "": it can.
        environment: What the Go program needs beside its own.
    """

    title: str
    name: str
    python: str = sys.executable
    works: tuple[str, ...] = WORKS
    missing: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Measure and print."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-alternatives-") as folder:
        made = Path(folder)
        ways = [*lanes(), *alternatives(made)]
        took = alone_s()
        print(f"{platform.machine()}, {os.cpu_count()} cores shared with RabbitMQ, Python {platform.python_version()},")
        print(f"{said(go(), 'version')}; CPU-bound: {took * 1e3:.1f} ms alone, I/O: {WAIT_S * 1e3:g} ms\n")
        with worker(made / "worker.log"):
            print(f"  {'calls a second':<28}{'CPU-bound':>18}{'blocking I/O':>18}{'nothing':>20}")
            floor: dict[str, float] = {}
            for way in ways:
                throughput(way, made, floor, began)
            print(
                f"\n  {f'of {NEIGHBOURS} neighbours succeed':<28}{'beside a crash':<42}beside a hang that keeps the GIL"
            )
            for way in ways:
                harm(way, made, began)
            print(f"\n  {'items a second, of one call':<28}")
            streams(ways, made, began)
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


def lanes() -> list[Way]:
    """What a worker of penstock serves."""
    return [
        Way(title="penstock, Processes(2)", name="processes"),
        Way(title="penstock, Threads(16)", name="threads"),
        Way(title="penstock, Async(16)", name="async", works=("wait", "nothing")),
        Way(title="penstock, Serial()", name="serial"),
        Way(title="penstock, Commands(2)", name="commands"),
    ]


def alternatives(made: Path) -> Iterator[Way]:
    """What else calls Python from Go, built and installed into a folder."""
    no_embedding = build_embedding(made / "program")
    if no_embedding:
        subprocess.run([go(), "build", "-o", str(made / "program"), "."], cwd=HERE, check=True)
    yield Way(title=f"os/exec, {2 * (os.cpu_count() or 1)} at once", name="exec")
    yield Way(title=f"JSON lines, {os.cpu_count()} processes", name="lines")
    python, missing = grpc_python(made / "venv")
    yield Way(title="gRPC server, 16 threads", name="rpc", python=python, missing=missing)
    home = {"PYTHONHOME": sys.base_prefix}
    yield Way(title="CGO, CPython in Go", name="embedded", missing=no_embedding, environment=home)


def build_embedding(program: Path) -> str:
    """Build the Go side with CPython in it; returns why that is not possible."""
    place = sysconfig.get_config_var
    header = Path(sysconfig.get_path("include"), "Python.h")
    library = Path(place("LIBDIR") or "", place("LDLIBRARY") or "")
    if not (shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")):
        return "no compiler here"
    if not header.exists() or library.suffix not in {".so", ".dylib"} or not library.exists():
        return "no headers here"
    flags = f"-L{library.parent} -lpython{place('LDVERSION')} -Wl,-rpath,{library.parent}"
    built = subprocess.run(
        [go(), "build", "-tags", "python", "-o", str(program), "."],
        cwd=HERE,
        env={**os.environ, "CGO_ENABLED": "1", "CGO_CFLAGS": f"-O2 -I{header.parent}", "CGO_LDFLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        print(built.stderr, file=sys.stderr)
        return "did not build"
    return ""


def grpc_python(folder: Path) -> tuple[str, str]:
    """An interpreter with grpcio, and why there is none."""
    venv.create(folder)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    argv = [*pip, "install", "--no-compile", "--only-binary", ":all:", GRPC]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)
    return str(python), "no grpcio here" if done.returncode else ""


def alone_s() -> float:
    """Seconds of the CPU-bound work in this process: the best of a few."""
    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        call("cpu")
        best = min(best, time.perf_counter() - began)
    return best


def throughput(way: Way, made: Path, floor: dict[str, float], began: float) -> None:
    """One row of the first table. The first row is what the others are compared with."""
    cells = []
    for work in WORKS:
        if work not in way.works:
            cells.append("-")
            continue
        figures = measure(way, made, began, "-work", work)
        if "per_s" not in figures:
            cells.append(figures["missing"])
            continue
        per_s = figures["per_s"]
        cells.append(f"{per_s:,.0f} ({per_s / floor.setdefault(work, per_s):.2f})")
    print(f"  {way.title:<28}{cells[0]:>18}{cells[1]:>18}{cells[2]:>20}", flush=True)


def harm(way: Way, made: Path, began: float) -> None:
    """One row of the second table."""
    cells = []
    for what in ("crash", "hang"):
        figures = measure(way, made, began, "-harm", what)
        cells.append(figures.get("missing") or judged(figures))
    print(f"  {way.title:<28}{cells[0]:<42}{cells[1]}", flush=True)


def streams(ways: Sequence[Way], made: Path, began: float) -> None:
    """The third table: what one call yields, read as it comes."""
    floor = None
    for way in ways:
        if way.name not in STREAMS:
            continue
        figures = measure(way, made, began, "-count", str(ITEMS))
        cell = figures.get("missing")
        if cell is None:
            floor = floor or figures["per_s"]
            cell = f"{figures['per_s']:,.0f} ({figures['per_s'] / floor:.2f})"
        print(f"  {way.title:<28}{cell:>18}", flush=True)


def judged(figures: dict[str, Any]) -> str:
    """What became of the neighbours, in words."""
    if figures["harmless"]:
        return "no harm was done"
    text = f"{figures['succeeded']}"
    if figures["succeeded"]:
        text += f", the last after {figures['slowest_s']:.1f} s"
    return text if figures["recovered"] else f"{text}; no call works any more"


def measure(way: Way, made: Path, began: float, *arguments: str) -> dict[str, Any]:
    """Run the Go side once; returns its figures, or what is missing."""
    left = BUDGET_S - (time.monotonic() - began)
    if way.missing or left < 0:
        return {"missing": way.missing or "no time left"}
    argv = [made / "program", "-way", way.name, "-python", way.python, "-folder", HERE, *arguments]
    env = {**os.environ, **way.environment}
    # In a session of its own, so that nothing that hangs is left behind when it is given up.
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )
    try:
        stdout, stderr = process.communicate(timeout=STEP_S)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return {"missing": "does not end"}
        raise
    if process.returncode == 0:
        figures: dict[str, Any] = json.loads(stdout)
        return figures
    if "SIGSEGV" in stderr:
        return {"missing": "0; the Go service has crashed"}
    print(f"{way.title} {arguments}: {stderr[-2000:]}", file=sys.stderr)
    return {"missing": "failed"}


def said(*argv: str) -> str:
    """What a command prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def worker(log: Path) -> Iterator[None]:
    """One worker of all lanes, ready and later stopped."""
    queues = ("processes", "threads", "asynchronous", "serial", "commands")
    targets = [f"bench.alternatives.tasks:{queue}" for queue in queues]
    options = ("--namespace", NAMESPACE, "--http", "127.0.0.1:0", "--log", "json")
    command = [sys.executable, "-m", "penstock", "worker", *targets, *options]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, stderr=sink)
    try:
        running = Running(process, log, "processes.call")
        while not running.ready():
            running.pause()
        yield
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
