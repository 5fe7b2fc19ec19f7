"""Runs the demo: builds the Go program, starts a worker for tasks.py, and lets the one call the other.

    .venv/bin/python examples/demo/run.py [--shell]

With --shell it opens a shell instead, in which `penstock enqueue ...` calls the worker. The servers are those
of PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL; where these are not set, private ones are started. The exit code
is 0 only if everything that the demo promises was seen to happen. Nothing is left behind.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[0] = str(ROOT)

from examples.demo.run_worker import WorkerError, worker  # noqa: E402
from ops.dev.say import say, step  # noqa: E402

SERVERS = ("PENSTOCK_AMQP_URL", "PENSTOCK_REDIS_URL")
INTERRUPTED = 130

NEXT = """
try next   make test                                      all tests
           make demo BROKER=4.3                           with RabbitMQ 4.3
           {python} {run} --shell  calls of your own
"""

HINTS = """\
           penstock enqueue stats.norm --args '{"x": [3, 4]}' --wait
           penstock enqueue stats.norm --args '{"x": [3, 4], "ord": 1}' --wait
           penstock enqueue stats.flaky --wait
           exit
"""


class DemoError(Exception):
    """The demo cannot be run; the message says why and what to do."""


def main() -> int:
    """Run the demo or the shell; return the exit code."""
    if not all(os.environ.get(name) for name in SERVERS):
        servers = [sys.executable, str(ROOT / "ops/dev/servers.py"), "--"]
        os.execv(sys.executable, [*servers, sys.executable, *sys.argv])  # noqa: S606 -- ourselves
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with TemporaryDirectory(prefix="penstock-demo-") as folder:
            return _shell(Path(folder)) if "--shell" in sys.argv[1:] else _demo(Path(folder))
    except (DemoError, WorkerError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _demo(folder: Path) -> int:
    data = _scikit_learn() / "datasets"
    program = _build("demo", HERE, folder)
    with worker(folder / "worker.log") as running:
        print(flush=True)
        code = _run([str(program), "-data", str(data)])
        if code not in (0, INTERRUPTED):
            running.show_log()
        print(flush=True)
    if code == 0:
        python, run = _shown(Path(sys.executable)), _shown(Path(__file__).absolute())
        print(NEXT.format(python=python, run=run), end="", flush=True)
    elif code != INTERRUPTED:
        print("demo: failed; the reason is above the worker's log", file=sys.stderr)
    return code


def _shell(folder: Path) -> int:
    program = _build("penstock", ROOT / "producer_go/cmd/penstock", folder)
    with worker(folder / "worker.log") as running:
        say("shell", f"the worker's log is {running.log}; try")
        print(HINTS, end="", file=sys.stderr, flush=True)
        os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        _run([os.environ.get("SHELL", "/bin/sh")])
    return 0


def _shown(path: Path) -> Path:
    """Return a path as it is typed here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _scikit_learn() -> Path:
    """Return the folder of scikit-learn, without the seconds that importing it takes."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        msg = f"{sys.executable} has no scikit-learn; `make demo` sets everything up"
        raise DemoError(msg)
    return Path(spec.origin).parent


def _build(name: str, package: Path, folder: Path) -> Path:
    """Build a Go program."""
    own = ROOT / ".venv/bin/go"
    go = str(own) if own.exists() else shutil.which("go")
    if go is None:
        msg = "there is no Go toolchain; `make demo` sets everything up"
        raise DemoError(msg)
    with step("build", "the Go program") as done:
        # Without -buildvcs=false, go does not build in a checkout that belongs to another user.
        command = [go, "build", "-buildvcs=false", "-o", str(folder / name), "."]
        built = subprocess.run(command, cwd=package, stderr=subprocess.PIPE, text=True, check=False)
        if built.returncode != 0:
            msg = f"the Go program does not build:\n{built.stderr.rstrip()}"
            raise DemoError(msg)
        done("the Go program")
    return folder / name


def _run(command: list[str]) -> int:
    """Run a program in the foreground, so that a Ctrl-C reaches it too; return its exit code."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait(5)
        raise
    finally:
        process.kill()  # nothing, where it has ended
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
