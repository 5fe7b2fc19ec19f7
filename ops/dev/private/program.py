"""A server program found on this machine, and one running instance of it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ops.dev.private.janitor import Janitor

_DEBIAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Where a server program is and how to get to it."""

    #: Absolute path of the executable, as seen from inside `root`.
    path: str
    #: Version as the package names it, for instance `3.10.8`.
    version: str
    #: Where it comes from, in words for the user.
    source: str
    #: The folder that the program sees as `/`.
    root: Path = Path("/")
    #: Command that enters `root`; empty when there is nothing to enter.
    enter: tuple[str, ...] = ()

    def new_folder(self, janitor: Janitor, name: str) -> Path:
        """Make a temporary folder that the program can see."""
        inside = self.root / "tmp" if self.enter else Path(tempfile.gettempdir())
        return janitor.folder(inside / f"penstock-{name}-{secrets.token_hex(4)}")

    def seen(self, path: Path) -> str:
        """Return a path as the program sees it."""
        return f"/{path.relative_to(self.root)}"


class Process:
    """A server instance that is a process group of this machine."""

    def __init__(
        self, program: Program, argv: list[str], *, env: dict[str, str], folder: Path, janitor: Janitor
    ) -> None:
        self.version = program.version
        self.source = program.source
        self._enter = program.enter
        self._argv = [*program.enter, *argv]
        path = _DEBIAN_PATH if program.enter else os.environ.get("PATH", os.defpath)
        self._env = {"PATH": path, "LANG": "C.UTF-8", **env}
        #: Where its data and its log are, as seen from this machine.
        self.folder: Path | None = folder
        self._cwd = folder
        self._log = folder / "server.log"
        self._janitor = janitor
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; a running one is left alone."""
        if not self.alive():
            with self._log.open("ab") as log:
                self._process = self._janitor.launch(self._argv, env=self._env, log=log, cwd=self._cwd)

    def stop(self, timeout_s: float) -> None:
        """Ask the server to end by itself (SIGTERM); kill what is left after `timeout_s`."""
        if self._process is not None and self.alive():
            os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """Kill the process and all its helpers (SIGKILL) and collect it."""
        if self._process is not None:
            self._janitor.reap(self._process)
            self._process = None

    def pause(self) -> None:
        """Stop the process and its helpers where they are (SIGSTOP)."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on (SIGCONT)."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGCONT)

    def run(self, argv: list[str], timeout_s: float) -> str:
        """Run a command beside the server, in its root folder and with its environment; return what it printed.

        Raises:
            subprocess.SubprocessError: it failed, or did not end in time.
        """
        done = subprocess.run(
            [*self._enter, *argv],
            env=self._env,
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=True,
        )
        return done.stdout.decode(errors="replace")

    def alive(self) -> bool:
        """Say whether the process runs; when it has ended, its helpers go too."""
        if self._process is not None and self._process.poll() is not None:
            self.kill()
        return self._process is not None

    def log_tail(self) -> str:
        """Return the last lines that the server wrote."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(line[:160] for line in lines[-20:])

    @property
    def pid(self) -> int | None:
        """The process whose SIGKILL is a crash of the whole server; None when it does not run."""
        return self._process.pid if self._process is not None else None
