"""Last source: Debian's packages in a private root folder, for root on a Debian machine.

The folder is made once by mmdebstrap and kept in the user's cache; a server writes only to its own
temporary folder below `/tmp` in it. Servers run in a mount and a PID namespace of their own: with their
first process everything ends, and nothing stays mounted.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.dev import apt
from ops.dev.private.broker import Broker, local_broker
from ops.dev.private.installed import broker_version
from ops.dev.private.janitor import Janitor
from ops.dev.private.program import Program
from ops.dev.private.redis import Redis, local_redis
from ops.dev.private.server import ServerFailedError
from ops.dev.say import short, step

#: RabbitMQ series -> the Debian suite that has it.
SUITES = {"3.10": "bookworm", "4.0": "trixie", "4.3": "forky"}
DEFAULT_SUITE = "bookworm"

BROKER = "usr/lib/rabbitmq/bin/rabbitmq-server"
REDIS = "usr/bin/redis-server"

#: How long the root folder may take to make, download included. Seconds.
BUILD_S = 900.0

_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--")
_ENTER = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'


def broker(wanted: str | None, janitor: Janitor) -> Broker | None:
    """Return a broker of the wanted series, or None when this source cannot have it."""
    suite = SUITES.get(wanted) if wanted else DEFAULT_SUITE
    if suite is None or not apt.available():
        return None
    return local_broker(_program(suite, BROKER, janitor), janitor)


def redis(wanted: str | None, janitor: Janitor, *, durable: bool = False) -> Redis | None:
    """Return a Redis, from the same folder as a broker of the wanted series."""
    if not apt.available():
        return None
    suite = SUITES.get(wanted or "", DEFAULT_SUITE)
    return local_redis(_program(suite, REDIS, janitor), janitor, durable=durable)


def _program(suite: str, path: str, janitor: Janitor) -> Program:
    root = _root(suite, janitor)
    version = broker_version(root / path) or "?"
    # A container may not be allowed to mount anything; the servers can do without /proc.
    namespaces = [*_NAMESPACES, "/bin/sh", "-c", _ENTER] if _namespaces_allowed() else ["chroot"]
    return Program(
        path=f"/{path}", version=version, source=f"Debian {suite} package", root=root, enter=(*namespaces, str(root))
    )


@functools.cache
def _namespaces_allowed() -> bool:
    return subprocess.run([*_NAMESPACES, "true"], capture_output=True, timeout=10, check=False).returncode == 0


def _root(suite: str, janitor: Janitor) -> Path:
    """Return the root folder with the suite's servers; make it if there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock"
    recipe = hashlib.sha256("\n".join(_recipe(suite, Path())).encode()).hexdigest()[:8]
    root = cache / f"debian-{suite}-{recipe}"
    if not root.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _only_one(cache / f"debian-{suite}.lock"):
            if not root.exists():  # it may have come while we waited
                _build(suite, root, janitor)
    return root


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process at the latest."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recipe(suite: str, target: Path) -> list[str]:
    return [
        "mmdebstrap",
        "--variant=essential",
        "--include=rabbitmq-server,redis-server",
        # A mirror may lag behind the date to which its index calls itself valid. Signatures are checked.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--customize-hook=echo "127.0.0.1 localhost" > "$1/etc/hosts"',
        suite,
        str(target),
    ]


def _build(suite: str, root: Path, janitor: Janitor) -> None:
    """Make the root folder under another name, and give it its own when it is complete."""
    if shutil.which("mmdebstrap") is None:
        apt.install("mmdebstrap")
    what = f"Debian {suite}'s RabbitMQ and Redis"
    with step("packages", f"{what}, once, about half a minute") as done:
        partial = root.with_name(f"{root.name}.{secrets.token_hex(4)}.partial")
        janitor.note(f"folder {partial}")
        _run_mmdebstrap(suite, partial, janitor)
        partial.rename(root)
        done(f"{what}, kept in {short(root.parent)}")


def _run_mmdebstrap(suite: str, target: Path, janitor: Janitor) -> None:
    argv = [*(_NAMESPACES if _namespaces_allowed() else ()), *_recipe(suite, target)]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as log:
        process = janitor.launch(argv, env=env, log=log, cwd=target.parent)
        try:
            code = process.wait(BUILD_S)
        except subprocess.TimeoutExpired:
            code = -1
        janitor.reap(process)
        log.seek(0)
        said = log.read().decode(errors="replace").splitlines()
    if code != 0:
        tail = "\n".join(said[-15:])
        msg = f"mmdebstrap could not make Debian {suite}'s root folder (exit code {code}):\n{tail}"
        raise ServerFailedError(msg)
