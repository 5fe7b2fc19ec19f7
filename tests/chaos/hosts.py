"""Two hosts on one machine: network namespaces with one link between them.

The servers' host is the namespace of this process, which must be one of its own (`unshare --net`); the clients'
host is a second one. Nothing leaves them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Self

SERVERS, CLIENTS = "10.77.0.1", "10.77.0.2"
#: How to come into a namespace of one's own.
ALONE = ("unshare", "--net", "--")
_ASK_S = 10.0


def impossible() -> str | None:
    """Why there can be no two hosts here; None: there can."""
    missing = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} (iproute2, util-linux) are not installed"
    tried = subprocess.run([*ALONE, "true"], capture_output=True, check=False, timeout=_ASK_S)
    return None if tried.returncode == 0 else "it needs root"


class TwoHosts:
    """The clients' host and the link to it. Use as a context manager, in a fresh namespace."""

    def __enter__(self) -> Self:
        # Whoever holds a namespace keeps it; this one ends with our end of its standard input.
        wait = "import sys; print('here', flush=True); sys.stdin.read()"
        self._holder = subprocess.Popen(
            [*ALONE, sys.executable, "-I", "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()
        pid = str(self._holder.pid)
        #: A command that becomes one on the clients' host.
        self.enter = ("nsenter", f"--net=/proc/{pid}/ns/net", "--")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "to-clients", "type", "veth", "peer", "name", "to-servers", "netns", pid)
        _run("ip", "address", "add", f"{SERVERS}/30", "dev", "to-clients")
        _run(*self.enter, "ip", "address", "add", f"{CLIENTS}/30", "dev", "to-servers")
        _run(*self.enter, "ip", "link", "set", "lo", "up")
        _run(*self.enter, "ip", "link", "set", "to-servers", "up")
        self.link(up=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(_ASK_S)
        self._holder.stdout.close()

    def link(self, *, up: bool) -> None:
        """Let packets pass between the hosts, or vanish."""
        _run("ip", "link", "set", "to-clients", "up" if up else "down")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=_ASK_S, env={**os.environ, "LC_ALL": "C"})
