"""Packages that the set-up itself needs, installed by apt-get where we are root on Debian."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from ops.dev.say import step

_INTERRUPTIONS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class AptError(Exception):
    """apt-get failed; the message is what it said."""


def available() -> bool:
    """Say whether this is root on Debian, or on a system made from it."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install packages without a question.

    Raises:
        AptError: apt-get failed.
    """
    # Not to be interrupted: dpkg stopped half-way wants a repair. It takes seconds.
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    try:
        with step("packages", f"installing {' '.join(packages)} with apt-get") as done:
            _apt_get("update")
            _apt_get("install", "--yes", "--no-install-recommends", *packages)
            done(f"{' '.join(packages)}, installed with apt-get")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _apt_get(*argv: str) -> None:
    done = subprocess.run(
        ["apt-get", "-qq", *argv],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        msg = f"apt-get {' '.join(argv)} failed:\n{done.stdout.strip()[-2000:]}"
        raise AptError(msg)
