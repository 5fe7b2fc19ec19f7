"""The janitor: a small process that outlives its owner and clears away what the owner started.

It reads lines from a pipe whose only writers are the owner and its servers' launchers. When the owner
ends, in whatever way (return, exception, SIGKILL), the pipe closes and everything still on the list is
killed and removed. So clean-up has one path, and the bad day takes the same one as the good day.

Lines: `group PGID`, `folder PATH`, `container DOCKER NAME` add to the list; `forget LINE` takes one off.
Run as a program it is the janitor itself; imported, `Janitor` is the owner's handle.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

#: How long killed processes may take to be gone, all together. Seconds.
DEAD_S = 3.0
#: How long a folder may take to go to which a dying server still writes. Seconds.
GONE_S = 10.0

# Written by the launched process itself, before it becomes the server: there is no moment at which the
# server runs and the janitor does not know it. Standard input is the janitor's pipe until then.
REGISTER = 'printf "group %s\\n" "$$" >&0 && exec "$@" </dev/null'


class Janitor:
    """Owns the list of what must be gone in the end. Use as a context manager."""

    def __init__(self) -> None:
        read, write = os.pipe()
        #: The write end, to be handed to a launcher as its standard input.
        self.pipe = os.fdopen(write, "wb", buffering=0)
        # Its own session: a Ctrl-C on the terminal is for the command, not for the one who cleans up.
        self._process = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=read, start_new_session=True)
        os.close(read)
        self._launched: list[subprocess.Popen[bytes]] = []

    def note(self, line: str) -> None:
        """Put one line on the list (or take it off with `forget ...`)."""
        self.pipe.write(line.encode() + b"\n")

    def folder(self, path: Path) -> Path:
        """Make a folder that only this user can read and that is removed in the end."""
        self.note(f"folder {path}")  # first the note, then the folder: never a folder without a note
        path.mkdir(mode=0o700, parents=True)
        return path

    def launch(self, argv: list[str], *, env: dict[str, str], log: IO[bytes], cwd: Path) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own that the janitor kills in the end."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", REGISTER, "penstock", *argv],
            stdin=self.pipe, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True,
        )  # fmt: skip
        self._launched.append(process)
        return process

    def reap(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of a launched process and its group, and collect it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # Forgotten before it is collected: until then nobody else can be given its number.
        self.note(f"forget group {process.pid}")
        process.wait(GONE_S)
        self._launched.remove(process)

    def close(self) -> None:
        """Clear away everything on the list; returns when that is done."""
        for process in list(self._launched):  # a process that is not collected still counts as there
            self.reap(process)
        self.pipe.close()
        self._process.wait(6 * GONE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kill_groups(groups: list[int]) -> None:
    """Kill process groups and wait until nobody is left in them.

    Not for long: where process 1 does not collect orphans, the dead stay in their group for ever.
    """
    deadline = time.monotonic() + DEAD_S
    while groups and time.monotonic() < deadline:
        groups = [group for group in groups if _kill_group(group)]
        time.sleep(0.01)


def _kill_group(group: int) -> bool:
    """Kill a process group; return whether there still was one."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of the dead
        return False
    return True


def _remove_folder(path: str) -> None:
    """Remove a folder; a dying server may still add a file or two meanwhile."""
    # First of all: what is mounted in it, perhaps /dev itself, is not ours to remove.
    for point in sorted(_mounted_in(path), reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, timeout=GONE_S, check=True)
    deadline = time.monotonic() + GONE_S
    while os.path.lexists(path):
        shutil.rmtree(path, ignore_errors=time.monotonic() < deadline)


def _mounted_in(path: str) -> list[str]:
    """Return mount points in a folder, itself included. Normally none: servers mount in a namespace of their own."""
    table = Path("/proc/self/mounts")
    points = [line.split()[1] for line in table.read_text().splitlines()] if table.exists() else []
    return [point for point in points if f"{point}/".startswith(f"{path}/")]


def _remove_container(docker: str, name: str) -> None:
    argv = [docker, "rm", "--force", "--volumes", name]
    subprocess.run(argv, capture_output=True, timeout=3 * GONE_S, check=False)


def _clear(held: list[str]) -> None:
    """Clear away everything; processes first, for a folder is only still when nobody writes to it."""
    words = [line.split(" ", 1) for line in held]
    _kill_groups([int(rest) for kind, rest in words if kind == "group"])
    for kind, rest in words:
        try:
            if kind == "container":
                docker, _, name = rest.rpartition(" ")
                _remove_container(docker, name)
            elif kind == "folder":
                _remove_folder(rest)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"penstock: could not clear away the {kind} {rest}: {error}", file=sys.stderr)


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    held: dict[str, None] = {}
    for raw in sys.stdin:
        line = raw.rstrip("\n")
        if line.startswith("forget "):
            held.pop(line.removeprefix("forget "), None)
        else:
            held[line] = None
    _clear(list(held))


if __name__ == "__main__":
    _main()
