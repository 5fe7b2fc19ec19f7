"""Node programs of the repository: the runtime, and their packages from the registry, by version and hash."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from ops.dev import node as runtime
from tests.helpers.servers import missing
from tests.helpers.worker import ROOT

BIN = ROOT / ".venv/bin"
#: A first installation downloads up to 200 packages.
_INSTALL_S = 180


def node(folder: Path) -> str:
    """The `node` command, for a program whose packages are installed.

    Without Node, npm or a registry the test skips on a laptop and fails in CI.
    """
    if runtime.installed(_path()) is None:
        missing(f"node {runtime.WANTED} or newer and npm are not installed; run: make test")
    _install(folder)
    return shutil.which("node", path=_path()) or "node"


def environment(**more: str) -> dict[str, str]:
    """Our own environment, in which `node` and `npm` are found."""
    return {**os.environ, "PATH": _path(), **more}


def _path() -> str:
    return os.pathsep.join([str(BIN), *os.get_exec_path()])


def _install(folder: Path) -> None:
    """Install what package-lock.json names, once; no script of a package is run."""
    lock, done = folder / "package-lock.json", folder / "node_modules/.installed"
    with lock.open() as turn:  # two tests may run at once
        fcntl.flock(turn, fcntl.LOCK_EX)
        if done.exists() and done.read_text() == lock.read_text():
            return
        ended = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
        if ended.returncode != 0:
            missing(f"npm could not install the packages of {folder.relative_to(ROOT)}:\n{ended.stdout[-2000:]}")
        done.write_text(lock.read_text())
